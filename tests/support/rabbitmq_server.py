"""RabbitMQ for tests: Debian's server on loopback, with its own port mapper and data, which a test may kill, freeze and restart."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.settings import LOOPBACK, free_port
from tests.support.waiting import wait_for

_PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""The package's own program: the one in the path only runs as root."""
_START_SECONDS = 60.0


class RabbitMQ:
    """A RabbitMQ server without plugins."""

    def __init__(self) -> None:
        self.port, self._epmd_port = free_port(), free_port()
        self.url = f"amqp://guest:guest@{LOOPBACK}:{self.port}//"
        self.folder = Path(tempfile.mkdtemp(prefix="curbside-rabbitmq-"))
        self._epmd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process runs or is frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start with the same port and data as before. Return when it takes connections."""
        assert not self.is_running, "RabbitMQ runs already"
        if self._epmd is None:
            epmd = ["epmd", "-address", LOOPBACK, "-port", str(self._epmd_port)]
            self._epmd = subprocess.Popen(epmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_PROGRAM], env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(self._answers, _START_SECONDS, f"RabbitMQ to answer on port {self.port}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None, "RabbitMQ does not run"
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_START_SECONDS)

    def freeze(self) -> None:
        """Leave its connections open and answer nothing."""
        assert self._process is not None, "RabbitMQ does not run"
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `freeze`."""
        assert self._process is not None, "RabbitMQ does not run"
        os.killpg(self._process.pid, signal.SIGCONT)

    def restore(self) -> None:
        """Make it run again, whatever a test did to it."""
        if self.is_running:
            self.resume()
        else:
            self.start()

    def discard(self) -> None:
        """Stop it and its port mapper, and delete its data."""
        if self.is_running:
            self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(_START_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        here = str(self.folder)
        return os.environ | {
            "HOME": here,
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"curbside{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": here,
            "RABBITMQ_LOG_BASE": here,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{here}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{here}/pid",
        }

    def _answers(self) -> bool:
        assert self.is_running, f"RabbitMQ ended: {(self.folder / 'log').read_text()[-2000:]}"
        try:
            with socket.create_connection((LOOPBACK, self.port), 1) as connection:
                connection.settimeout(1)
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(connection.recv(1))
        except OSError:
            return False


@pytest.fixture(scope="session")
def rabbitmq_process() -> Iterator[RabbitMQ]:
    """The session's server. Tests use `rabbitmq`."""
    if not Path(_PROGRAM).exists():
        if os.environ.get("CURBSIDE_RABBITMQ_TESTS") == "required":
            pytest.fail("rabbitmq-server is not installed (Debian package rabbitmq-server)")
        pytest.skip("rabbitmq-server is not installed (Debian package rabbitmq-server)")
    server = RabbitMQ()
    try:
        server.start()
        yield server
    finally:
        server.discard()


@pytest.fixture
def rabbitmq(rabbitmq_process: RabbitMQ) -> Iterator[RabbitMQ]:
    """A real RabbitMQ that the test may kill, freeze and restart."""
    yield rabbitmq_process
    rabbitmq_process.restore()
