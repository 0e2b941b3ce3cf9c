"""A running ingress for those who talk to it in bytes, and what they say: `python -m ingress`, as a user starts it, and a real Valkey."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.ingress import IngressProcess, bearer, stored
from tests.support.valkey import RealValkey

Start = Callable[..., IngressProcess]

CLOSED_SECONDS = 15.0
"""What the promise says; a slow machine is no reason to wait longer."""
GROWTH_MB = 20
AUTHORIZATION = b"Authorization: " + bearer()["Authorization"].encode() + b"\r\n"
EVENT = b'{"event":"fulfillment.picking","order_id":"1"}'
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n",
    "tls": b"Connection: upgrade\r\nUpgrade: TLS/1.3, HTTP/1.1\r\n",
}


@pytest.fixture(scope="module")
def shared_ingress(valkey_process: RealValkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngressProcess]:
    """One ingress with default settings. It is stopped in good order, and has logged no traceback."""
    ingress = IngressProcess(tmp_path_factory.mktemp("wire") / "log", REDIS_URL=valkey_process.url)
    try:
        yield ingress
        end_well(ingress)
    finally:
        ingress.kill()


@pytest.fixture
def ingress(shared_ingress: IngressProcess, real_valkey: RealValkey) -> IngressProcess:
    """An ingress with default settings, and an empty Valkey behind it."""
    return shared_ingress


def end_well(ingress: IngressProcess) -> None:
    """Stop it, and see that it has met no bug."""
    ingress.stop()
    assert "Traceback" not in ingress.log
    assert "a bug in the ingress" not in ingress.log


@pytest.fixture
def start(real_valkey: RealValkey, tmp_path: Path) -> Iterator[Start]:
    """Start an ingress with settings of its own, ended as the shared one."""
    started: list[IngressProcess] = []

    def begin(**environment: str) -> IngressProcess:
        started.append(IngressProcess(tmp_path / f"log{len(started)}", REDIS_URL=real_valkey.url, **environment))
        return started[-1]

    try:
        yield begin
        for each in started:
            end_well(each)
    finally:
        for each in started:
            each.kill()


def post(body: bytes, *headers: bytes, path: bytes = b"/webhook") -> bytes:
    """A request with a token."""
    head = b"POST %b HTTP/1.1\r\nHost: x\r\n%b%bContent-Length: %d\r\n\r\n" % (
        path,
        AUTHORIZATION,
        b"".join(headers),
        len(body),
    )
    return head + body


def bodies(valkey: RealValkey) -> list[bytes]:
    """What is in the inbox."""
    return [body for _, _, body in stored(valkey.url)]


def is_served(ingress: IngressProcess) -> bool:
    """Whether a new client is answered."""
    return httpx.get(f"{ingress.url}/healthz", timeout=5).status_code == 200
