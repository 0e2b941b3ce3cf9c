"""After a rollback, the failures that a newer release has recorded are shown, retried and kept without loss."""

from typing import Any

import msgspec
import pytest

from deploy.flower.page import grouped
from deploy.flower.retry_service import RetryService
from deploy.simulator.ledger_reader import read_failures
from schemas import keys
from schemas.failures import Failure, FailureState, Reason, encode_changed, encode_failure, read_failure
from tests.contract.failure_shell import SECRET, FailureShell
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment
from tests.unit.failing_deployment import failed, refunds
from workers.errors import FailureNotFoundError
from workers.failures.error_report import redact, summary
from workers.failures.failure_store import MAX_IN_FLIGHT

OF_TOMORROW = {"reason": "too_old", "a_field_of_tomorrow": {"b": [1, None]}, "request": {"id": "r-1", "peer": "::1", "new": 2}}


def record_of(deployment: SteppedDeployment, field: str) -> dict[str, Any]:
    raw: Any = deployment.client.hget(keys.FAILURES, field)
    found: dict[str, Any] = msgspec.msgpack.decode(raw)
    return found


def rewrite(deployment: SteppedDeployment, field: str, **changed: object) -> None:
    """Change a record as a newer release would have written it."""
    deployment.client.hset(keys.FAILURES, field, msgspec.msgpack.encode(record_of(deployment, field) | changed))


@pytest.mark.parametrize("state", ["retrying", "paused_by_the_night_shift"])
def test_a_failure_of_a_newer_release_is_retried_and_keeps_what_this_one_does_not_know(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler, state: str
) -> None:
    field = f"refunds:{failed(failing_deployment, 3)[0]}"
    rewrite(failing_deployment, field, **OF_TOMORROW, state=state)
    assert len(failing_deployment.run_due_retries()) == 3
    after = record_of(failing_deployment, field)
    assert (after["attempts"], after["reason"], after["state"]) == (2, "handler_error", "retrying")
    assert {name: after[name] for name in ("a_field_of_tomorrow", "request")} == {
        name: OF_TOMORROW[name] for name in ("a_field_of_tomorrow", "request")
    }
    failing_handler.bug = None
    assert set(failing_deployment.run_retries_until_settled()) == {"applied"}
    assert len(refunds(failing_deployment)) == 3


def test_a_decision_of_a_person_changes_only_what_was_decided(failing_deployment: SteppedDeployment) -> None:
    (event_id,) = failed(failing_deployment)
    field = f"refunds:{event_id}"
    rewrite(failing_deployment, field, **OF_TOMORROW)
    before = record_of(failing_deployment, field)
    failing_deployment.failures.discard("refunds", event_id, "not owed")
    discarded = record_of(failing_deployment, field)
    assert {name for name in before.keys() | discarded.keys() if before.get(name) != discarded.get(name)} == {
        "state", "note", "next_at_ms",
    }  # fmt: skip
    failing_deployment.failures.retry("refunds", event_id, 5)
    again = record_of(failing_deployment, field)
    assert (again["state"], again["reason"], again["next_at_ms"], again.get("note")) == ("retrying", "too_old", 5, None)
    assert again["a_field_of_tomorrow"] == OF_TOMORROW["a_field_of_tomorrow"]


def test_what_waits_in_a_state_of_a_newer_release_is_not_forgotten_when_it_is_put_off(
    failing_deployment: SteppedDeployment,
) -> None:
    (event_id,) = failed(failing_deployment)
    rewrite(failing_deployment, f"refunds:{event_id}", state="paused_by_the_night_shift")
    failure = failing_deployment.failures.get("refunds", event_id)
    assert failing_deployment.failures.record_attempt(failure, msgspec.structs.replace(failure, next_at_ms=77, away=1))
    assert failing_deployment.client.zscore(keys.RETRIES, failure.field) == 77
    assert failing_deployment.failures.get("refunds", event_id).state == "paused_by_the_night_shift"


@pytest.mark.parametrize("broken", [b"\xc1", msgspec.msgpack.encode({"reason": 5}), msgspec.msgpack.encode([1])])
def test_records_that_cannot_be_read_hide_no_other_and_are_kept(failing_deployment: SteppedDeployment, broken: bytes) -> None:
    (event_id,) = failed(failing_deployment)
    fields = [f"refunds:{number}-0" for number in range(MAX_IN_FLIGHT)]
    for field in fields:
        failing_deployment.client.hset(keys.FAILURES, field, broken)
        failing_deployment.client.zadd(keys.RETRIES, {field: 1})
        failing_deployment.client.hincrby(keys.COUNTERS, "failed:refunds", 1)
        failing_deployment.client.hincrby(keys.COUNTERS, "routed:refunds", 1)
    assert failing_deployment.take_due() == []
    (due,) = failing_deployment.take_due()
    assert due.event_id == event_id
    assert sorted(each.field for each in failing_deployment.failures.all()) == sorted([*fields, due.field])
    assert failing_deployment.failures.get("refunds", "0-0").reason is Reason.UNREADABLE_RECORD
    with pytest.raises(FailureNotFoundError, match="written by another release"):
        failing_deployment.failures.retry("refunds", "0-0", 1)
    with pytest.raises(FailureNotFoundError, match="written by another release"):
        failing_deployment.failures.discard("refunds", "0-0", "x")
    assert failing_deployment.client.hget(keys.FAILURES, "refunds:0-0") == broken
    assert len(read_failures(failing_deployment.client)) == MAX_IN_FLIGHT + 1


def test_the_pages_and_commands_show_it_and_retry_it(failure_shell: FailureShell) -> None:
    deployment = failure_shell.stepped_deployment
    rewrite(deployment, failure_shell.ids[0], **OF_TOMORROW, message=f"too old for {SECRET}")
    rewrite(deployment, failure_shell.ids[1], state="paused")
    groups = {(each["reason"], each["state"]): each["count"] for each in failure_shell.json("failed")}
    assert (groups["too_old", "dead"], groups["handler_error", "paused"]) == (1, 1)
    assert [each["id"] for each in failure_shell.json("failed", "--each", "--reason", "too_old")] == failure_shell.ids[:1]
    assert [each["id"] for each in failure_shell.json("failed", "--each", "--state", "paused")] == failure_shell.ids[1:2]
    shown = failure_shell("failed", "show", failure_shell.ids[0])
    assert shown.exit_code == 0
    assert SECRET not in shown.output, "what a newer release's message may quote, this one cannot know"
    page = {group.reason: group for group in grouped(deployment.failures.all())}
    assert page[Reason("too_old")].dead == 1
    assert SECRET not in page[Reason("too_old")].rows[0].why
    service = RetryService(deployment.failures, None)
    assert len(service.dead(lambda each: each.reason == "too_old")) == 1
    assert failure_shell("retry", "--reason", "too_old", "--yes").exit_code == 0
    assert deployment.failures.get(*failure_shell.ids[0].split(":")).state is FailureState.RETRYING
    assert failure_shell("failed", "--reason", "too_new").exit_code == 2


def a_failure(**changed: object) -> Failure:
    start = {"event_id": "1-0", "handler": "refunds", "provider": "instacart", "message": "x", "body": b"{}"}
    return msgspec.convert(start | {"reason": "too_old"} | changed, Failure)


def test_an_unknown_reason_is_equal_to_itself_and_among_no_known_ones() -> None:
    assert read_failure("refunds:1-0", encode_failure(a_failure())) == a_failure()
    assert len({a_failure().reason, Reason("too_old")}) == 1
    assert a_failure().reason not in set(Reason)
    assert redact(a_failure(message=SECRET)).message.startswith("(a reason of a newer release)")
    assert SECRET not in summary(a_failure(message=SECRET))


def test_a_field_that_takes_its_default_again_leaves_the_record() -> None:
    before = a_failure(note="why")
    record = msgspec.msgpack.encode(msgspec.msgpack.decode(encode_failure(before)) | {"new": 1})
    fields = msgspec.msgpack.decode(encode_changed(record, before, a_failure()))
    assert (fields["new"], "note" in fields) == (1, False)
