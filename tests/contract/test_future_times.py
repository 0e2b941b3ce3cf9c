"""What release 0.1 stored under times of the far future no longer rules once the ledger is migrated."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, column, insert, table

from schemas.events import Event, Kind
from tests.contract.handler_events import ORDER, at
from tests.contract.test_wrong_clocks import FAR, told
from tests.support.ledger_fixture import LedgerFixture, open_ledger_fixture
from workers.ledger import migrations
from workers.ledger.columns import UtcTime
from workers.ledger.event_order import ordering_key_of
from workers.ledger.ledger import open_engine


def add(connection: Connection, to: str, **values: Any) -> None:
    """Insert a row as 0.1 did."""
    columns = [column(each, UtcTime) if each.endswith("_at") else column(each) for each in values]
    connection.execute(insert(table(to, *columns)), values)


def key_of_0_1(event: Event) -> str:
    return ordering_key_of(event.occurred_at, event.status, event.identity)


def ledger_of_0_1(url: str, *frozen: Event) -> None:
    """A ledger of 0.1 whose order took these events of the future as the newest for ever."""
    engine = open_engine(url)
    picking, late, promise = frozen
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        own: dict[str, Any] = {"provider": "instacart", "order_id": ORDER}
        for event in (*frozen, told(Kind.DELIVERING, 5)):
            times = {"occurred_at": event.occurred_at, "received_at": event.received_at}
            row = own | times | {"event_id": event.event_id, "identity": event.identity, "kind": event.kind.value}
            add(connection, "order_events", **row, name=event.name, status=event.status, expected_at=event.promised_at)
        add(
            connection, "orders", **own, status="picking", status_at=picking.occurred_at, status_news=key_of_0_1(picking),
            promised_at=promise.promised_at, promised_news=key_of_0_1(promise), number="7", number_news=key_of_0_1(picking),
            first_event_at=at(0), last_event_at=picking.occurred_at,
        )  # fmt: skip
        own |= {"event_id": late.event_id, "received_at": late.received_at, "occurred_at": late.occurred_at}
        add(connection, "late_deliveries", **own, news=key_of_0_1(late), expected_at=late.promised_at)
        reported = {"first_reported_at": at(1), "last_reported_at": late.occurred_at}
        add(connection, "customer_mia_alerts", **own, identity="a", **reported)
        lines = {"line": "1", "substitute": "oat", "first_news": key_of_0_1(late), "last_news": key_of_0_1(late)}
        add(connection, "replacements", **own, **lines)
    engine.dispose()


@FAR
def test_a_migration_frees_what_a_time_of_the_far_future_had_frozen(ledger_url: str, said: Any) -> None:
    frozen = (
        told(Kind.PICKING, 1, said),
        told(Kind.LATE_DELIVERY, 3, said, promised_at=at(200)),
        told(Kind.RESCHEDULED, 2, said, promised_at=at(60)),
    )
    ledger_of_0_1(ledger_url, *frozen)
    with open_ledger_fixture(ledger_url) as ledger:
        row = ledger.row("orders")
        assert (row["status"], row["status_at"], row["number"]) == ("delivering", at(5), "7"), "the history tells the newest"
        assert (row["first_event_at"], row["last_event_at"], row["promised_at"]) == (at(1), at(5), at(60))
        assert ledger.row("replacements")["last_news"].startswith(at(3).isoformat(timespec="microseconds"))
        _check_what_comes_next(ledger)


def _check_what_comes_next(ledger: LedgerFixture) -> None:
    ledger.apply_each(
        told(Kind.LATE_DELIVERY, 6, promised_at=at(90)),
        told(Kind.STAGING, 7, number="8"),
        told(Kind.DELIVERED, 8),
    )
    assert (ledger.row("late_deliveries")["occurred_at"], ledger.row("late_deliveries")["minutes_late"]) == (at(6), 30)
    assert (ledger.row("orders")["status"], ledger.row("orders")["number"]) == ("delivered", "8")
    assert ledger.row("customer_mia_alerts")["closed_at"] == at(8)
