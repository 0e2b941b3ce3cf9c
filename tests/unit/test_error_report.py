"""What a failed attempt means for an event; no text of a foreign error is shown."""

import random
import re
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from schemas.failures import DecodeError, Failure, FailureState, Reason, decode_failure, encode_failure
from workers.errors import EventFailedError, PermanentError
from workers.failures.error_report import MAX_MESSAGE_CHARS, MAX_TRACEBACK_CHARS, redact, summary, to_celery_error
from workers.failures.retry_policy import NO_RETRY, PATIENT, URGENT, RetryPolicy, after_attempt, after_outage, backoff_ms

NOW = 1_732_300_000_000
POLICY = RetryPolicy(attempts=4, first=timedelta(seconds=2), longest=timedelta(seconds=7))


def most(_: float, high: float) -> float:
    """No luck: the longest pause."""
    return high


def a_failure(**fields: Any) -> Failure:
    values: dict[str, Any] = {
        "event_id": "1732-0",
        "handler": "refunds",
        "provider": "instacart",
        "reason": Reason.HANDLER_ERROR,
    }
    return Failure(**values | {"message": "", "body": b"{}", "attempts": 0} | fields)


def failing(error: BaseException) -> Exception:
    """The error as it is when a handler has raised it."""
    try:
        raise error
    except Exception as raised:
        return raised


def tried(error: Exception, policy: RetryPolicy = POLICY, **fields: Any) -> Failure:
    return after_attempt(a_failure(**fields), error, policy, NOW, most)


def test_an_unexpected_error_is_retried_with_backoff_until_it_is_dead() -> None:
    failure, pauses = a_failure(), []
    while failure.state is not FailureState.DEAD or not failure.attempts:
        failure = after_attempt(failure, KeyError("x"), POLICY, NOW, most)
        pauses.append(failure.next_at_ms and failure.next_at_ms - NOW)
    assert pauses == [2_000, 4_000, 7_000, 0]
    assert failure.attempts == 4
    assert (failure.reason, failure.first_at_ms, failure.last_at_ms) == (Reason.HANDLER_ERROR, NOW, NOW)


@pytest.mark.parametrize("policy", [URGENT, PATIENT, POLICY], ids=["urgent", "patient", "own"])
@given(attempts=st.integers(1, 200), seed=st.integers())
@settings(max_examples=50)
def test_jitter_shortens_a_pause_by_at_most_half(policy: RetryPolicy, attempts: int, seed: int) -> None:
    full = backoff_ms(policy, attempts, most)
    by_chance = backoff_ms(policy, attempts, random.Random(seed).uniform)  # noqa: S311 - jitter is no secret
    assert full // 2 <= by_chance <= full <= policy.longest.total_seconds() * 1000


@pytest.mark.parametrize(("policy", "least", "longest"), [(URGENT, 15, 31), (PATIENT, 317, 635)], ids=["urgent", "patient"])
def test_a_dead_event_writes_an_alert_if_its_policy_says_so(policy: RetryPolicy, least: float, longest: float) -> None:
    pauses = [backoff_ms(policy, attempts, most) for attempts in range(1, policy.attempts)]
    assert (sum(pauses) // 2000, sum(pauses) / 1000) == (least, longest)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PermanentError("sold out"), Reason.REJECTED), (DecodeError(Reason.NO_ORDER, "$.order_id: expected"), Reason.NO_ORDER)],
)
def test_what_can_never_succeed_is_dead_at_once(error: Exception, reason: Reason) -> None:
    failure = tried(error)
    assert (failure.state, failure.attempts, failure.next_at_ms, failure.reason) == (FailureState.DEAD, 1, 0, reason)
    assert failure.message == str(error)


def test_a_decode_error_is_never_retried_automatically() -> None:
    assert tried(ValueError("a bug of the decoder"), NO_RETRY).state is FailureState.DEAD


def test_an_outage_counts_no_attempt_and_its_pauses_grow() -> None:
    failure, pauses = tried(KeyError("x")), []
    for _ in range(7):
        failure = after_outage(failure, NOW, most)
        pauses.append(failure.next_at_ms - NOW)
    assert pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
    assert (failure.attempts, failure.state, failure.message) == (1, FailureState.RETRYING, "KeyError: 'x'")
    assert after_attempt(failure, KeyError("x"), POLICY, NOW, most).away == 0


def test_rows_that_the_database_refuses_are_a_reason_of_their_own() -> None:
    assert tried(IntegrityError("INSERT", {}, Exception("refused"))).reason is Reason.LEDGER_REFUSED


class UnspeakableError(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [UnspeakableError(), ValueError("\ud800"), ValueError("x" * 10_000_000), Exception()],
    ids=["no text", "no utf-8", "10 MB", "empty"],
)
def test_any_error_has_a_record_that_can_be_stored(error: Exception) -> None:
    failure = tried(failing(error))
    assert decode_failure(encode_failure(failure)) == failure
    assert failure.message.startswith(type(error).__name__)
    assert len(failure.message) < MAX_MESSAGE_CHARS + 100
    assert failure.traceback is not None
    assert len(failure.traceback) < MAX_TRACEBACK_CHARS + 100


def test_an_endless_recursion_leaves_a_record_of_bounded_size() -> None:
    def ping(depth: int) -> int:
        return pong(depth + 1)

    def pong(depth: int) -> int:
        return ping(depth + 1)

    with pytest.raises(RecursionError) as caught:
        ping(0)
    failure = tried(caught.value)
    assert failure.traceback is not None
    assert len(failure.traceback) < MAX_TRACEBACK_CHARS + 100


SECRET = "jane4711"
"""Stands for what a customer is called; every piece of foreign text below holds it."""
_ways = [
    "{}", "{}: is unknown", "\n{}", "x\n{}\ny", "\n  File \"{}\", line 1, in {}\n    {}", "Traceback (most recent call last):\n  {}",
    "Traceback (most recent call last):\n  File \"{}\", line 1, in {}\n    {}\n{}: {}",
    "\nDuring handling of the above exception, another exception occurred:\n\n{}", "  | {}", "\r{}", "\u2028{}", "{}.Error: x", "    ^^^^\n{}",
]  # fmt: skip
secrets = st.sampled_from(_ways).map(lambda way: way.replace("{}", SECRET)) | st.text(max_size=20).map(
    lambda text: text + SECRET
)


class QuotingError(Exception):
    """An error of somebody's library that quotes a customer wherever it can."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def _a_syntax_error(text: str) -> Exception:
    return SyntaxError(text, (text, 3, 1, text, 3, 5))


def _a_decode_error(text: str) -> Exception:
    return UnicodeDecodeError("utf-8", text.encode("utf-8", "replace"), 0, 1, text)


_MAKERS: list[Callable[[str], Exception]] = [QuotingError, ValueError, KeyError, OSError, _a_syntax_error, _a_decode_error]


@st.composite
def foreign(draw: st.DrawFn, depth: int = 0) -> Exception:
    """An error, perhaps with notes, a cause, a context, or others in a group."""
    text = draw(secrets)
    grouped = depth < 2 and draw(st.integers(0, 3)) == 0
    error: Exception = ExceptionGroup(text, [draw(foreign(depth + 1))]) if grouped else draw(st.sampled_from(_MAKERS))(text)
    for note in draw(st.lists(secrets, max_size=2)):
        error.add_note(note)
    if depth < 3 and draw(st.booleans()):
        error.__cause__ = failing(draw(foreign(depth + 1)))
    elif depth < 3 and draw(st.booleans()):
        error.__context__ = failing(draw(foreign(depth + 1)))
    return failing(error)


@given(error=foreign())
@settings(max_examples=150, deadline=None)
def test_the_text_of_a_foreign_error_is_not_shown(error: Exception) -> None:
    failure = tried(error)
    shown = redact(failure)
    as_celery = to_celery_error(failure, error)
    said = [
        shown.message,
        shown.traceback or "",
        summary(failure),
        str(as_celery),
        "".join(traceback.format_exception(as_celery)),
    ]
    assert not [text for text in said if SECRET in text]
    assert "test_error_report.py" in said[1], "the frames are shown"
    assert type(error).__name__ in said[1]
    assert "test_error_report.py" in said[4]
    assert SECRET in failure.message, "the record has all of it"


def _refuse() -> NoReturn:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise PermanentError("a product that we do not sell") from error


def test_a_refusal_is_shown_in_its_authors_words_and_its_cause_is_not() -> None:
    with pytest.raises(PermanentError) as caught:
        _refuse()
    failure = tried(caught.value)
    shown = redact(failure)
    assert shown.message == "a product that we do not sell"
    assert shown.traceback is not None
    assert re.search(r"\nKeyError\n\nThe above exception was the direct cause", shown.traceback)
    assert shown.traceback.endswith("PermanentError: a product that we do not sell\n")
    assert SECRET not in shown.traceback
    as_celery = "".join(traceback.format_exception(to_celery_error(failure, caught.value)))
    assert "rejected: PermanentError: a product that we do not sell (curbside failed show refunds:1732-0)" in as_celery
    assert SECRET not in as_celery


def test_a_group_of_errors_is_shown_by_its_types() -> None:
    shown = redact(tried(failing(ExceptionGroup(SECRET, [KeyError(SECRET), ValueError(SECRET)]))))
    assert shown.traceback is not None
    assert shown.traceback.endswith("ExceptionGroup of KeyError, ValueError\n")


def test_the_traceback_of_a_record_without_frames_is_shown_only_unmasked() -> None:
    shown = redact(a_failure(message=f"KeyError: {SECRET}", traceback=f"Traceback\nKeyError: {SECRET}"))
    assert shown == ("KeyError: (--unmask shows its text)", "(--unmask shows it)")


def test_errors_that_cause_each_other_in_a_cycle_end() -> None:
    one, other = failing(KeyError("1")), failing(KeyError("2"))
    one.__cause__, other.__cause__ = other, one
    failure = tried(one)
    assert isinstance(to_celery_error(failure, one), EventFailedError)
    assert failure.frames is not None
    assert failure.frames.count("Traceback (most") < 20
