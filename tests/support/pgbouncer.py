"""Debian's pgbouncer with transaction pooling, before the embedded PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.postgresql_server import PostgresqlServer
from tests.support.settings import LOOPBACK, free_port
from tests.support.tcp_proxy import tcp_proxy
from tests.support.waiting import wait_for

_CONFIGURATION = """\
[databases]
* = host={host} port={server_port} user=postgres
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_login_retry = 1
"""
"""All else is as shipped."""


class Pgbouncer:
    """A pgbouncer process."""

    def __init__(self, program: str, server_port: int) -> None:
        self._program, self.port = program, free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="curbside-pgbouncer-"))
        self._folder.chmod(0o755)
        self._file = self._folder / "pgbouncer.ini"
        self._file.write_text(_CONFIGURATION.format(host=LOOPBACK, port=self.port, server_port=server_port))
        self._file.chmod(0o644)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Return when it answers."""
        as_user = ("-u", "nobody") if os.geteuid() == 0 else ()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-q", *as_user, str(self._file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for(self._answers, 10, "pgbouncer to answer")

    def stop(self) -> None:
        """End it and close its connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def url(self, database: str) -> str:
        """The URL of a database, through it."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    def discard(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def pgbouncer(postgresql: PostgresqlServer) -> Iterator[Pgbouncer]:
    """A running pgbouncer; skips where Debian's package is missing."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        if os.environ.get("CURBSIDE_PGBOUNCER_TESTS") == "required":
            pytest.fail("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
        pytest.skip("pgbouncer is not installed")
    with tcp_proxy(postgresql.socket) as proxy:
        made = Pgbouncer(program, proxy.port)
        try:
            made.start()
            yield made
        finally:
            made.discard()
