"""The ingress as it runs: uvicorn with uvloop and httptools on loopback, in a thread or as a process of its own."""

import hashlib
import hmac
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import uvicorn

import ingress.server
from ingress.app import create_app
from ingress.bearer import issue
from schemas import keys
from schemas.settings import Settings
from tests.support.ports import LOOPBACK, free_port
from tests.support.settings import AFOSTO_SECRET, CLIENT_ID, SIGNING_KEY, environment_for_tests, make_settings
from tests.support.valkey import broker_of
from tests.support.waiting import wait_for

_START_SECONDS = 20.0
_ROOT = Path(__file__).parents[2]

Serve = Callable[..., httpx.Client]


@contextmanager
def running_ingress(settings: Settings, **given: Any) -> Iterator[str]:
    """Serve the application in a thread and give its URL; on leaving it stops as on SIGTERM. `given` is for uvicorn."""
    config = uvicorn.Config(
        create_app(settings), host=LOOPBACK, port=0, log_config=None, **(ingress.server.options(settings) | given)
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="ingress", daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive(), _START_SECONDS, "the ingress to start")
        assert server.started, "the ingress ended while starting: see the log"
        yield f"http://{LOOPBACK}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_START_SECONDS)
    assert not thread.is_alive(), "the ingress did not stop"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an ingress and give a client of it: `client = serve(REDIS_URL=valkey_url)`. All end with the test."""
    with ExitStack() as stack:

        def start(**environment: str) -> httpx.Client:
            url = stack.enter_context(running_ingress(make_settings(**environment)))
            return stack.enter_context(httpx.Client(base_url=url, timeout=30))

        yield start


def ingress_command(port: int) -> list[str]:
    """Runs an ingress that says all it can."""
    return [sys.executable, "-m", "ingress", f"--host={LOOPBACK}", f"--port={port}", "--loglevel=debug"]


class IngressProcess:
    """`python -m ingress` as a process, its log in a file."""

    def __init__(self, log: Path, **environment: str) -> None:
        self.url = f"http://{LOOPBACK}:{(port := free_port())}"
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ingress_command(port),
                cwd=_ROOT,
                env=os.environ | environment_for_tests(**environment),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(self._answers, _START_SECONDS, "the ingress process to answer")
        except BaseException:
            self.kill()
            raise

    @property
    def log(self) -> str:
        """All it has written."""
        return self._log.read_text()

    @property
    def resident_mb(self) -> float:
        """Memory that it uses now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def stop(self) -> None:
        """Ask it to stop (SIGTERM), and see that it does so in good order. uvicorn then ends by the signal it got."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(_START_SECONDS) in {0, -signal.SIGTERM}, self.log[-5000:]
        assert "Application shutdown complete." in self.log, self.log[-5000:]

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(_START_SECONDS)

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the ingress ended while starting: {self.log}"
        try:
            return httpx.get(f"{self.url}/healthz").is_success
        except httpx.TransportError:
            return False


def bearer(key: str = SIGNING_KEY) -> dict[str, str]:
    """The header that opens the Instacart route for an hour."""
    return {"Authorization": f"Bearer {issue(key, CLIENT_ID, time.time(), timedelta(hours=1), None, None)}"}


def signed(body: bytes, secret: str = AFOSTO_SECRET) -> dict[str, str]:
    """The header that opens the Afosto route for this body."""
    return {"X-Afosto-Hmac-Sha256": hmac.digest(secret.encode(), body, hashlib.sha256).hex()}


def stored(url: str) -> list[tuple[str, str, bytes]]:
    """What the inbox holds, oldest first: event id, provider, body."""
    with redis.Redis.from_url(url) as client:
        entries = client.xrange(keys.INBOX)
    return [(name.decode(), fields[keys.FIELD_PROVIDER].decode(), fields[keys.FIELD_BODY]) for name, fields in entries]


def rung(url: str) -> int:
    """How many doorbells for the dispatcher wait at the broker beside this inbox."""
    with redis.Redis.from_url(broker_of(url)) as broker:
        return int(broker.llen("curbside:curbside.dispatch"))
