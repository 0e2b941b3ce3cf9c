"""nginx, HAProxy and Caddy with the files of deploy/proxies: TLS, and what of a request reaches the ingress."""

import re
import socket
import ssl
import warnings

import pytest

from ingress.body_reader import BODY_TIMEOUT_SECONDS
from tests.e2e.proxy_fixtures import HOST, POST, ask, status_of
from tests.e2e.proxy_programs import FOLDER, NAME, Proxy
from tests.e2e.recording_upstream import RecordingUpstream
from tests.support.compressed import COMPRESS, compressed
from tests.support.settings import LOOPBACK, make_settings
from tests.support.waiting import wait_for

KEEP_ALIVE_SECONDS = make_settings().keep_alive_timeout.total_seconds()
"""Seconds that an ingress keeps an idle connection."""
ANSWER_SECONDS = BODY_TIMEOUT_SECONDS + 2 * make_settings().commit_timeout.total_seconds()
"""Seconds within which an ingress has answered."""
COMPLAINTS = r"\[(?:warn|emerg)\]|\[(?:WARNING|ALERT)\]|\"level\":\"(?:warn|error)\".*(?i:caddyfile)"
"""How nginx, HAProxy and Caddy report a fault in their configuration."""
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"


def test_the_program_itself_accepts_the_file(proxy: Proxy) -> None:
    checked = proxy.check()

    assert checked.returncode == 0, checked.stderr
    assert not re.search(COMPLAINTS, checked.stderr), checked.stderr


def test_plain_http_on_the_tls_port_does_not_reach_the_ingress(proxy: Proxy, upstream: RecordingUpstream) -> None:
    with socket.create_connection((LOOPBACK, proxy.port), timeout=30) as connection:
        connection.sendall(POST + b"Content-Length: 5\r\n\r\nplain")
        try:
            answer = connection.recv(65536)
        except ConnectionError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 200")
    assert status_of(ask(proxy, POST + b"Content-Length: 6\r\n\r\nsecret")) == 200
    assert [request.body for request in upstream.requests] == [b"secret"]


def test_tls_older_than_1_2_is_refused(proxy: Proxy) -> None:
    def handshake(version: ssl.TLSVersion) -> str | None:
        context = proxy.trust
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that it is not the client who refuses
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection((LOOPBACK, proxy.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as connection,
        ):
            return connection.version()

    assert handshake(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(ssl.TLSVersion.TLSv1_1)


def test_hop_by_hop_headers_end_at_the_proxy(proxy: Proxy, upstream: RecordingUpstream) -> None:
    hops = H2C + b"TE: trailers\r\nTrailer: X-A\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\n"
    assert status_of(ask(proxy, POST + hops + b"X-Kept: 1\r\nContent-Length: 3\r\n\r\nabc")) == 200

    (request,) = upstream.requests
    assert request.values("X-Kept") == ["1"]
    for header in ("Upgrade", "HTTP2-Settings", "TE", "Trailer", "Keep-Alive", "Proxy-Connection"):
        assert request.values(header) == [], header
    assert request.values("Connection") in ([], ["keep-alive"])
    assert request.body == b"abc"


def test_a_header_that_connection_lists_does_not_arrive(proxy: Proxy, upstream: RecordingUpstream) -> None:
    ask(proxy, POST + b"Connection: close, X-Listed\r\nX-Listed: 1\r\nContent-Length: 3\r\n\r\nabc")
    ask(proxy, POST + b"Connection: X-Forwarded-For\r\nX-Forwarded-For: 6.6.6.6\r\nContent-Length: 3\r\n\r\nabc")

    assert [request.values("X-Listed") for request in upstream.requests if request.values("X-Listed")] == []
    assert all(request.values("X-Forwarded-For") == [LOOPBACK] for request in upstream.requests)


def test_a_client_cannot_choose_its_address(proxy: Proxy, upstream: RecordingUpstream) -> None:
    claims = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
    claims += b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.example\r\n"
    ask(proxy, POST + claims + b"Content-Length: 3\r\n\r\nabc", source="127.0.0.7")

    (request,) = upstream.requests
    assert request.values("X-Forwarded-For") == ["127.0.0.7"]
    assert request.values("X-Real-IP") == ["127.0.0.7"]
    assert request.values("X-Forwarded-Proto") == ["https"]
    assert request.values("X-Forwarded-Host") == [NAME]
    assert request.values("Forwarded") == []
    assert b"6.6.6.6" not in request.head


def test_a_body_is_complete_before_the_ingress_gets_the_request(proxy: Proxy, upstream: RecordingUpstream) -> None:
    with proxy.connect() as slow:
        slow.sendall(POST + b"X-Slow: 1\r\nContent-Length: 8\r\n\r\nslow")
        for _ in range(20):
            assert status_of(ask(proxy, POST + b"Content-Length: 4\r\n\r\nfast")) == 200
        assert len([line for line in upstream.heads if line.startswith("POST")]) == 20
        slow.sendall(b"body")
        assert status_of(slow.recv(65536)) == 200
    assert upstream.requests[-1].body == b"slowbody"


def test_a_compressed_body_and_its_coding_arrive_as_they_were_sent(proxy: Proxy, upstream: RecordingUpstream) -> None:
    for coding in COMPRESS:
        body = compressed(b'{"event":"picking"}', coding)
        head = b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding.encode(), len(body))
        assert status_of(ask(proxy, POST + head + body)) == 200
    assert [request.values("Content-Encoding") for request in upstream.requests] == [[coding] for coding in COMPRESS]
    assert [request.body for request in upstream.requests] == [
        compressed(b'{"event":"picking"}', coding) for coding in COMPRESS
    ]


def test_the_log_has_the_path_and_neither_query_nor_headers(proxy: Proxy) -> None:
    request = b"POST /webhook/afosto?q=in-query HTTP/1.1\r\nAuthorization: Bearer in-token\r\nX-Secret: in-header\r\n"
    ask(proxy, request + HOST + b"Content-Length: 7\r\n\r\nin-body", source="127.0.0.11")
    wait_for(lambda: "/webhook/afosto" in proxy.log and "127.0.0.11" in proxy.log, what="the line of the request")

    assert not re.search("in-(query|token|header|body)", proxy.log)


def test_the_proxy_does_not_show_its_version(proxy: Proxy) -> None:
    with proxy.client() as client:
        for answer in (client.post("/webhook", content=b"abc"), client.get("/metrics")):
            assert not re.search(r"\d", answer.headers.get("server", ""))


def number(file: str, before: str) -> int:
    """The number that follows this text in a file; a time in seconds."""
    (found,) = re.findall(rf"(?m)^[^#]*\b{before} (\d+)s?\b", (FOLDER / file).read_text())
    return int(found)


def test_the_proxy_closes_an_idle_connection_before_the_ingress_does() -> None:
    (nginx,) = re.findall(r"(?s)upstream curbside {.*?keepalive_timeout (\d+)s;", (FOLDER / "nginx.conf").read_text())

    for seconds in (int(nginx), number("haproxy.cfg", "pool-purge-delay"), number("Caddyfile", "keepalive")):
        assert 5 <= seconds < KEEP_ALIVE_SECONDS, "or posts meet a connection that is just closed"


def test_the_answer_of_the_ingress_is_waited_for() -> None:
    waits = {"nginx.conf": "proxy_read_timeout", "haproxy.cfg": "timeout server", "Caddyfile": "response_header_timeout"}
    for file, name in waits.items():
        assert number(file, name) > ANSWER_SECONDS, f"{file}: or the ingress' own answer comes too late"
