"""What a person decided about a failure holds, although claim checks of the same event still wait."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import keys
from schemas.failures import FailureState
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment, open_stepped_deployment
from tests.support.valkey_servers import RealValkey
from tests.unit.failing_deployment import QUICK, refund, refunds
from workers.valkey.entries import Entry

TODO = keys.todo("refunds")


@pytest.fixture
def deployment(
    real_server: RealValkey, migrated_sqlite: Path, tmp_path: Path, failing_handler: FailingHandler
) -> Iterator[SteppedDeployment]:
    """One failing handler, on Valkey and on Redis."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with open_stepped_deployment(real_server.url, f"sqlite:///{database}", [failing_handler.handler(QUICK)]) as deployment:
        yield deployment


def named_twice(deployment: SteppedDeployment) -> tuple[str, list[Entry], list[Entry]]:
    """An event that two claim checks name, as after a replay by release 0.1 while it waited. Its id, and both, each read."""
    event_id = deployment.append(refund("o1"))
    deployment.dispatch()
    deployment.client.xadd(TODO, {keys.FIELD_EVENT: event_id})
    deployment.client.hincrby(keys.COUNTERS, "routed:refunds", 1)
    deployment.client.hincrby(keys.COUNTERS, "waiting:refunds", 1)
    deployment.store.ensure_groups([TODO])
    first, second = (deployment.store.read(TODO, name, 1) for name in ("w1", "w2"))
    assert deployment.sums.waiting_for == {"refunds": 2}
    return event_id, first, second


def counts(deployment: SteppedDeployment) -> dict[str, int]:
    """The counters of the handler that are not 0, the sums checked."""
    found = deployment.sums.counters
    return {name.removesuffix(":refunds"): count for name, count in found.items() if ":" in name and count}


@pytest.mark.parametrize("is_mended", [False, True])
def test_a_discarded_event_is_not_applied_and_keeps_its_note_whatever_claim_check_comes(
    deployment: SteppedDeployment, failing_handler: FailingHandler, is_mended: bool
) -> None:
    event_id, first, second = named_twice(deployment)
    deployment.process("refunds", first)
    deployment.failures.discard("refunds", event_id, "not owed")
    failing_handler.bug = None if is_mended else failing_handler.bug
    deployment.process("refunds", second)
    failure = deployment.failures.get("refunds", event_id)
    assert (failure.state, failure.note) == (FailureState.DISCARDED, "not owed")
    assert refunds(deployment) == []
    assert counts(deployment) == {"routed": 1, "failed": 1, "discarded": 1}
    failing_handler.bug = None
    assert deployment.run_retries_until_settled() == []
    deployment.failures.retry("refunds", event_id, 1)
    assert deployment.run_retries_until_settled() == ["applied"]
    assert counts(deployment) == {"routed": 1, "applied": 1}


def test_a_person_s_retry_is_not_undone_by_a_claim_check_that_fails_too(
    deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    event_id, first, second = named_twice(deployment)
    deployment.process("refunds", first)
    retried = deployment.failures.retry("refunds", event_id, 1)
    (leased,) = deployment.take_due()
    deployment.process("refunds", second)
    assert deployment.failures.get("refunds", event_id) == retried == leased
    failing_handler.bug = None
    assert deployment.run_retry("refunds", event_id) is None
    assert counts(deployment) == {"routed": 1, "applied": 1}


def before_acknowledging(deployment: SteppedDeployment, monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Do something once, after the next commit in the ledger and before the claim checks are acknowledged."""
    acknowledge = deployment.store.ack_batch

    def first_do(*args: Any) -> int:
        monkeypatch.undo()
        do()
        return acknowledge(*args)

    monkeypatch.setattr(deployment.store, "ack_batch", first_do)


@pytest.mark.parametrize("decision", ["none", "retry", "discard"])
def test_an_event_that_failed_elsewhere_while_it_was_applied_here_is_applied_and_on_no_record(
    deployment: SteppedDeployment,
    failing_handler: FailingHandler,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    decision: str,
) -> None:
    event_id, first, second = named_twice(deployment)

    def fails_elsewhere() -> None:
        failing_handler.bug = KeyError("a bug")
        deployment.process("refunds", first)
        if decision == "retry":
            deployment.failures.retry("refunds", event_id, 1)
        if decision == "discard":
            deployment.failures.discard("refunds", event_id, "too late")

    failing_handler.bug = None
    before_acknowledging(deployment, monkeypatch, fails_elsewhere)
    deployment.process("refunds", second)
    assert refunds(deployment) == ["o1"]
    assert deployment.failures.count() == 0
    assert counts(deployment) == {"routed": 2, "applied": 2}
    assert not deployment.client.exists(keys.RETRIES, keys.IN_FLIGHT)
    assert ("was discarded at the moment" in caplog.text) == (decision == "discard")


def test_a_claim_that_was_lost_and_applied_all_the_same_leaves_no_record_that_says_otherwise(
    deployment: SteppedDeployment, failing_handler: FailingHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = deployment.append(refund("o1"))
    deployment.dispatch()
    deployment.store.ensure_groups([TODO])
    taken = deployment.store.read(TODO, "frozen", 1)

    def fails_elsewhere() -> None:
        failing_handler.bug = KeyError("a bug")
        deployment.process("refunds", taken)
        deployment.failures.discard("refunds", event_id, "not owed")

    failing_handler.bug = None
    before_acknowledging(deployment, monkeypatch, fails_elsewhere)
    deployment.process("refunds", taken)
    assert refunds(deployment) == ["o1"]
    assert deployment.failures.count() == 0
    assert counts(deployment) == {"routed": 1, "applied": 1}


def test_an_event_that_fails_here_too_changes_nothing_that_was_decided_meanwhile(
    deployment: SteppedDeployment, failing_handler: FailingHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id, first, second = named_twice(deployment)

    def fails_elsewhere() -> None:
        deployment.process("refunds", first)
        deployment.failures.discard("refunds", event_id, "not owed")

    before_acknowledging(deployment, monkeypatch, fails_elsewhere)
    deployment.process("refunds", second)
    failure = deployment.failures.get("refunds", event_id)
    assert (failure.state, failure.note) == (FailureState.DISCARDED, "not owed")
    assert counts(deployment) == {"routed": 1, "failed": 1, "discarded": 1}
    assert not deployment.client.exists(keys.RETRIES)
    assert failing_handler.calls == 2
