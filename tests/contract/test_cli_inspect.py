"""`curbside status` and `curbside order`: text and JSON output, also during an outage of the ledger."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas import keys
from schemas.events import Kind
from tests.contract.handler_events import ORDER, at, event, line
from tests.contract.test_wrong_clocks import told, without_time
from tests.payloads import FLAT_ORDER, FOLDER, recorded
from tests.support.command_line import CommandResult, curbside, in_process
from tests.support.ledger_fixture import HANDLERS, open_ledger_fixture
from tests.support.settings import environment_for_tests
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment, open_stepped_deployment
from workers.failures.retry_policy import NO_RETRY

NOWHERE = "postgresql://me:hunter2@127.0.0.1:1/nowhere"


class Shell:
    """A deployment. Calling it runs `curbside`."""

    def __init__(self, stepped_deployment: SteppedDeployment, environment: dict[str, str]) -> None:
        self.stepped_deployment, self.environment = stepped_deployment, environment_for_tests(**environment)

    def __call__(self, *arguments: str) -> CommandResult:
        return in_process(*arguments, environment=self.environment)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").output)


@pytest.fixture
def shell(valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[Shell]:
    """All events of one order, a failed refund, a decode error, an event with an unknown name, and one not dispatched."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    environment = {"REDIS_URL": valkey_url, "DATABASE_URL": f"sqlite:///{database}"}
    bug = FailingHandler("refunds", KeyError("a bug"))
    handlers = [bug.handler(NO_RETRY) if name == "refunds" else HANDLERS[name] for name in HANDLERS]
    with open_stepped_deployment(valkey_url, environment["DATABASE_URL"], handlers) as stepped_deployment:
        stepped_deployment.append(recorded("instacart/flat/customer_mia"))
        stepped_deployment.work()  # before the order's end, after which nobody is called
        for path in sorted((FOLDER / "instacart" / "flat").glob("*.json")):
            stepped_deployment.append(path.read_bytes())
        stepped_deployment.append(recorded("instacart/flat/picking"))
        stepped_deployment.append(b"{")
        stepped_deployment.append(b'{"event":"\\u001b[31mred","order_id":"o-new"}')
        stepped_deployment.work()
        stepped_deployment.append(recorded("afosto/order_opened"), "afosto")
        yield Shell(stepped_deployment, environment)


def test_status_counts_every_event_and_the_sums_hold(shell: Shell) -> None:
    said, status = shell("status"), shell.json("status")
    inbox = status["inbox"]
    assert (said.exit_code, status["balanced"]) == (0, True)
    assert inbox["received"] == inbox["duplicate"] + inbox["routed"] + inbox["undecodable"] + inbox["waiting"] == 17
    assert (inbox["duplicate"], inbox["undecodable"], inbox["waiting"], inbox["lag"]) == (2, 1, 1, 1)
    assert inbox["oldest_age_seconds"] < 60
    refunds = status["handlers"]["refunds"]
    assert (refunds["routed"], refunds["applied"], refunds["failed"], refunds["waiting"]) == (1, 0, 1, 0)
    assert status["failures"] == 2
    assert status["outbox"]["waiting"] == 1
    assert said.output.splitlines()[-1] == "the sums hold"
    assert "2 failures on record: see `curbside failed`" in said.output


def test_a_provider_s_event_name_cannot_send_terminal_commands(shell: Shell) -> None:
    for said in (shell("status"), shell("order", "o-new")):
        assert "\x1b" not in said.output
        assert r"\x1b[31mred" in said.output


def test_a_sum_that_does_not_hold_is_exit_code_1(shell: Shell) -> None:
    shell.stepped_deployment.client.hincrby(keys.COUNTERS, "routed:refunds", 1)
    said = shell("status")
    assert said.exit_code == 1
    assert "A sum does not hold" in said.errors
    assert said.output.splitlines()[-1] == "the sums do NOT hold"
    shell.stepped_deployment.client.hincrby(keys.COUNTERS, "routed:refunds", -1)


def test_status_works_without_the_ledger_and_reports_it_unavailable(shell: Shell) -> None:
    shell.environment["DATABASE_URL"] = NOWHERE
    shell.stepped_deployment.store.note_unreachable("timeline", "the database (OperationalError)")
    said, status = shell("status"), shell.json("status")
    assert said.exit_code == 0
    assert "unreachable for status: the database (OperationalError)" in said.errors
    assert "unreachable for timeline: the database (OperationalError)" in said.errors
    assert "the sums hold" in said.output
    assert (status["outbox"], sorted(status["unreachable"])) == (None, ["status", "timeline"])
    assert "hunter2" not in said.output + said.errors


def test_an_outage_that_no_worker_notes_any_more_is_not_shown(shell: Shell) -> None:
    store = shell.stepped_deployment.store
    store.note_unreachable("timeline", "the database", since_ms=1)
    store.note_unreachable("refunds", "the database")
    assert set(shell.json("status")["unreachable"]) == {"timeline", "refunds"}
    store.client.hset(keys.UNREACHABLE_NOTED, "timeline", 1)
    assert set(shell.json("status")["unreachable"]) == {"refunds"}
    store.note_unreachable("timeline", "the database")
    assert shell.json("status")["unreachable_since"]["timeline"] > "2026", "a new outage begins anew"
    for queue in ("timeline", "refunds"):
        store.note_reachable(queue)


def test_order_prints_an_orders_history_in_order(shell: Shell) -> None:
    said, (trace,) = shell("order", FLAT_ORDER), shell.json("order", FLAT_ORDER)
    assert said.exit_code == 0
    times = [step["at"] for step in trace["steps"]]
    assert len(times) > 10
    whats = [step["what"] for step in trace["steps"]]
    assert {"event", "replacement", "late_delivery", "customer_mia", "alert", "failed"} <= set(whats)
    assert times == sorted(times)
    assert trace["state"]["status"]
    assert "handler_error" in said.output, "what failed is part of the story"
    assert f"instacart order {FLAT_ORDER}: " in said.output.splitlines()[0]


def test_order_shows_times_as_sent_sorts_by_what_can_be_meant_and_marks_the_time_of_receipt(shell: Shell) -> None:
    ledger = shell.stepped_deployment.ledger_fixture
    ledger.now = at(300)
    ledger.apply_each(told(Kind.DELIVERING, 0, datetime(2062, 1, 1, tzinfo=UTC)), without_time(Kind.CUSTOMER_MIA, 1))
    ledger.apply_each(told(Kind.DELIVERED, 2))
    lines, (trace,) = shell("order", ORDER).output.splitlines(), shell.json("order", ORDER)
    shown = [line for line in lines if "fulfillment." in line]
    assert [line.partition("  ")[0] for line in shown] == [
        "2062-01-01 00:00:00 (sorted as 2026-03-01 12:00:00)",
        "2026-03-01 12:01:00 (time of receipt)",
        "2026-03-01 12:02:00",
    ]
    steps = {step["details"]["kind"]: step for step in trace["steps"] if step["what"] == "event"}
    assert (steps["delivering"]["at"], steps["delivering"]["ordered_at"]) == ("2062-01-01T00:00:00Z", "2026-03-01T12:00:00Z")
    assert steps["customer_mia"]["has_time"] is False
    assert not {"has_time", "ordered_at"} & set(steps["delivered"])


def test_order_shows_what_a_later_list_takes_back(shell: Shell) -> None:
    ledger = shell.stepped_deployment.ledger_fixture
    first, last = (event(Kind.ORDER_ITEM_REFUND, minute, lines=(line("milk", refunded=minute == 1),)) for minute in (1, 2))
    ledger.apply_each(last, first)
    lines, (trace,) = shell("order", ORDER).output.splitlines(), shell.json("order", ORDER)
    steps = {step["what"]: step for step in trace["steps"]}
    assert (steps["refund"]["event_id"], steps["refund"]["details"]["withdrawn_by"]) == (first.event_id, last.event_id)
    taken_back = steps["refund_withdrawn"]
    assert (taken_back["event_id"], taken_back["at"]) == (last.event_id, "2026-03-01T12:02:00Z")
    assert taken_back["details"] == {"line": "milk", "product": "milk"}
    assert [said.split()[2] for said in lines if "refund" in said.split()[2:3][0]] == ["refund", "refund_withdrawn"]


def test_order_and_status_show_an_alert_that_was_too_old(shell: Shell) -> None:
    shell.environment["ALERT_MAX_AGE"] = "2h"
    with open_ledger_fixture(shell.environment["DATABASE_URL"], ALERT_MAX_AGE="2h") as ledger:
        ledger.now = at(300)
        ledger.apply_each(told(Kind.CUSTOMER_MIA, 1))
    assert "not sent: 4 h old when handled, ALERT_MAX_AGE is 2h" in shell("order", ORDER).output
    assert shell.json("status")["outbox"]["too_old"] == 1
    assert "too old" in shell("status").output


def test_an_unknown_order_is_exit_code_1(shell: Shell) -> None:
    said = shell("order", "nobody")
    assert (said.exit_code, said.output) == (1, "")
    assert said.errors.startswith("No event is known for order nobody")
    assert shell.json("order", "nobody") == []


def test_order_without_the_ledger_is_one_sentence(shell: Shell) -> None:
    shell.environment["DATABASE_URL"] = NOWHERE
    said = shell("order", FLAT_ORDER)
    assert (said.exit_code, said.output) == (2, "")
    assert said.errors == "the database (OperationalError) is unreachable (DATABASE_URL).\n"


def test_a_ledger_that_is_not_migrated_yet_is_reported_as_new(shell: Shell, tmp_path: Path) -> None:
    shell.environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'new.db'}"
    assert "has no tables yet" in shell("order", FLAT_ORDER).errors
    assert "has no tables yet" in shell("status").errors


def test_in_a_pipe_both_are_plain_lines(real_valkey_url: str, migrated_sqlite: Path) -> None:
    environment = environment_for_tests(REDIS_URL=real_valkey_url, DATABASE_URL=f"sqlite:///{migrated_sqlite}")
    said = curbside("status", environment=environment)
    assert (said.exit_code, said.errors) == (0, "")
    assert said.output.isascii()
    assert "\x1b" not in said.output
