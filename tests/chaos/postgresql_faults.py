"""Faults of PostgreSQL, which holds the ledger."""

from tests.chaos.kinds import Turn, fault
from tests.chaos.servers import USER, Postgresql
from tests.chaos.site import Site

_TABLES = ("orders", "order_events", "refunds", "replacements", "customer_mia_alerts", "outbox")
_SOME_ROWS = (
    "SELECT 1 FROM orders WHERE order_id IN (SELECT order_id FROM order_events ORDER BY received_at DESC LIMIT 20) FOR UPDATE"
)


def _of(site: Site) -> Postgresql:
    assert site.postgresql is not None, "a fault of PostgreSQL needs one"
    return site.postgresql


@fault("postgresql-killed", "PostgreSQL crashes, and is started again after a while", "postgresql", 0.5, 4)
def kill(site: Site, turn: Turn) -> None:
    """Crash it."""
    _of(site).server.kill()
    try:
        site.wait(turn.seconds)
    finally:
        _of(site).server.start()


@fault("postgresql-backends-ended", "pg_terminate_backend of every connection, three times", "postgresql")
def end_backends(site: Site, turn: Turn) -> None:
    """End the workers' connections."""
    for _ in range(3):
        _of(site).end_backends()
        site.wait(turn.chance.uniform(0.2, 1.0))


@fault("postgresql-statements-canceled", "pg_cancel_backend of whatever runs, many times", "postgresql")
def cancel_statements(site: Site, turn: Turn) -> None:
    """Cancel the workers' statements."""
    for _ in range(30):
        _of(site).end_backends("pg_cancel_backend")
        site.wait(turn.chance.uniform(0.02, 0.1))


def _lock_rows(site: Site, turn: Turn) -> None:
    with _of(site).connect(autocommit=False) as connection:
        connection.execute(_SOME_ROWS.encode())
        site.wait(turn.seconds)


fault("postgresql-rows-locked", "the rows of some current orders are locked", "postgresql", 3, 6)(_lock_rows)
fault("postgresql-rows-locked-long", "the same for longer than a lock is waited for", "postgresql", 18, 22)(_lock_rows)


@fault("postgresql-table-locked", "a whole table is locked", "postgresql", 2, 5)
def lock_table(site: Site, turn: Turn) -> None:
    """Lock one table."""
    with _of(site).connect(autocommit=False) as connection:
        connection.execute(f"LOCK TABLE {turn.chance.choice(_TABLES)} IN ACCESS EXCLUSIVE MODE".encode())
        site.wait(turn.seconds)


@fault(
    "postgresql-read-only",
    "new connections are read-only, as on the wrong side of a failover; those made then stay so",
    "postgresql",
    2,
    5,
)
def make_read_only(site: Site, turn: Turn) -> None:
    """Make transactions read-only."""
    postgresql = _of(site)
    name = f"ALTER DATABASE {postgresql.database}"
    postgresql.run(f"{name} SET default_transaction_read_only = on")
    try:
        postgresql.end_backends()
        site.wait(turn.seconds)
    finally:
        with postgresql.connect() as connection:
            connection.execute(b"SET default_transaction_read_only = off")
            connection.execute(f"{name} RESET default_transaction_read_only".encode())


@fault("postgresql-rights-revoked", "the workers' role may do nothing with the tables", "postgresql", 2, 5)
def revoke_rights(site: Site, turn: Turn) -> None:
    """Take all rights away."""
    _of(site).revoke()
    try:
        site.wait(turn.seconds)
    finally:
        _of(site).grant()


@fault("postgresql-table-missing", "one table has another name, as in a half restored database", "postgresql", 2, 5)
def hide_table(site: Site, turn: Turn) -> None:
    """Rename one table for a while."""
    table = turn.chance.choice(_TABLES)
    _of(site).run(f"ALTER TABLE {table} RENAME TO {table}_hidden")
    try:
        site.wait(turn.seconds)
    finally:
        _of(site).run(f"ALTER TABLE {table}_hidden RENAME TO {table}")


@fault("postgresql-no-connections", "the role's connections are ended, and new ones refused: too many", "postgresql", 2, 5)
def refuse_connections(site: Site, turn: Turn) -> None:
    """Refuse connections."""
    _of(site).run(f"ALTER ROLE {USER} CONNECTION LIMIT 0")
    try:
        _of(site).end_backends()
        site.wait(turn.seconds)
    finally:
        _of(site).run(f"ALTER ROLE {USER} CONNECTION LIMIT -1")
