"""One request gets one answer: a body is never read as a request, and a trailer never as a header."""

import time

import pytest

from tests.contract.raw_http import AUTHORIZATION, EVENT, UPGRADES, RawClient, bodies, post
from tests.support.ingress_client import IngressProcess, bearer, signed
from tests.support.valkey_servers import RealValkey


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("path", [b"/webhook", b"/webhook/afosto", b"/oauth/token", b"/healthz", b"/nowhere"])
def test_a_body_behind_an_upgrade_is_never_a_request(
    ingress: IngressProcess, real_valkey: RealValkey, offer: bytes, path: bytes
) -> None:
    smuggled = post(b"smuggled")
    with RawClient(ingress.url) as client:
        client.send(b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n" % (path, offer, len(smuggled)))
        time.sleep(0.1)  # the head is parsed by itself: that is the trick
        client.send(smuggled).send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        first, *rest = client.statuses()

    assert first in {200, 400, 401, 404, 405}
    assert rest == [200], "the body was read as a body, and the request after it is answered"
    assert bodies(real_valkey) == []


def test_a_chunked_body_behind_an_upgrade_is_never_a_request(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    smuggled = post(b"smuggled")
    with RawClient(ingress.url) as client:
        client.send(b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + UPGRADES["h2c"] + b"\r\n")
        time.sleep(0.1)
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled))
        client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.statuses() == [401, 200]
    assert bodies(real_valkey) == []


@pytest.mark.parametrize("target", [b"/webhook", b"x:443", b"*"])
def test_connect_is_refused_and_the_bytes_after_it_are_not_read(
    ingress: IngressProcess, real_valkey: RealValkey, target: bytes
) -> None:
    smuggled = post(b"smuggled")
    with RawClient(ingress.url) as client:
        client.send(b"CONNECT %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (target, len(smuggled)))
        time.sleep(0.1)
        client.send(smuggled)
        assert client.statuses() in ([400], [405])
    assert bodies(real_valkey) == []


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "head first"])
def test_an_honest_client_that_offers_an_upgrade_is_served(
    ingress: IngressProcess, real_valkey: RealValkey, offer: bytes, apart: bool
) -> None:
    request = post(EVENT, offer)
    with RawClient(ingress.url) as client:
        for _ in range(3):
            if apart:
                client.send(request[: -len(EVENT)])
                time.sleep(0.05)
                client.send(request[-len(EVENT) :])
            else:
                client.send(request)
            assert client.status() == 200
    assert bodies(real_valkey) == [EVENT] * 3


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked\r\n folded\r\n",
        b"X: a\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nX: a\0b\r\n",
    ],
)
def test_ambiguous_framing_is_refused(ingress: IngressProcess, real_valkey: RealValkey, framing: bytes) -> None:
    with RawClient(ingress.url) as client:
        client.send(
            b"POST /webhook HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION + framing + b"\r\n" + b"0\r\n\r\n" + post(b"smuggled")
        )
        assert client.statuses() == [400]
    assert bodies(real_valkey) == []


def test_malformed_bytes_after_a_request_do_not_replace_its_answer(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    with RawClient(ingress.url) as client:
        client.send(post(EVENT) + b"garbage\r\n\r\n")
        assert client.statuses() in ([200], [200, 400])
    assert bodies(real_valkey) == [EVENT]


@pytest.mark.parametrize("name", [b"Authorization", b"authorization", b"X-Afosto-Hmac-Sha256"])
def test_a_trailer_is_never_a_header(ingress: IngressProcess, real_valkey: RealValkey, name: bytes) -> None:
    path, value = (
        (b"/webhook", bearer()["Authorization"]) if b"uth" in name else (b"/webhook/afosto", next(iter(signed(EVENT).values())))
    )
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: %b\r\n\r\n" % (path, name)
    chunks = b"%x\r\n%b\r\n0\r\n%b: %b\r\n\r\n" % (len(EVENT), EVENT, name, value.encode())
    for pieces in ([head + chunks], [head, chunks], [head + chunks[:-2], chunks[-2:]]):
        with RawClient(ingress.url) as client:
            for piece in pieces:
                client.send(piece)
                time.sleep(0.02)
            assert client.status() == 401
    assert bodies(real_valkey) == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_half_closed_client_still_gets_its_answers(ingress: IngressProcess, real_valkey: RealValkey, count: int) -> None:
    with RawClient(ingress.url) as client:
        client.send(post(EVENT) * count).end()
        assert client.statuses() == [200] * count
    assert bodies(real_valkey) == [EVENT] * count


def test_a_client_that_half_closes_within_a_request_is_closed(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    for begun in (b"", b"GET /", post(EVENT)[:-1], post(EVENT) + b"GET /"):
        with RawClient(ingress.url) as client:
            assert set(client.send(begun).end().statuses()) <= {200}
    assert set(bodies(real_valkey)) <= {EVENT}
