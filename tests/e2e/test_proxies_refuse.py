"""What each proxy of deploy/proxies refuses without passing it to the ingress."""

import re
import socket
from contextlib import ExitStack

import pytest

from tests.e2e.proxy_fixtures import HOST, POST, ask, read_all, status_of
from tests.e2e.proxy_programs import Proxy
from tests.e2e.recording_upstream import RecordingUpstream
from tests.support.settings import LOOPBACK, make_settings

PRIVATE = ["/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/webhooks", "/webhook/a/b", "/oauth/authorize"]
DETOURS = ["/webhook/../readyz", "/webhook/%2e%2e/readyz", "/webhook/..%2freadyz", "/webhook%0a", "//readyz"]
BEGUN = {
    "nothing": b"",
    "half a head": POST + b"X-Ha",
    "half a body": POST + b"Content-Length: 100\r\n\r\nhalf",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
    "no last chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
}
TOKEN = b"POST /oauth/token HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize("target", PRIVATE)
def test_paths_that_are_not_for_providers_are_404(proxy: Proxy, upstream: RecordingUpstream, target: str) -> None:
    with proxy.client() as client:
        answer = client.get(target)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["status"] == 404
    assert upstream.requests == []


@pytest.mark.parametrize("target", DETOURS)
def test_no_spelling_of_a_path_reaches_what_is_not_for_providers(
    proxy: Proxy, upstream: RecordingUpstream, target: str
) -> None:
    answer = ask(proxy, b"POST %s HTTP/1.1\r\n" % target.encode() + HOST + b"Content-Length: 3\r\n\r\nabc")

    assert status_of(answer) in {400, 404}
    assert upstream.requests == []


def test_other_methods_and_other_names_reach_no_ingress(proxy: Proxy, upstream: RecordingUpstream) -> None:
    for method in (b"CONNECT", b"DELETE", b"PUT", b"TRACE", b"PRI"):
        assert 400 <= status_of(ask(proxy, method + b" /webhook HTTP/1.1\r\n" + HOST + b"\r\n")) < 500, method
    assert status_of(ask(proxy, b"POST /webhook HTTP/1.1\r\nHost: other.example\r\nContent-Length: 3\r\n\r\nabc")) == 421
    for allowed in ("GET", "HEAD", "OPTIONS", "POST"):
        with proxy.client() as client:
            assert client.request(allowed, "/webhook", content=b"abc" if allowed == "POST" else None).status_code == 200
    assert [request.line.split(" ")[0] for request in upstream.requests] == ["GET", "HEAD", "OPTIONS", "POST"]


def test_a_body_over_the_limit_is_refused(proxy: Proxy, upstream: RecordingUpstream) -> None:
    limit = make_settings().max_body_bytes
    with proxy.client() as client:
        assert client.post("/webhook", content=b"x" * limit).status_code == 200
        answer = client.post("/webhook", content=b"x" * (limit + 1))

    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert [len(request.body) for request in upstream.requests] == [limit]


def test_a_head_over_the_limit_is_refused(proxy: Proxy, upstream: RecordingUpstream) -> None:
    length = b"Content-Length: 3\r\n\r\nabc"
    assert status_of(ask(proxy, POST + b"X-Some: " + b"a" * 8_000 + b"\r\n" + length)) == 200
    for much in (b"X-Much: " + b"a" * 70_000 + b"\r\n", b"X-Many: 1\r\n" * 20_000):
        assert status_of(ask(proxy, POST + much + length)) in {0, 400, 431}
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("proxy_name", ["nginx", "haproxy"], indirect=True)  # Caddy as Debian has it knows no such limits
def test_a_flood_from_one_address_is_limited_and_others_are_not(proxy: Proxy) -> None:
    with proxy.connect("127.0.0.8") as connection:
        connection.sendall(TOKEN * 260)
        answers = b""
        while b"HTTP/1.1 429" not in answers and (part := connection.recv(65536)):
            answers += part

    assert re.search(rb"HTTP/1\.1 429[^{]*\r\n(?i:retry-after): 5\r\n", answers)
    assert status_of(ask(proxy, TOKEN)) == 200


def test_a_stalled_request_is_closed_and_never_answered_200(proxy: Proxy, upstream: RecordingUpstream) -> None:
    """All at once, since each takes ten seconds or twenty."""
    with ExitStack() as stack:
        connections: dict[str, socket.socket] = {
            "no TLS": stack.enter_context(socket.create_connection((LOOPBACK, proxy.port)))
        }
        for name, begun in BEGUN.items():
            connections[name] = stack.enter_context(proxy.connect())
            connections[name].sendall(begun)
        for connection in connections.values():
            connection.settimeout(120)
        answers = {name: read_all(connection) for name, connection in connections.items()}

    assert {name: answer for name, answer in answers.items() if status_of(answer) in range(200, 400)} == {}
    assert upstream.requests == []
