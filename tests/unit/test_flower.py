"""The pure parts of the Flower extension, and the internals of Flower that it uses."""

import inspect
from pathlib import Path

import flower.app
import flower.events
import flower.urls
import pytest
import tornado.options
import tornado.web
from celery.utils.saferepr import saferepr

from deploy.flower import extension
from deploy.flower.page import LISTED, grouped
from deploy.flower.safe_args import UnsafeArgumentsError, arguments
from schemas.failures import Failure, FailureState, Reason
from workers.failures.error_report import summary
from workers.failures.retry_scheduler import MAX_KEYWORD_CHARS, shown_kwargs


def failure(**fields: object) -> Failure:
    values = {"event_id": "1-0", "handler": "refunds", "provider": "instacart", "body": b"", "reason": Reason.HANDLER_ERROR}
    return Failure(**{"message": "KeyError: 'jane.roe@example.org'", **values, **fields})  # type: ignore[arg-type]


def test_a_failure_summary_quotes_only_the_text_of_permanent_errors() -> None:
    refused = failure(reason=Reason.REJECTED, message="no such line")
    assert summary(refused) == "rejected: PermanentError: no such line (curbside failed show refunds:1-0)"
    assert summary(failure()) == "handler_error: KeyError (curbside failed show refunds:1-0)"


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ("()", "{}", ((), {})),
        ("(1, 'a')", "{'event_id': '1732230000000-0'}", ((1, "a"), {"event_id": "1732230000000-0"})),
        ("[2.5, None]", "{'of': ['x', True]}", ((2.5, None), {"of": ["x", True]})),
    ],
)
def test_arguments_are_read_from_what_flower_shows(args: str, kwargs: str, expected: object) -> None:
    assert arguments(args, kwargs) == expected


@pytest.mark.parametrize(
    "value",
    [
        "C:\\new",
        'it\'s "both"',
        "x" * 2000,
        [[[[1]]]],
        "a\nb",
        object(),
        {1, 2},
        b"\x00",
        b"\xff'",
        1e400,
        ("x" * 600, "y" * 600),
    ],
)
def test_arguments_that_flower_shows_changed_or_cut_are_refused_or_exact(value: object) -> None:
    try:
        read = arguments(saferepr((value,)), "{}")
    except UnsafeArgumentsError as error:
        assert "the arguments that Flower knows were cut" in str(error)  # noqa: PT017 - either way is right
    else:
        assert read == ((value,), {})


def test_a_task_whose_start_flower_missed_has_unknown_arguments_not_none() -> None:
    for args, kwargs in ((None, None), ("()", None), (None, "{}")):
        with pytest.raises(UnsafeArgumentsError, match="it did not see the task start"):
            arguments(args, kwargs)


@pytest.mark.parametrize("text", ["(__import__('os').getpid(),)", "('a', ...)", "(" * 5000, "5", "'ab'", "{'a': 1}"])
def test_no_code_is_run_and_nothing_is_guessed(text: str) -> None:
    with pytest.raises(UnsafeArgumentsError):
        arguments(text, "{}")


@pytest.mark.parametrize(
    ("order_ids", "shown"),
    [
        ((), "{'event_id': '1-0'}"),
        (("fc-1", "fc-2"), "{'event_id': '1-0', 'order_ids': 'fc-1 fc-2'}"),
        (("it's", "a\\b", "fc-1"), "{'event_id': '1-0', 'order_ids': 'fc-1'}"),
    ],
)
def test_order_ids_are_keywords_beside_the_claim_check(order_ids: tuple[str, ...], shown: str) -> None:
    assert shown_kwargs(failure(order_ids=order_ids)) == shown


def test_keywords_are_whole_and_never_so_many_that_flower_would_cut_them() -> None:
    text = shown_kwargs(failure(order_ids=tuple(f"ord_{number:036}" for number in range(100))))
    order_ids = arguments("()", text)[1]["order_ids"].split(" ")
    assert {len(order_id) for order_id in order_ids} == {40}
    assert MAX_KEYWORD_CHARS - 41 < len(" ".join(order_ids)) <= MAX_KEYWORD_CHARS


def test_failures_are_grouped_with_the_most_dead_first() -> None:
    many = [failure(event_id=f"{number}-0", last_at_ms=number) for number in range(LISTED + 5)]
    waiting = failure(handler="timeline", state=FailureState.RETRYING)
    first, second = grouped([waiting, *many])
    assert (first.handler, first.reason, first.dead, first.unlisted) == ("refunds", Reason.HANDLER_ERROR, LISTED + 5, 5)
    assert first.rows[0].event_id == f"{LISTED + 4}-0"
    assert (second.dead, second.retrying, second.rows[0].is_dead) == (0, 1, False)


def test_flowers_internals_that_we_use_exist() -> None:
    stock = Path(flower.urls.settings["template_path"])
    for name, seam in {
        "base.html": "{% block extra_scripts %}",
        "task.html": 'class="detail-actions"',
        "tasks.html": 'class="page-header"',
        "navbar.html": 'id="primary-navigation"',
    }.items():
        assert seam in (stock / name).read_text(), name
    assert 'id="toast-container"' in (stock / "base.html").read_text()
    assert isinstance(flower.urls.handlers, list)
    assert "events" in inspect.signature(flower.app.Flower.__init__).parameters
    assert "transforms" in inspect.signature(tornado.web.Application.__init__).parameters
    assert callable(tornado.options.options.add_parse_callback)
    state = flower.events.EventsState(max_tasks_in_memory=10)
    assert callable(state.search_engine.upsert)
    assert callable(state.search_engine.remove)
    assert state.tasks.data == {}
    overlay = extension.TemplateLoader(stock)
    for page in ("base.html", "task.html", "tasks.html", "failures.html", "workers.html"):
        assert overlay.load(page).code, page
    assert "curbside-retry-task" in overlay.load("task.html").code
