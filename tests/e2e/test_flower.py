"""Flower as operators use it, over HTTP: Flower, worker and Valkey are real processes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from schemas import keys
from schemas.failures import FailureState, Reason
from tests.e2e.buggy_handler import CUSTOMER, SURNAME
from tests.e2e.flower_client import FlowerDeployment, wait_for_task
from tests.e2e.flower_failures import HANDLERS, add_failure, retry_all, send_failed_task, states
from tests.support.event_sums import failures, sums
from tests.support.valkey_servers import broker_of
from tests.support.waiting import wait_for
from workers.failures.failure_store import first_task_id, next_task_id


def test_what_failed_while_flower_was_down_is_shown_whole_and_can_be_retried(flower_deployment: FlowerDeployment) -> None:
    flower_deployment.bug.touch()
    flower_deployment.restart_flower()
    flower_deployment.start_worker()
    flower_deployment.flower.kill()
    event_ids = flower_deployment.receive([f"bug-{number}" for number in range(50)], [b'{"order'])
    wait_for(lambda: states(flower_deployment) == {FailureState.DEAD: 51}, 40, "all 51 to be dead")
    flower_deployment.restart_flower()
    shown = wait_for(lambda: len(found := flower_deployment.flower.failed_tasks()) == 51 and found, 20, "Flower to show all 51")
    its = flower_deployment.flower.task(first_task_id("buggy", event_ids[7]))
    assert its is not None
    assert its["name"] == "buggy.retry"
    assert its["kwargs"] == f"{{'event_id': '{event_ids[7]}', 'order_ids': 'bug-7'}}"
    assert "handler_error: ValueError" in its["exception"]
    assert "in _find_shelf" in its["traceback"]
    assert its["received"] == pytest.approx(int(event_ids[7].partition("-")[0]) / 1000, abs=30)
    assert its["received"] < its["failed"]
    assert CUSTOMER not in repr(shown)
    assert SURNAME not in repr(shown)
    assert list(flower_deployment.flower.failed_tasks("bug-17")) == [first_task_id("buggy", event_ids[17])]
    undecodable = flower_deployment.flower.failed_tasks("name:dispatch.retry")[first_task_id(keys.DISPATCH, event_ids[50])]
    assert "malformed" in undecodable["exception"]

    flower_deployment.bug.unlink()
    assert retry_all(flower_deployment, "name:buggy.retry") == 50
    wait_for(lambda: list(failures(flower_deployment.valkey)) == [f"dispatch:{event_ids[50]}"], 30, "the 50 to be applied")
    assert flower_deployment.applied() == {f"bug-{number}": 1 for number in range(50)}
    wait_for(lambda: sums(flower_deployment.valkey, HANDLERS).is_settled, what="all to be settled")
    sums(flower_deployment.valkey, HANDLERS).check()
    flower_deployment.restart_flower()
    wait_for(flower_deployment.flower.failed_tasks, 20, "what is still dead")
    assert list(flower_deployment.flower.failed_tasks()) == [first_task_id(keys.DISPATCH, event_ids[50])]


def test_each_attempt_is_shown_with_its_reason_and_without_quoted_data(flower_deployment: FlowerDeployment) -> None:
    flower_deployment.bug.touch()
    flower_deployment.restart_flower()
    flower_deployment.start_worker()
    (event_id,) = flower_deployment.receive(["bug-1"])
    task_id = first_task_id("buggy", event_id)
    retried = wait_for_task(flower_deployment.flower, task_id, lambda task: task["state"] == "RETRY", "RETRY")
    assert retried["exception"] == f"Retry('handler_error: ValueError (curbside failed show buggy:{event_id})')"
    failed = wait_for_task(flower_deployment.flower, task_id, lambda task: task["state"] == "FAILURE", "FAILURE")
    assert "in _find_shelf" in failed["traceback"]
    told = f"{retried}{failed}{flower_deployment.worker.log}{flower_deployment.flower.log}{flower_deployment.flower.client.get('/failures').text}"
    assert CUSTOMER not in told
    assert SURNAME not in told
    assert "bug-1" in flower_deployment.flower.client.get("/failures").text


def test_a_double_click_is_one_retry_and_later_clicks_show_its_outcome(flower_deployment: FlowerDeployment) -> None:
    failure = add_failure(flower_deployment)
    flower_deployment.restart_flower()
    wait_for(flower_deployment.flower.failed_tasks, what="the record to show")
    together = threading.Barrier(2)

    def click(_: int) -> httpx.Response:
        together.wait(10)
        return flower_deployment.flower.retry(failure.task_id)

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(click, range(2)), key=lambda answer: answer.status_code)
    new_id = next_task_id(failure.task_id)
    assert [answer.status_code for answer in answers] == [202, 409]
    assert [answer.json()["task_id"] for answer in answers] == [new_id, new_id]
    assert "already" in answers[1].json()["message"]
    its = flower_deployment.flower.task(new_id)
    assert its is not None, "the link leads somewhere before a worker has sent the task"
    assert (its["state"], its["parent_id"]) == ("PENDING", failure.task_id)

    flower_deployment.valkey.delete(keys.FAILURES, keys.RETRIES)
    assert flower_deployment.flower.retry(failure.task_id).status_code == 410
    assert flower_deployment.flower.retry("no-such-task").status_code == 404
    assert flower_deployment.flower.retry(new_id).status_code == 409


def test_the_page_of_failures_counts_by_cause_and_retries_a_group_or_one(flower_deployment: FlowerDeployment) -> None:
    many = [
        add_failure(flower_deployment, f"1732230000000-{number}", reason=Reason.REJECTED, message="closed")
        for number in range(60)
    ]
    one = add_failure(flower_deployment, "1732230000001-0")
    flower_deployment.restart_flower()
    page = flower_deployment.flower.client.get("/failures").text
    assert page.index("60 dead") < page.index("1 dead")
    assert "and 10 more" in page
    assert "PermanentError: closed" in page
    assert CUSTOMER not in page
    calls = "/api/failures/retry"
    its = {"handler": "buggy", "event_id": one.event_id, "task_id": one.task_id}
    assert [flower_deployment.flower.client.post(f"{calls}/event", json=its).status_code for _ in range(2)] == [202, 409]
    answer = flower_deployment.flower.client.post(f"{calls}/group", json={"handler": "buggy", "reason": "rejected"}).json()
    assert answer == {"retried": len(many), "left": 0}
    assert set(states(flower_deployment)) == {FailureState.RETRYING}
    assert flower_deployment.flower.client.post(f"{calls}/event", json={"handler": 1}).status_code == 400
    flower_deployment.valkey.delete(keys.FAILURES, keys.RETRIES)
    assert "Nothing has failed." in flower_deployment.flower.client.get("/failures").text


def test_without_the_password_nothing_is_shown_or_retried_and_the_browser_is_asked_for_it(
    flower_deployment: FlowerDeployment,
) -> None:
    failure = add_failure(flower_deployment)
    flower_deployment.restart_flower()
    for auth in (None, ("operator", "wrong")):
        answers = [
            httpx.get(f"{flower_deployment.flower.url}/failures", auth=auth),
            httpx.get(f"{flower_deployment.flower.url}/api/failures/retry/search", auth=auth),
            *(
                httpx.post(f"{flower_deployment.flower.url}/api/failures/retry/{path}", auth=auth, json={})
                for path in ("search", "group", "event")
            ),
            httpx.post(f"{flower_deployment.flower.url}/api/failures/retry/task/{failure.task_id}", auth=auth, json={}),
        ]
        assert [answer.status_code for answer in answers] == [401] * 6
        assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Basic realm="flower", charset="UTF-8"'}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}):
        assert flower_deployment.flower.retry(failure.task_id, **headers).status_code == 403
    flower_deployment.restart_flower(FLOWER_BASIC_AUTH="")
    assert flower_deployment.flower.retry(failure.task_id).status_code == 401
    flower_deployment.restart_flower(FLOWER_BASIC_AUTH="", FLOWER_UNAUTHENTICATED_API="true")
    wait_for(flower_deployment.flower.failed_tasks, what="the record to show")
    assert flower_deployment.flower.retry(failure.task_id, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert states(flower_deployment) == {FailureState.DEAD: 1}


def test_a_read_only_flower_shows_all_and_retries_nothing(flower_deployment: FlowerDeployment) -> None:
    failure = add_failure(flower_deployment)
    flower_deployment.restart_flower("--read_only=True")
    wait_for(flower_deployment.flower.failed_tasks, what="the record to show")
    pages = [flower_deployment.flower.client.get(path).text for path in (f"/task/{failure.task_id}", "/tasks", "/failures")]
    assert failure.event_id in pages[0]
    assert failure.event_id in pages[2]
    for offer in ('id="curbside-retry-task"', 'id="curbside-retry-search"', "data-event-id="):
        assert offer not in "".join(pages)
    calls = {"search": {"search": ""}, "group": {"handler": "buggy", "reason": "handler_error"}, f"task/{failure.task_id}": {}}
    answers = [flower_deployment.flower.client.post(f"/api/failures/retry/{path}", json=body) for path, body in calls.items()]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert "read-only" in answers[0].json()["message"]
    assert states(flower_deployment) == {FailureState.DEAD: 1}


def test_another_task_is_resent_once_and_never_with_uncertain_arguments(
    flower_deployment: FlowerDeployment,
) -> None:
    flower_deployment.restart_flower()
    send_failed_task(flower_deployment, "cut", "buggy.retry", kwargs="{'event_id': '17322300...', ...}")
    send_failed_task(flower_deployment, "changed", "their.task", args="('C:\\new',)")
    send_failed_task(flower_deployment, "code", "their.task", args="(__import__('os').getpid(),)")
    send_failed_task(flower_deployment, "queue-task", "curbside.handle.buggy", queue="curbside.buggy")
    for task_id in ("cut", "changed", "code"):
        answer = flower_deployment.flower.retry(task_id)
        assert answer.status_code == 422, answer.text
        assert "arguments that Flower knows were cut" in answer.json()["message"]
    answers = [flower_deployment.flower.retry("queue-task") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 409]
    assert {answer.json()["task_id"] for answer in answers} == {next_task_id("queue-task")}
    with redis.Redis.from_url(broker_of(flower_deployment.environment["REDIS_URL"])) as broker:
        (message,) = broker.lrange("curbside:curbside.buggy", 0, -1)
        assert b'"parent_id": "queue-task"' in message
        assert next_task_id("queue-task").encode() in message
        broker.delete("curbside:curbside.buggy")
    answer = flower_deployment.flower.client.post("/api/failures/retry/search", json={"search": ""})
    assert (answer.json()["retried"], sum(answer.json()["refused"].values())) == (0, 2)


def test_a_thousand_failures_of_one_cause_are_retried_by_one_search(flower_deployment: FlowerDeployment) -> None:
    flower_deployment.bug.touch()
    flower_deployment.start_worker()
    flower_deployment.receive([f"reject-{number}" for number in range(1000)])
    wait_for(lambda: states(flower_deployment) == {FailureState.DEAD: 1000}, 60, "1,000 to be dead")
    flower_deployment.restart_flower()
    wait_for(lambda: len(flower_deployment.flower.failed_tasks()) == 1000, 20, "Flower to show all 1,000")
    flower_deployment.bug.unlink()
    assert flower_deployment.flower.client.get("/api/failures/retry/search", params={"search": "reject-77"}).json() == {
        "count": 11
    }
    assert flower_deployment.flower.client.get("/api/failures/retry/search", params={"search": "(reject"}).status_code == 400
    assert retry_all(flower_deployment, "state:FAILURE name:buggy.retry") == 1000
    assert retry_all(flower_deployment, "state:FAILURE name:buggy.retry") == 0
    wait_for(lambda: not failures(flower_deployment.valkey), 60, "all to be applied")
    assert flower_deployment.applied() == {f"reject-{number}": 1 for number in range(1000)}
    wait_for(lambda: sums(flower_deployment.valkey, HANDLERS).is_settled, what="all to be settled")
    sums(flower_deployment.valkey, HANDLERS).check()
