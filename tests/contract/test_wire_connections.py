"""No number of connections shuts an honest client out, and none that ends badly leaves a trace."""

import resource
import time

import pytest

from tests.contract.raw_http import EVENT, HEALTH, RawClient, Start, bodies, is_served, post
from tests.support.ingress_client import IngressProcess
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /",
        HEALTH,
        b"POST /webhook/afosto HTTP/1.1\r\nHost: x\r\nX-Afosto-Hmac-Sha256: "
        + b"0" * 64
        + b"\r\nContent-Length: 9\r\n\r\nhalf",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
        b"GET /asyncapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100,
    ],
    ids=["nothing", "half a head", "idle", "half a body", "half a body that nobody wants", "unread answers"],
)
def test_past_the_connection_limit_the_longest_idle_connection_is_closed(
    start: Start, real_valkey: RealValkey, begun: bytes
) -> None:
    ingress = start(MAX_CONNECTIONS="50")
    strangers = []
    with RawClient(ingress.url) as proxy:
        try:
            assert proxy.send(post(EVENT)).status() == 200
            for _ in range(48):
                strangers.append(RawClient(ingress.url).send(begun))
            for _ in range(60):
                strangers.append(RawClient(ingress.url).send(begun))
                assert proxy.send(post(EVENT)).status() == 200, "whoever is served keeps its connection"
                assert is_served(ingress)
        finally:
            for each in strangers:
                each.close()
    wait_for(lambda: "too many connections" in ingress.log, what="a line that says so")
    assert ingress.log.count("too many connections") <= 2, "one a minute"


def test_fewer_file_descriptors_than_connections_lock_no_client_out(start: Start, real_valkey: RealValkey) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, min(hard, 1024)) if hard == 1024 else (256, hard))
    try:
        ingress = start(MAX_CONNECTIONS="700")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    clients = [RawClient(ingress.url).send(b"GET / HTTP/1.1\r\n") for _ in range(600)]
    try:
        assert not any(client.is_closed_within(0.001) for client in clients), "the soft limit was raised"
        assert is_served(ingress)
    finally:
        for client in clients:
            client.close()


def test_resets_within_requests_leave_nothing_behind(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    for number in range(60):
        for count in (1, 2, 3, 10):
            client = RawClient(ingress.url).send(post(EVENT) * count)
            if number % 3 == 1:
                time.sleep(0.0005 * (number % 7))
            elif number % 3 == 2:
                client.status()
            client.reset()
    assert is_served(ingress)
    assert set(bodies(real_valkey)) == {EVENT}
