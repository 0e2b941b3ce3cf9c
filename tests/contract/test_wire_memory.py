"""No number of clients exhausts memory: their requests are answered in order, limited, and not kept."""

import threading

import pytest

from tests.contract.raw_http import (
    AUTHORIZATION,
    CLOSED_SECONDS,
    EVENT,
    GROWTH_MB,
    HEALTH,
    UPGRADES,
    RawClient,
    bodies,
    is_served,
    post,
)
from tests.support.ingress_client import IngressProcess
from tests.support.valkey_servers import RealValkey

SIGNED = b"POST /webhook/afosto\r\nX-Afosto-Hmac-Sha256: " + b"0" * 64 + b"\r\n"


def test_pipelined_requests_are_answered_in_order_and_not_kept(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    total = 5_000_000
    before, others = ingress.resident_mb, []
    requests = HEALTH * 500 + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
    with RawClient(ingress.url) as client:
        sent = 0
        answers: list[int] = []

        def read() -> None:
            answers.extend(client.status() for _ in range(total // len(requests) * 501))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        peak = before
        while sent < total // len(requests):
            client.send(requests)
            sent += 1
            if sent % 200 == 0:
                others.append(is_served(ingress))
                peak = max(peak, ingress.resident_mb)
        reader.join(120)
        assert not reader.is_alive()
    assert answers == ([200] * 500 + [404]) * sent
    assert all(others)
    assert max(peak, ingress.resident_mb) < before + GROWTH_MB


def test_pipelined_events_are_stored_once_and_in_order(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    sent = [b'{"event":"fulfillment.picking","order_id":"%d","note":"\r\n\r\n"}' % number for number in range(300)]
    with RawClient(ingress.url) as client:
        client.send(b"".join(post(body) for body in sent))
        assert [client.status() for _ in sent] == [200] * len(sent)
    assert bodies(real_valkey) == sent


@pytest.mark.parametrize("size", [1, 7, 61, 997])
def test_requests_cut_anywhere_are_read_as_they_were_sent(ingress: IngressProcess, real_valkey: RealValkey, size: int) -> None:
    body, chunked = b"a\r\n\r\nb", b"5\r\nab\r\n\r\r\n4\r\n\ncd\n\r\n0\r\nX: y\r\n\r\n"
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION
    data = (
        post(body) + head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked + post(body, UPGRADES["h2c"]) + HEALTH + post(EVENT)
    )
    with RawClient(ingress.url) as client:
        for at in range(0, len(data), size):
            client.send(data[at : at + size])
        assert [client.status() for _ in range(5)] == [200] * 5
    assert bodies(real_valkey) == [body, b"ab\r\n\r\ncd\n", body, EVENT]


@pytest.mark.parametrize(
    ("begun", "more", "expected"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 65536, 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n" * 10_000, 431),
        (b"GET /", b"a" * 65536, 414),
        (b"", b"\r\n" * 32768, 431),
        (
            b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
            b"X: a\r\n" * 10_000,
            400,
        ),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX: ", b"a" * 65536, 400),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;", b"a" * 65536, 400),
    ],
    ids=["one header", "many headers", "url", "empty lines", "many trailers", "one trailer", "chunk extension"],
)
@pytest.mark.parametrize("token", [b"", AUTHORIZATION], ids=["stranger", "token"])
def test_headers_and_framing_are_limited_in_size(
    ingress: IngressProcess, real_valkey: RealValkey, begun: bytes, more: bytes, expected: int, token: bytes
) -> None:
    before = ingress.resident_mb
    head, crlf, rest = begun.partition(b"\r\n")
    with RawClient(ingress.url) as client:
        client.send(head + crlf + (token if crlf else b"") + rest)
        sent = 0
        while sent < 20 << 20 and (taken := client.send_some(more)):
            sent += taken
        assert sent < 16 << 20, "the kernel's buffers may hold some megabytes, and no more is read"
        assert client.is_closed_within(CLOSED_SECONDS)
    with RawClient(ingress.url) as client:
        client.send(head + crlf + (token if crlf else b"") + rest + more * 8)
        statuses = client.statuses()
        assert statuses[-1:] in ([expected], [401]) or not statuses, "an answer may be lost to the reset that ends the sending"
    assert ingress.resident_mb < before + GROWTH_MB
    assert bodies(real_valkey) == []


def test_a_head_just_within_the_limit_is_accepted(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    with RawClient(ingress.url) as client:
        assert client.send(post(EVENT, b"X: " + b"a" * 64_000 + b"\r\n")).status() == 200
        assert client.send(post(EVENT, b"X: " + b"a" * 65_536 + b"\r\n")).statuses() == [431]


def test_unfinished_bodies_do_not_exhaust_memory(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    part = b"x" * 1_000_000
    before = ingress.resident_mb
    unsigned = b"POST /webhook/afosto HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"
    forged = unsigned.replace(b"\r\n\r\n", b"\r\nX-Afosto-Hmac-Sha256: " + b"0" * 64 + b"\r\n\r\n")
    with RawClient(ingress.url) as client:
        assert client.send(unsigned).status() == 401, "before any of the body is there"
    clients = [RawClient(ingress.url).send(forged + part) for _ in range(200)]
    try:
        with RawClient(ingress.url) as honest:
            assert honest.send(post(EVENT)).status() == 200
        assert ingress.resident_mb < before + 150
        assert sum(client.is_answered_within(0.01) for client in clients) >= 100, "the oldest ones made room"
        with RawClient(ingress.url) as honest:
            large = b"y" * 1_000_000
            assert honest.send(post(large)).status() == 200, "a large body still gets through"
    finally:
        for client in clients:
            client.close()
    assert bodies(real_valkey) == [EVENT, large]


def test_unfinished_heads_do_not_exhaust_memory(ingress: IngressProcess) -> None:
    before = ingress.resident_mb
    clients = [RawClient(ingress.url).send(b"GET / HTTP/1.1\r\nX: " + b"a" * 60_000) for _ in range(600)]
    try:
        assert is_served(ingress)
        assert ingress.resident_mb < before + 60
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("path", "body"), [(b"GET /healthz", b""), (b"POST /webhook", b"Content-Length: 9\r\n"), (SIGNED, b"Content-Length: 9\r\n")]
)
@pytest.mark.parametrize(
    ("headers", "status"), [(b"a:\r\n" * 16_000, 431), (b"X: " + b"a" * 500 + b"\r\n", 0)], ids=["many", "long"]
)
def test_complete_heads_do_not_exhaust_memory(
    ingress: IngressProcess, path: bytes, body: bytes, headers: bytes, status: int
) -> None:
    """A head of four-byte headers takes thirty times its bytes; and each connection once kept its last head while it was idle."""
    before = ingress.resident_mb
    line, _, signature = path.partition(b"\r\n")
    head = b"%b HTTP/1.1\r\nHost: x\r\n%b%b" % (line, signature, body)
    clients = [RawClient(ingress.url).send(head + headers * (1 if status else 120) + b"\r\n") for _ in range(500)]
    try:
        if status:
            assert {client.status() for client in clients} == {status}
        assert is_served(ingress)
        assert ingress.resident_mb < before + 60
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("path", [b"/webhook", b"/oauth/token"])
def test_a_body_that_is_too_large_is_answered_and_not_reset(ingress: IngressProcess, path: bytes) -> None:
    """A proxy that is still sending takes a reset for a dead ingress."""
    kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
    large = post(b"x" * 2_000_000, kind, path=path)
    with RawClient(ingress.url) as client:
        for _ in range(3):
            assert client.send(large).status() == 413
        assert client.send(HEALTH).status() == 200, "on the same connection"
