"""Flower as operators use it, over HTTP: real Flower, real worker, real Valkey, each a process of its own."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from celery import Celery

from schemas import keys
from schemas.failures import Failure, FailureState, Reason, encode_failure
from schemas.tasks import broker_options
from tests.support.buggy_handler import CUSTOMER, SURNAME
from tests.support.flower import Site, wait_for_task
from tests.support.outcomes import BUILT_IN, failures, sums
from tests.support.valkey import RealValkey, broker_of
from tests.support.waiting import wait_for
from workers.failures.failure_store import first_task_id, next_task_id

HANDLERS = (*BUILT_IN, "buggy")


@pytest.fixture
def site(real_valkey_url: str, tmp_path: Path) -> Iterator[Site]:
    with Site(real_valkey_url, tmp_path) as site:
        yield site


def on_record(site: Site, event_id: str = "1732230000000-0", **fields: Any) -> Failure:
    """Put a dead failure on record, as `workers.failures.failure_store` keeps it."""
    known = {"reason": Reason.HANDLER_ERROR, "message": f"KeyError: '{CUSTOMER}'", "order_ids": ("fc-1",), "attempts": 3}
    times = {"first_at_ms": 1732230000500, "last_at_ms": 1732230009500}
    task_id = first_task_id("buggy", event_id)
    values: dict[str, Any] = {**known, **times, **fields}
    failure = Failure(event_id=event_id, handler="buggy", provider="instacart", body=b"{}", task_id=task_id, **values)
    site.valkey.hset(keys.FAILURES, failure.field, encode_failure(failure))
    return failure


def tell(site: Site, task_id: str, name: str, args: str = "()", kwargs: str = "{}", **fields: Any) -> None:
    """Have a worker's events tell Flower of a task that failed."""
    app = Celery("teller", set_as_current=False)
    app.conf.update(broker_options(broker_of(site.environment["REDIS_URL"])))
    with app.connection_for_write() as connection, app.events.Dispatcher(connection, hostname="worker@test") as dispatcher:

        def is_known() -> bool:
            dispatcher.send("task-received", uuid=task_id, name=name, args=args, kwargs=kwargs, **fields)
            dispatcher.send("task-failed", uuid=task_id, exception="KeyError()", traceback="-")
            task = site.flower.task(task_id)
            return task is not None and task["name"] == name  # it may have begun to listen between the two

        wait_for(is_known, 20, "Flower to hear of the task")


def test_what_failed_while_flower_was_down_is_shown_whole_and_can_be_retried(site: Site) -> None:
    site.bug.touch()
    site.restart_flower()
    site.start_worker()
    site.flower.kill()
    event_ids = site.receive([f"bug-{number}" for number in range(50)], [b'{"order'])
    wait_for(lambda: states(site) == {FailureState.DEAD: 51}, 40, "all 51 to be dead")
    site.restart_flower()
    shown = wait_for(lambda: len(found := site.flower.failed_tasks()) == 51 and found, 20, "Flower to show all 51")
    its = site.flower.task(first_task_id("buggy", event_ids[7]))
    assert its is not None
    assert its["name"] == "buggy.retry"
    assert its["kwargs"] == f"{{'event_id': '{event_ids[7]}', 'order_ids': 'bug-7'}}"
    assert "handler_error: ValueError" in its["exception"]
    assert "in _find_shelf" in its["traceback"]
    assert its["received"] == pytest.approx(int(event_ids[7].partition("-")[0]) / 1000, abs=30)
    assert its["received"] < its["failed"]
    assert CUSTOMER not in repr(shown)
    assert SURNAME not in repr(shown)
    assert list(site.flower.failed_tasks("bug-17")) == [first_task_id("buggy", event_ids[17])]
    undecodable = site.flower.failed_tasks("name:dispatch.retry")[first_task_id(keys.DISPATCH, event_ids[50])]
    assert "malformed" in undecodable["exception"]

    site.bug.unlink()
    assert retry_all(site, "name:buggy.retry") == 50
    wait_for(lambda: list(failures(site.valkey)) == [f"dispatch:{event_ids[50]}"], 30, "the 50 to be applied")
    assert site.applied() == {f"bug-{number}": 1 for number in range(50)}
    wait_for(lambda: sums(site.valkey, HANDLERS).is_settled, what="all to be settled")
    sums(site.valkey, HANDLERS).check()
    site.restart_flower()
    wait_for(site.flower.failed_tasks, 20, "what is still dead")
    assert list(site.flower.failed_tasks()) == [first_task_id(keys.DISPATCH, event_ids[50])]


def test_each_try_is_seen_with_its_reason_and_without_what_the_error_quotes(site: Site) -> None:
    site.bug.touch()
    site.restart_flower()
    site.start_worker()
    (event_id,) = site.receive(["bug-1"])
    task_id = first_task_id("buggy", event_id)
    retried = wait_for_task(site.flower, task_id, lambda task: task["state"] == "RETRY", "RETRY")
    assert retried["exception"] == f"Retry('handler_error: ValueError (curbside failed show buggy:{event_id})')"
    failed = wait_for_task(site.flower, task_id, lambda task: task["state"] == "FAILURE", "FAILURE")
    assert "in _find_shelf" in failed["traceback"]
    told = f"{retried}{failed}{site.worker.log}{site.flower.log}{site.flower.client.get('/failures').text}"
    assert CUSTOMER not in told
    assert SURNAME not in told
    assert "bug-1" in site.flower.client.get("/failures").text


def test_a_double_click_is_one_retry_and_later_clicks_say_what_became_of_it(site: Site) -> None:
    failure = on_record(site)
    site.restart_flower()
    wait_for(site.flower.failed_tasks, what="the record to show")
    together = threading.Barrier(2)

    def click(_: int) -> httpx.Response:
        together.wait(10)
        return site.flower.retry(failure.task_id)

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(click, range(2)), key=lambda answer: answer.status_code)
    new_id = next_task_id(failure.task_id)
    assert [answer.status_code for answer in answers] == [202, 409]
    assert [answer.json()["task_id"] for answer in answers] == [new_id, new_id]
    assert "already" in answers[1].json()["message"]
    its = site.flower.task(new_id)
    assert its is not None, "the link leads somewhere before a worker has sent the task"
    assert (its["state"], its["parent_id"]) == ("PENDING", failure.task_id)

    site.valkey.delete(keys.FAILURES, keys.RETRIES)
    assert site.flower.retry(failure.task_id).status_code == 410
    assert site.flower.retry("no-such-task").status_code == 404
    assert site.flower.retry(new_id).status_code == 409


def test_the_page_of_failures_counts_by_cause_and_retries_a_group_or_one(site: Site) -> None:
    many = [on_record(site, f"1732230000000-{number}", reason=Reason.REJECTED, message="closed") for number in range(60)]
    one = on_record(site, "1732230000001-0")
    site.restart_flower()
    page = site.flower.client.get("/failures").text
    assert page.index("60 dead") < page.index("1 dead")
    assert "and 10 more" in page
    assert "PermanentError: closed" in page
    assert CUSTOMER not in page
    calls = "/api/failures/retry"
    its = {"handler": "buggy", "event_id": one.event_id, "task_id": one.task_id}
    assert [site.flower.client.post(f"{calls}/event", json=its).status_code for _ in range(2)] == [202, 409]
    answer = site.flower.client.post(f"{calls}/group", json={"handler": "buggy", "reason": "rejected"}).json()
    assert answer == {"retried": len(many), "left": 0}
    assert set(states(site)) == {FailureState.RETRYING}
    assert site.flower.client.post(f"{calls}/event", json={"handler": 1}).status_code == 400
    site.valkey.delete(keys.FAILURES, keys.RETRIES)
    assert "Nothing has failed." in site.flower.client.get("/failures").text


def test_without_the_password_nothing_is_shown_or_retried_and_the_browser_is_asked_for_it(site: Site) -> None:
    failure = on_record(site)
    site.restart_flower()
    for auth in (None, ("operator", "wrong")):
        answers = [
            httpx.get(f"{site.flower.url}/failures", auth=auth),
            httpx.get(f"{site.flower.url}/api/failures/retry/search", auth=auth),
            *(
                httpx.post(f"{site.flower.url}/api/failures/retry/{path}", auth=auth, json={})
                for path in ("search", "group", "event")
            ),
            httpx.post(f"{site.flower.url}/api/failures/retry/task/{failure.task_id}", auth=auth, json={}),
        ]
        assert [answer.status_code for answer in answers] == [401] * 6
        assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Basic realm="flower", charset="UTF-8"'}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}):
        assert site.flower.retry(failure.task_id, **headers).status_code == 403
    site.restart_flower(FLOWER_BASIC_AUTH="")
    assert site.flower.retry(failure.task_id).status_code == 401
    site.restart_flower(FLOWER_BASIC_AUTH="", FLOWER_UNAUTHENTICATED_API="true")
    wait_for(site.flower.failed_tasks, what="the record to show")
    assert site.flower.retry(failure.task_id, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert states(site) == {FailureState.DEAD: 1}


def test_a_read_only_flower_shows_all_and_retries_nothing(site: Site) -> None:
    failure = on_record(site)
    site.restart_flower("--read_only=True")
    wait_for(site.flower.failed_tasks, what="the record to show")
    pages = [site.flower.client.get(path).text for path in (f"/task/{failure.task_id}", "/tasks", "/failures")]
    assert failure.event_id in pages[0]
    assert failure.event_id in pages[2]
    for offer in ('id="curbside-retry-task"', 'id="curbside-retry-search"', "data-event-id="):
        assert offer not in "".join(pages)
    calls = {"search": {"search": ""}, "group": {"handler": "buggy", "reason": "handler_error"}, f"task/{failure.task_id}": {}}
    answers = [site.flower.client.post(f"/api/failures/retry/{path}", json=body) for path, body in calls.items()]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert "read-only" in answers[0].json()["message"]
    assert states(site) == {FailureState.DEAD: 1}


def test_another_task_is_sent_again_once_and_never_with_arguments_that_may_be_others(site: Site) -> None:
    site.restart_flower()
    tell(site, "cut", "buggy.retry", kwargs="{'event_id': '17322300...', ...}")
    tell(site, "changed", "their.task", args="('C:\\new',)")
    tell(site, "code", "their.task", args="(__import__('os').getpid(),)")
    tell(site, "doorbell", "curbside.handle.buggy", queue="curbside.buggy")
    for task_id in ("cut", "changed", "code"):
        answer = site.flower.retry(task_id)
        assert answer.status_code == 422, answer.text
        assert "arguments that Flower knows were cut" in answer.json()["message"]
    answers = [site.flower.retry("doorbell") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 409]
    assert {answer.json()["task_id"] for answer in answers} == {next_task_id("doorbell")}
    with redis.Redis.from_url(broker_of(site.environment["REDIS_URL"])) as broker:
        (message,) = broker.lrange("curbside:curbside.buggy", 0, -1)
        assert b'"parent_id": "doorbell"' in message
        assert next_task_id("doorbell").encode() in message
        broker.delete("curbside:curbside.buggy")
    answer = site.flower.client.post("/api/failures/retry/search", json={"search": ""})
    assert (answer.json()["retried"], sum(answer.json()["refused"].values())) == (0, 2)


def test_a_thousand_failures_of_one_cause_are_retried_by_one_search(site: Site) -> None:
    site.bug.touch()
    site.start_worker()
    site.receive([f"reject-{number}" for number in range(1000)])
    wait_for(lambda: states(site) == {FailureState.DEAD: 1000}, 60, "1,000 to be dead")
    site.restart_flower()
    wait_for(lambda: len(site.flower.failed_tasks()) == 1000, 20, "Flower to show all 1,000")
    site.bug.unlink()
    assert site.flower.client.get("/api/failures/retry/search", params={"search": "reject-77"}).json() == {"count": 11}
    assert site.flower.client.get("/api/failures/retry/search", params={"search": "(reject"}).status_code == 400
    assert retry_all(site, "state:FAILURE name:buggy.retry") == 1000
    assert retry_all(site, "state:FAILURE name:buggy.retry") == 0
    wait_for(lambda: not failures(site.valkey), 60, "all to be applied")
    assert site.applied() == {f"reject-{number}": 1 for number in range(1000)}
    wait_for(lambda: sums(site.valkey, HANDLERS).is_settled, what="all to be settled")
    sums(site.valkey, HANDLERS).check()


def test_metrics_tell_of_the_whole_deployment_and_of_a_valkey_that_is_away(site: Site, real_valkey: RealValkey) -> None:
    on_record(site)
    site.start_worker()
    site.receive(["a", "b"], [b"{"])
    wait_for(lambda: sums(site.valkey, HANDLERS).is_settled, what="all to be settled")
    site.restart_flower()

    def told() -> list[str]:
        return httpx.get(f"{site.flower.url}/metrics").text.splitlines()

    lines = told()
    for line in (
        "curbside_up 1.0",
        "curbside_received_total 3.0",
        'curbside_outcomes_total{outcome="routed"} 2.0',
        'curbside_outcomes_total{outcome="undecodable"} 1.0',
        'curbside_handler_applied_total{handler="buggy"} 2.0',
        'curbside_handler_waiting{handler="timeline"} 0.0',
        "curbside_failures 2.0",
    ):
        assert line in lines
    assert any(line.startswith("# HELP flower_") for line in lines), "Flower's own are there too"
    real_valkey.stop()
    wait_for(lambda: "curbside_up 0.0" in told(), what="Flower to say that Valkey is away")
    real_valkey.start()


def test_what_flower_forgets_comes_back_and_valkey_may_be_away(site: Site, real_valkey: RealValkey) -> None:
    failure = on_record(site)
    site.restart_flower("--max_tasks=10")
    wait_for(site.flower.failed_tasks, what="the record to show")
    for number in range(12):
        tell(site, f"other-{number}", "their.task")
    wait_for(lambda: failure.task_id in site.flower.failed_tasks(), 20, "the record to show again")
    assert len(site.flower.failed_tasks()) <= 10
    real_valkey.stop()
    assert site.flower.client.get("/failures").status_code == 503
    assert site.flower.retry(failure.task_id).status_code == 503
    later = "1732230000002-0"
    real_valkey.start()
    on_record(site, later)
    wait_for(lambda: first_task_id("buggy", later) in site.flower.failed_tasks(), 20, "the next look")
    site.flower.ask_to_stop()
    assert site.flower.wait() == 0
    assert "Traceback" not in site.flower.log_of_this_run
    site.valkey.delete(keys.FAILURES)


def states(site: Site) -> Counter[FailureState]:
    """How many failures are in each state."""
    return Counter(failure.state for failure in failures(site.valkey).values())


def retry_all(site: Site, search: str) -> int:
    """What the button of the task list does; how many were retried."""
    count = site.flower.client.get("/api/failures/retry/search", params={"search": search}).json()["count"]
    answer = site.flower.client.post("/api/failures/retry/search", json={"search": search}).json()
    assert answer == {"retried": count, "left": 0, "refused": {}}
    return int(count)
