"""`workers.testing`, for authors of handlers, uses the real decoder and ledger, and finds handlers that are not idempotent."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, text

from schemas.contracts import CONTRACTS
from schemas.events import Event, Kind
from schemas.failures import DecodeError
from schemas.provider_modules import load_providers
from tests.support.command_line import REPOSITORY
from workers.errors import HandlerError, PermanentError
from workers.handler import Alert, UnitOfWork, handler, registered
from workers.testing import MemoryLedger, load_event

PAYLOADS = REPOSITORY / "tests" / "payloads"
DELIVERED = PAYLOADS / "instacart" / "flat" / "delivered.json"
PAGE = REPOSITORY / "workers" / "handlers" / "README.md"

counts = MetaData()
Table("counts", counts, Column("order_id", String, primary_key=True), Column("times", Integer))
_COUNT = text("INSERT INTO counts VALUES (:order, 1) ON CONFLICT (order_id) DO UPDATE SET times = counts.times + 1")


@handler("counting", Kind.DELIVERED)
def counting(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Counts each time an event is applied: the mistake that the helper is there to find."""
    work.connection.execute(_COUNT, [{"order": event.order_ids[0]} for event in events])


@handler("batch_alerts", Kind.DELIVERED)
def batch_alerts(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Names its alert by the batch, which is another one when a worker applies the events again."""
    work.alert(Alert(" ".join(sorted(event.identity for event in events)), "batch", "A batch", {"at": events[0].occurred_at}))


@handler("refusing")
def refusing(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Writes, then refuses."""
    work.connection.execute(_COUNT, [{"order": event.order_ids[0]} for event in events])
    raise PermanentError("closed")


def undecorated(_: UnitOfWork, __: Sequence[Event]) -> None:
    """Is no handler."""


def delivered(order: str) -> Event:
    return load_event("instacart", b'{"event":"delivered","order_id":"%s","timestamp":"2026-03-01T12:00:00Z"}' % order.encode())


def test_a_body_is_the_same_event_from_its_file_and_from_its_bytes() -> None:
    event = load_event("instacart", DELIVERED)
    assert event == load_event("instacart", DELIVERED.read_bytes())
    assert (event.kind, event.order_ids) == (Kind.DELIVERED, ("fc-104233",))


def test_a_body_that_cannot_be_decoded_is_refused_with_its_place() -> None:
    with pytest.raises(DecodeError, match=r"^\$\.order_id: expected"):
        load_event("instacart", b'{"event":"delivered","order_id":[]}')


def test_a_users_provider_is_known_after_its_module_is_loaded() -> None:
    load_providers(["tests.examples.toyshop"])
    try:
        event = load_event("toyshop", b'{"id":"n-1","type":"order.placed","order":"toy-7","at":"2026-03-02T08:00:00Z"}')
    finally:
        del CONTRACTS["toyshop"]
    assert (event.kind, event.provider) == (Kind.ORDER_CREATED, "toyshop")


def test_a_handler_that_counts_every_time_is_found() -> None:
    with (
        MemoryLedger(counts) as ledger,
        pytest.raises(AssertionError, match=r"^counting is not idempotent: .* changed counts$"),
    ):
        ledger.apply_twice(counting, delivered("a"))


def test_an_alert_that_depends_on_the_batch_is_found() -> None:
    with MemoryLedger() as ledger:
        ledger.apply_twice(batch_alerts, delivered("a"))
        with pytest.raises(AssertionError, match="changed outbox"):
            ledger.apply_twice(batch_alerts, delivered("b"), delivered("c"))


def test_an_alert_is_read_back_as_it_was_written_with_times_as_text() -> None:
    event = delivered("a")
    with MemoryLedger(ALERT_WEBHOOK_URL="http://127.0.0.1:1", ALERT_WEBHOOK_SECRET="whsec_" + "A" * 32) as ledger:
        ledger.apply(batch_alerts, event)
        assert ledger.alerts() == [Alert(event.identity, "batch", "A batch", {"at": "2026-03-01T12:00:00+00:00"})]
        assert [row["channel"] for row in ledger.rows("outbox")] == ["log", "webhook"]


def test_what_a_handler_wrote_before_it_raised_is_gone() -> None:
    with MemoryLedger(counts) as ledger:
        with pytest.raises(PermanentError, match="closed"):
            ledger.apply(refusing, delivered("a"))
        assert ledger.rows("counts") == []


def test_an_event_of_another_kind_is_refused() -> None:
    picking = load_event("instacart", PAYLOADS / "instacart" / "flat" / "picking.json")
    with MemoryLedger(counts) as ledger:
        with pytest.raises(ValueError, match="'counting' is not registered for picking"):
            ledger.apply(counting, picking)
        with pytest.raises(HandlerError, match=r"undecorated.* is no handler: it needs @handler"):
            ledger.apply(undecorated, picking)


@pytest.mark.parametrize("path", sorted(PAYLOADS.rglob("*.json")), ids=lambda path: "-".join(path.relative_to(PAYLOADS).parts))
def test_every_built_in_handler_is_idempotent_on_every_recorded_body(path: Path) -> None:
    event = load_event(path.relative_to(PAYLOADS).parts[0], path)
    with MemoryLedger(LATE_ALERT_MINUTES="1") as ledger:
        for each in registered():
            if each.wants(event.kind):
                ledger.apply_twice(each.apply, event)
        assert [row["kind"] for row in ledger.rows("order_events")] == [event.kind.value] * len(event.order_ids)


def test_settings_are_given_by_name_and_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATE_ALERT_MINUTES", "99")
    monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/ledger.db")
    with MemoryLedger(DEDUPE_WINDOW="1h") as ledger:
        assert (ledger.settings.late_alert_minutes, ledger.settings.dedupe_window.total_seconds()) == (15, 3600)


def test_two_ledgers_are_apart_and_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with MemoryLedger(counts) as one, MemoryLedger(counts) as other:
        one.apply(counting, delivered("a"))
        assert (len(one.rows("counts")), len(other.rows("counts"))) == (1, 0)
    assert os.listdir(tmp_path) == []


def test_the_page_for_authors_of_handlers_shows_the_examples_that_the_tests_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    examples = REPOSITORY / "tests" / "examples"
    assert blocks == [
        (examples / name).read_text() for name in ("points.py", "test_points.py", "loyalty.py", "large_refunds.py")
    ]
