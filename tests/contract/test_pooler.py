"""The ledger through Debian's pgbouncer with transaction pooling, as shipped: every transaction may meet another server."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from schemas.events import Event, Kind
from tests.contract.handler_events import event, line
from tests.support.ledger_fixture import HANDLERS, open_ledger_fixture
from tests.support.pgbouncer import Pgbouncer
from tests.support.postgresql_server import PostgresqlServer
from tests.support.waiting import wait_for
from workers.errors import DependencyUnavailableError

ROUNDS = 12
"""More than the driver needs to prepare a statement."""


@pytest.fixture
def pooled_database(postgresql: PostgresqlServer, pgbouncer: Pgbouncer) -> Iterator[str]:
    """A new database, whose connections pgbouncer shares among its clients."""
    name = postgresql.create_database()
    yield name
    pgbouncer.stop()
    postgresql.drop_database(name)


def of_every_kind(order: str, minute: int) -> list[Event]:
    refunded = (line("1", refunded=True),)
    return [
        event(Kind.PICKING, minute, order),
        event(Kind.LATE_DELIVERY, minute, order),
        event(Kind.ORDER_ITEM_REFUND, minute, order, lines=refunded),
        event(Kind.ORDER_ITEM_REPLACEMENT, minute, order, lines=refunded),
        event(Kind.CUSTOMER_MIA, minute, order),
        event(Kind.DELIVERED, minute, order),
    ]


def test_all_handlers_work_beside_each_other_through_a_pooler(pgbouncer: Pgbouncer, pooled_database: str) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with open_ledger_fixture(pgbouncer.url(pooled_database)) as mine:
                for turn in range(ROUNDS):
                    mine.apply_each(*of_every_kind(f"{number}-{turn}", turn))
        except BaseException as error:
            errors.append(error)

    with open_ledger_fixture(pgbouncer.url(pooled_database)) as first:
        first.ledger.migrate()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        assert errors == []
        orders = {f"{number}-{turn}" for number in range(4) for turn in range(ROUNDS)}
        for table in ("orders", "refunds", "late_deliveries", "customer_mia_alerts"):
            assert Counter(row["order_id"] for row in first.rows(table)) == Counter(orders), table
        assert len(first.rows("order_events")) == 6 * len(orders)
        assert len(HANDLERS) == 5, "each has a kind of event above"


def test_a_restarted_pooler_or_server_is_an_outage_and_then_used_again(
    postgresql: PostgresqlServer, pgbouncer: Pgbouncer, pooled_database: str
) -> None:
    with open_ledger_fixture(pgbouncer.url(pooled_database)) as ledger_fixture:
        ledger_fixture.apply_each(event(Kind.PICKING, 1, "a"))
        pgbouncer.stop()
        with pytest.raises(DependencyUnavailableError):
            ledger_fixture.apply_each(event(Kind.PICKING, 2, "b"))
        pgbouncer.start()
        ledger_fixture.apply_each(event(Kind.PICKING, 2, "b"))
        postgresql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname <> 'postgres'")

        def works_again() -> bool:
            try:
                ledger_fixture.apply_each(event(Kind.PICKING, 3, "c"))
            except DependencyUnavailableError:
                return False
            return True

        wait_for(works_again, 10, "the pooler to connect to the server again")
        assert [row["order_id"] for row in ledger_fixture.rows("orders")] == ["a", "b", "c"]
