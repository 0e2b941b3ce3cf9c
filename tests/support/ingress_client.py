"""Runs the ingress in a thread or as a process, posts to it as providers do, and reads what it stored."""

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
from typing import Any, NamedTuple, Self

import httpx
import pytest
import redis
import uvicorn

import ingress.server
from ingress.app import create_app
from ingress.bearer import issue
from schemas import keys
from schemas.events import Provider
from schemas.settings import Settings
from tests.support.settings import (
    AFOSTO_SECRET,
    CLIENT_ID,
    CLIENT_SECRET,
    LOOPBACK,
    SIGNING_KEY,
    environment_for_tests,
    free_port,
    make_settings,
)
from tests.support.valkey_servers import broker_of
from tests.support.waiting import wait_for

_START_SECONDS = 20.0
_ROOT = Path(__file__).parents[2]

Serve = Callable[..., httpx.Client]


@contextmanager
def running_ingress(settings: Settings, **given: Any) -> Iterator[str]:
    """Serve the application in a thread; yields its URL. It stops on exit as on SIGTERM. `given` are options of uvicorn."""
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
    """A function that starts an ingress and returns a client: `client = serve(REDIS_URL=valkey_url)`. All end with the test."""
    with ExitStack() as stack:

        def start(**environment: str) -> httpx.Client:
            url = stack.enter_context(running_ingress(make_settings(**environment)))
            return stack.enter_context(httpx.Client(base_url=url, timeout=30))

        yield start


def ingress_command(port: int) -> list[str]:
    """The command of an ingress that logs at debug level."""
    return [sys.executable, "-m", "ingress", f"--host={LOOPBACK}", f"--port={port}", "--loglevel=debug"]


class IngressProcess:
    """`python -m ingress` as a process that answers. Its log is in a file."""

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
        """Everything it has logged."""
        return self._log.read_text()

    @property
    def resident_mb(self) -> float:
        """Resident memory in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def stop(self) -> None:
        """Send SIGTERM and check that it shuts down in order. uvicorn then ends by the signal it got."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(_START_SECONDS) in {0, -signal.SIGTERM}, self.log[-5000:]
        assert "Application shutdown complete." in self.log, self.log[-5000:]

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(_START_SECONDS)

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the ingress ended while starting: {self.log}"
        try:
            return httpx.get(f"{self.url}/healthz").is_success
        except httpx.TransportError:
            return False


def bearer(key: str = SIGNING_KEY) -> dict[str, str]:
    """The header with a bearer token of Instacart, valid for an hour."""
    return {"Authorization": f"Bearer {issue(key, CLIENT_ID, time.time(), timedelta(hours=1), None, None)}"}


def signed(body: bytes, secret: str = AFOSTO_SECRET) -> dict[str, str]:
    """The header with Afosto's signature of this body."""
    return {"X-Afosto-Hmac-Sha256": hmac.digest(secret.encode(), body, hashlib.sha256).hex()}


def stored(url: str) -> list[tuple[str, str, bytes]]:
    """The entries of the inbox, oldest first: event id, provider, body."""
    with redis.Redis.from_url(url) as client:
        entries = client.xrange(keys.INBOX)
    return [(name.decode(), fields[keys.FIELD_PROVIDER].decode(), fields[keys.FIELD_BODY]) for name, fields in entries]


def notifications(url: str) -> int:
    """The number of the dispatcher's notifications that wait at the broker of this Valkey."""
    with redis.Redis.from_url(broker_of(url)) as broker:
        return int(broker.llen("curbside:curbside.dispatch"))


ACKNOWLEDGE_SECONDS = 60.0


class ProviderPost(NamedTuple):
    """A body that a provider posts."""

    provider: str
    body: bytes


class ProviderClient:
    """Posts as both providers do: Afosto signs, Instacart fetches a bearer token, `token`. For one thread."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)
        self.token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def post(self, provider: str, body: bytes) -> str:
        """Post one body. Return its event id."""
        response = self._send(provider, body)
        assert response.status_code == 200, f"{response.status_code} {response.text}"
        return str(response.json()["id"])

    def post_until_acknowledged(self, provider: str, body: bytes) -> str:
        """Post one body until it is acknowledged. Return its event id. A post without an answer may be stored as well."""
        return wait_for(lambda: self._acknowledged(provider, body) or "", ACKNOWLEDGE_SECONDS, "an acknowledgement")

    def _acknowledged(self, provider: str, body: bytes) -> str | None:
        try:
            response = self._send(provider, body)
        except httpx.TransportError:
            return None
        assert response.status_code in {200, 503}, f"{response.status_code} {response.text}"
        return str(response.json()["id"]) if response.status_code == 200 else None

    def _send(self, provider: str, body: bytes) -> httpx.Response:
        if provider == Provider.INSTACART and not self.token:
            self._fetch_token()
        headers = signed(body) if provider == Provider.AFOSTO else {"Authorization": f"Bearer {self.token}"}
        return self._client.post(f"/webhook/{provider}", content=body, headers=headers)

    def _fetch_token(self) -> None:
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        response = self._client.post("/oauth/token", data=form)
        assert response.status_code == 200, f"{response.status_code} {response.text}"
        self.token = str(response.json()["access_token"])
