"""A client that does not finish its request, or does not read, is closed within seconds; an idle connection is not."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.raw_http import (
    CLOSED_SECONDS,
    EVENT,
    GROWTH_MB,
    HEALTH,
    UPGRADES,
    RawClient,
    Start,
    bodies,
    is_served,
    post,
)
from tests.support.ingress_client import IngressProcess
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for


def test_a_client_that_does_not_finish_its_request_is_closed_within_seconds(ingress: IngressProcess) -> None:
    dripping = b"X: " + b"a" * 100
    unfinished = {
        "nothing at all": b"",
        "half a request line": b"POST /web",
        "half of the headers": b"POST /webhook HTTP/1.1\r\nHost: x\r\nX-A: ",
        "empty lines": b"\r\n\r\n\r\n",
        "half of the next headers": HEALTH + b"GET /healthz HTTP/1.1\r\nX",
        "half of the headers behind a body": post(EVENT) + b"GET /healthz HTTP/1.1\r\nX",
        "half of a body": post(EVENT)[:-5],
        "half of a body that nobody wants": b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf",
        "half of a body without a token": b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf",
        "half of a form": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 50\r\n\r\nhalf",
        "half of an upgrade's body": b"POST /healthz HTTP/1.1\r\nHost: x\r\n"
        + UPGRADES["h2c"]
        + b"Content-Length: 9\r\n\r\nhalf",
    }

    def is_closed(begun: bytes) -> bool:
        with RawClient(ingress.url) as client:
            return client.send(begun).is_closed_within(CLOSED_SECONDS)

    def is_closed_dripping() -> bool:
        with RawClient(ingress.url) as client:
            client.send(b"GET /healthz HTTP/1.1\r\n")
            for byte in dripping:
                client.send(bytes([byte]))
                if client.is_closed_within(CLOSED_SECONDS / len(dripping)):
                    return True
        return False

    with ThreadPoolExecutor(len(unfinished) + 1) as pool:
        drips = pool.submit(is_closed_dripping)
        closed = dict(zip(unfinished, pool.map(is_closed, unfinished.values()), strict=True))
    assert {name for name, is_so in closed.items() if not is_so} == set()
    assert drips.result(), "headers that drip in"


def test_a_connection_between_two_requests_is_kept_for_longer_than_a_head_may_take(
    start: Start, ingress: IngressProcess, real_valkey: RealValkey
) -> None:
    with RawClient(ingress.url) as client:
        assert client.send(post(EVENT)).status() == 200
        assert not client.is_closed_within(12), "a proxy keeps its connections for a minute"
        assert client.send(post(EVENT)).status() == 200
    with RawClient(start(KEEP_ALIVE_TIMEOUT="1s").url) as client:
        assert client.send(post(EVENT)).status() == 200
        assert client.is_closed_within(CLOSED_SECONDS)
    assert len(bodies(real_valkey)) == 3


def test_a_client_that_does_not_read_is_closed_within_seconds(ingress: IngressProcess) -> None:
    request = b"GET /asyncapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with RawClient(ingress.url) as client:
        wait_for(lambda: not client.send_some(request * 1000), 30, "the buffers to be full")
        before = ingress.resident_mb
        wait_for(lambda: not _is_open(ingress), 25, "the ingress to close")
        assert ingress.resident_mb < before + GROWTH_MB
    assert is_served(ingress)


def _is_open(ingress: IngressProcess) -> bool:
    """Whether the ingress has an established connection."""
    port = f":{int(ingress.url.rpartition(':')[2]):04X}"
    lines = Path(f"/proc/{ingress.process.pid}/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(port) and line.split()[3] == "01" for line in lines)


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /",
        HEALTH,
        post(EVENT)[:-5],
        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\nhalf",
        b"GET /asyncapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 300,
    ],
    ids=["head", "idle", "body", "form", "unread"],
)
def test_a_client_that_neither_sends_nor_reads_does_not_delay_a_stop(start: Start, begun: bytes) -> None:
    ingress = start()
    clients = [RawClient(ingress.url).send(begun) for _ in range(100)]
    try:
        assert is_served(ingress)
        ingress.stop()
    finally:
        for client in clients:
            client.close()
    assert "timeout graceful shutdown exceeded" not in ingress.log
    assert len(ingress.log) < 10_000
