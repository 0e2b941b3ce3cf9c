"""What strangers do to the HTTP server: each trick costs no event, no memory that is kept and nobody else's time.

On `python -m ingress`, a process as a user starts it, and a real Valkey.
"""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.ingress import IngressProcess, bearer, signed, stored
from tests.support.raw_client import RawClient
from tests.support.valkey import RealValkey
from tests.support.waiting import wait_for

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
    return [body for _, _, body in stored(valkey.url)]


def is_served(ingress: IngressProcess) -> bool:
    return httpx.get(f"{ingress.url}/healthz", timeout=5).status_code == 200


def resident_mb(ingress: IngressProcess) -> float:
    lines = Path(f"/proc/{ingress.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


# One request, one answer


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
def test_connect_is_refused_and_what_follows_is_not_read(
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
def test_framing_that_two_servers_may_read_differently_is_refused(
    ingress: IngressProcess, real_valkey: RealValkey, framing: bytes
) -> None:
    with RawClient(ingress.url) as client:
        client.send(
            b"POST /webhook HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION + framing + b"\r\n" + b"0\r\n\r\n" + post(b"smuggled")
        )
        assert client.statuses() == [400]
    assert bodies(real_valkey) == []


def test_what_is_malformed_behind_a_request_does_not_take_its_answer(ingress: IngressProcess, real_valkey: RealValkey) -> None:
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


# Time


def test_whoever_does_not_finish_is_closed_within_seconds(ingress: IngressProcess) -> None:
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


def test_whoever_does_not_read_is_closed_within_seconds(ingress: IngressProcess) -> None:
    request = b"GET /asyncapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with RawClient(ingress.url) as client:
        wait_for(lambda: not client.send_some(request * 1000), 30, "the buffers to be full")
        before = resident_mb(ingress)
        wait_for(lambda: not _is_open(ingress), 25, "the ingress to close")
        assert resident_mb(ingress) < before + GROWTH_MB
    assert is_served(ingress)


def _is_open(ingress: IngressProcess) -> bool:
    """Whether the ingress has an established connection."""
    port = f":{int(ingress.url.rpartition(':')[2]):04X}"
    lines = Path(f"/proc/{ingress.process.pid}/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(port) and line.split()[3] == "01" for line in lines)


# Memory


def test_pipelined_requests_are_answered_in_order_and_not_kept(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    total = 5_000_000
    before, others = resident_mb(ingress), []
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
                peak = max(peak, resident_mb(ingress))
        reader.join(120)
        assert not reader.is_alive()
    assert answers == ([200] * 500 + [404]) * sent
    assert all(others)
    assert max(peak, resident_mb(ingress)) < before + GROWTH_MB


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
def test_what_surrounds_a_body_is_limited(
    ingress: IngressProcess, real_valkey: RealValkey, begun: bytes, more: bytes, expected: int, token: bytes
) -> None:
    before = resident_mb(ingress)
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
    assert resident_mb(ingress) < before + GROWTH_MB
    assert bodies(real_valkey) == []


def test_a_head_just_within_the_limit_is_taken(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    with RawClient(ingress.url) as client:
        assert client.send(post(EVENT, b"X: " + b"a" * 64_000 + b"\r\n")).status() == 200
        assert client.send(post(EVENT, b"X: " + b"a" * 65_536 + b"\r\n")).statuses() == [431]


def test_unfinished_bodies_do_not_fill_the_machine(ingress: IngressProcess, real_valkey: RealValkey) -> None:
    part = b"x" * 1_000_000
    before = resident_mb(ingress)
    unsigned = b"POST /webhook/afosto HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"
    forged = unsigned.replace(b"\r\n\r\n", b"\r\nX-Afosto-Hmac-Sha256: " + b"0" * 64 + b"\r\n\r\n")
    with RawClient(ingress.url) as client:
        assert client.send(unsigned).status() == 401, "before any of the body is there"
    clients = [RawClient(ingress.url).send(forged + part) for _ in range(200)]
    try:
        with RawClient(ingress.url) as honest:
            assert honest.send(post(EVENT)).status() == 200
        assert resident_mb(ingress) < before + 150
        assert sum(client.is_closed_within(0.01) for client in clients) >= 100, "the oldest ones made room"
        with RawClient(ingress.url) as honest:
            large = b"y" * 1_000_000
            assert honest.send(post(large)).status() == 200, "a large body still gets through"
    finally:
        for client in clients:
            client.close()
    assert bodies(real_valkey) == [EVENT, large]


def test_unfinished_heads_do_not_fill_the_machine(ingress: IngressProcess) -> None:
    before = resident_mb(ingress)
    clients = [RawClient(ingress.url).send(b"GET / HTTP/1.1\r\nX: " + b"a" * 60_000) for _ in range(600)]
    try:
        assert is_served(ingress)
        assert resident_mb(ingress) < before + 60
    finally:
        for client in clients:
            client.close()


# Connections


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
def test_past_the_limit_of_connections_whoever_waits_longest_makes_room(
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


def test_fewer_descriptors_than_connections_shut_nobody_out(start: Start, real_valkey: RealValkey) -> None:
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


def test_resets_in_the_midst_of_requests_leave_no_trace(ingress: IngressProcess, real_valkey: RealValkey) -> None:
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
