"""Lookups of orders: exactly the requested ones, whatever their ids, and through the index from the first row on."""

from sqlalchemy import insert, select

from tests.support.ledger_fixture import LedgerFixture
from workers.ledger.lookups import Lookup, parameters
from workers.ledger.tables import orders

ORDERS = Lookup(orders, select(orders.c.provider, orders.c.order_id))
ODD = ["1", "", " ", 'a"b', "back\\slash", "{1,2}", "NULL", "a,b", "new\nline", "🛒", "it's", "%s", "1 1"]


def test_a_lookup_finds_exactly_the_requested_orders(ledger_fixture: LedgerFixture) -> None:
    written = [(provider, order_id) for provider in ("afosto", "instacart") for order_id in ODD]
    asked = [*written[::2], ("afosto", "nowhere")]
    with ledger_fixture.ledger.begin() as connection:
        connection.execute(insert(orders), [{"provider": provider, "order_id": order_id} for provider, order_id in written])
        assert sorted(tuple(row) for row in ORDERS.rows(connection, asked)) == sorted(written[::2])
        assert ORDERS.rows(connection, []) == []


def test_a_plan_made_while_a_table_is_small_reads_its_index(ledger_fixture: LedgerFixture) -> None:
    """PostgreSQL keeps the plan while the table grows to millions of rows."""
    if ledger_fixture.ledger.engine.dialect.name == "sqlite":
        return
    with ledger_fixture.ledger.begin() as connection:
        connection.execute(insert(orders), [{"provider": "afosto", "order_id": "1"}])
        connection.exec_driver_sql("ANALYZE orders")  # the planner knows now that there is but one row
        query = ORDERS.on_postgresql.compile(dialect=connection.dialect)
        asked = query.params | parameters([("instacart", "1"), ("afosto", "2")])
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {query}", asked).scalars())
    assert "Index Cond" in plan, plan
    assert "Seq Scan" not in plan, plan
