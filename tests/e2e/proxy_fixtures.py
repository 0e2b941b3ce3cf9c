"""Each proxy in front of an ingress, or in front of an upstream that records bytes."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.proxy_programs import FILES, NAME, Certificate, Proxy, needed, proxied
from tests.e2e.recording_upstream import RecordingUpstream, recording_upstream
from tests.support.live_deployment import deployed
from tests.support.settings import LOOPBACK

HOST = f"Host: {NAME}\r\n".encode()
POST = b"POST /webhook HTTP/1.1\r\n" + HOST


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A new one for the session."""
    folder = tmp_path_factory.mktemp("certificate")
    made = Certificate(folder / "chain.pem", folder / "key.pem", folder / "both.pem")
    command = [needed("openssl"), "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run([*command, "-keyout", made.key, "-out", made.chain], check=True, capture_output=True)
    made.both.write_text(made.chain.read_text() + made.key.read_text())
    return made


@pytest.fixture(params=FILES)
def proxy_name(request: pytest.FixtureRequest) -> str:
    """nginx, haproxy, caddy: a test with it runs on each."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def upstream() -> Iterator[RecordingUpstream]:
    """Where every byte is kept."""
    with recording_upstream() as recorder:
        yield recorder


@pytest.fixture
def proxy(proxy_name: str, tmp_path: Path, certificate: Certificate, upstream: RecordingUpstream) -> Iterator[Proxy]:
    """Before an upstream that keeps the bytes."""
    with proxied(proxy_name, tmp_path, certificate, upstream.address) as proxy:
        yield proxy


@pytest.fixture
def deployed_proxy(proxy_name: str, tmp_path: Path, certificate: Certificate, real_valkey_url: str) -> Iterator[Proxy]:
    """Before an ingress."""
    with (
        deployed(tmp_path, workers=0, REDIS_URL=real_valkey_url) as deployment,
        proxied(proxy_name, tmp_path, certificate, urlsplit(deployment.ingress.url).netloc) as proxy,
    ):
        yield proxy


def ask(proxy: Proxy, request: bytes, source: str = LOOPBACK) -> bytes:
    """The first bytes of the answer to a request in HTTP/1.1; nothing if the connection is closed instead."""
    try:
        with proxy.connect(source) as connection:
            connection.sendall(request)
            return connection.recv(65536)
    except (ConnectionError, ssl.SSLEOFError):
        return b""


def read_all(connection: socket.socket) -> bytes:
    """Whatever comes until the other side closes; TimeoutError if it does not in the connection's time."""
    answer = b""
    with suppress(ConnectionError, ssl.SSLEOFError):
        while part := connection.recv(65536):
            answer += part
    return answer


def status_of(answer: bytes) -> int:
    """Its status; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0
