"""Looking orders up: exactly those that are asked for, whatever their ids hold, and by the index from the first row on."""

from sqlalchemy import insert, select

from tests.support.books import Books
from workers.ledger.tables import orders
from workers.ledger.upsert import among

ODD = ["1", "", " ", 'a"b', "back\\slash", "{1,2}", "NULL", "a,b", "new\nline", "🛒", "it's", "%s", "1 1"]


def test_exactly_the_orders_that_are_asked_for_are_found(books: Books) -> None:
    written = [(provider, order_id) for provider in ("afosto", "instacart") for order_id in ODD]
    asked = [*written[::2], ("afosto", "nowhere")]
    with books.ledger.begin() as connection:
        connection.execute(insert(orders), [{"provider": provider, "order_id": order_id} for provider, order_id in written])
        found = connection.execute(select(orders.c.provider, orders.c.order_id).where(among(connection, orders, asked))).all()
        assert sorted(tuple(row) for row in found) == sorted(written[::2])
        assert connection.execute(select(orders.c.order_id).where(among(connection, orders, []))).all() == []


def test_a_plan_made_while_a_table_is_small_reads_its_index(books: Books) -> None:
    """PostgreSQL keeps the plan while the table grows to millions of rows."""
    if books.ledger.engine.dialect.name == "sqlite":
        return
    with books.ledger.begin() as connection:
        connection.execute(insert(orders), [{"provider": "afosto", "order_id": "1"}])
        connection.exec_driver_sql("ANALYZE orders")  # the planner knows now that there is but one row
        query = select(orders.c.order_id).where(among(connection, orders, [("instacart", "1"), ("afosto", "2")]))
        compiled = query.compile(dialect=connection.dialect)
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}", dict(compiled.params)).scalars())
    assert "Index Cond" in plan, plan
    assert "Seq Scan" not in plan, plan
