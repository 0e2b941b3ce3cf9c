"""Answers to a provider through each proxy of deploy/proxies: those of the ingress, and a retryable one without an ingress."""

import socket
import struct
from pathlib import Path

import pytest

from ingress.problems import Problem, too_large, unauthorized, unavailable
from schemas.refusals import Cause
from tests.e2e.proxy_fixtures import POST, ask, read_all, status_of
from tests.e2e.proxy_programs import Certificate, Proxy, proxied
from tests.e2e.recording_upstream import RecordingUpstream, recording_upstream
from tests.strangers import http2
from tests.support.ingress_client import bearer, stored
from tests.support.settings import LOOPBACK, free_port
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
RESET = struct.pack("ii", 1, 0)
PROBLEMS = {
    "401": unauthorized("no token", 'Bearer realm="curbside"', Cause.TOKEN_MISSING),
    "413": too_large(1 << 20),
    "503": unavailable("Valkey is away", Cause.UNREACHABLE),
}


def test_what_a_provider_posts_is_stored(deployed_proxy: Proxy, real_valkey_url: str) -> None:
    large = b"x" * (1 << 20)
    with deployed_proxy.client() as client:
        answers = [
            client.post("/webhook", content=b"plain", headers=bearer()),
            client.post("/webhook/instacart", content=iter([b"in ", b"chunks"]), headers=bearer()),
            client.post("/webhook", content=large, headers=bearer()),
        ]
    token = b"Authorization: " + bearer()["Authorization"].encode() + b"\r\n"
    upgrading = ask(deployed_proxy, POST + token + H2C + b"Content-Length: 3\r\n\r\nh2c")
    with deployed_proxy.connect(http2=True) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(http2.request([(b"authorization", bearer()["Authorization"].encode())], b"HTTP/2"))
        wait_for(lambda: len(stored(real_valkey_url)) == 5, what="the event that came by HTTP/2")

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert status_of(upgrading) == 200
    assert [body for _, _, body in stored(real_valkey_url)] == [b"plain", b"in chunks", large, b"h2c", b"HTTP/2"]


def test_a_body_that_is_cut_off_is_not_stored(deployed_proxy: Proxy, real_valkey_url: str) -> None:
    head = POST + b"Authorization: " + bearer()["Authorization"].encode() + b"\r\n"
    for framing in (b"Content-Length: 100\r\n\r\ncut off", b"Transfer-Encoding: chunked\r\n\r\n7\r\ncut off\r\n"):
        for ending in ("reset", "close", "half close"):
            with deployed_proxy.connect() as connection:
                connection.sendall(head + framing)
                if ending == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                elif ending == "half close":
                    socket.socket.shutdown(connection, socket.SHUT_WR)  # below TLS, which goes on reading
                    assert status_of(read_all(connection)) != 200
    for number in range(20):
        assert status_of(ask(deployed_proxy, head + b"Content-Length: 2\r\n\r\n%02d" % number)) == 200

    assert [body for _, _, body in stored(real_valkey_url)] == [b"%02d" % number for number in range(20)]


def test_a_client_that_closes_its_sending_side_reads_no_200_but_that_of_the_ingress(
    deployed_proxy: Proxy, real_valkey_url: str
) -> None:
    head = POST + b"Authorization: " + bearer()["Authorization"].encode() + b"\r\n"
    answers = []
    for _ in range(20):
        with deployed_proxy.connect() as connection:
            connection.sendall(head + b"Content-Length: 5\r\n\r\nwhole")
            socket.socket.shutdown(connection, socket.SHUT_WR)
            answers.append(read_all(connection))

    ids = {event_id for event_id, _, _ in stored(real_valkey_url)}
    assert [answer for answer in answers if status_of(answer) == 200 and not any(each.encode() in answer for each in ids)] == []


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_what_the_ingress_refuses_comes_back_unchanged(proxy: Proxy, upstream: RecordingUpstream, problem: Problem) -> None:
    headers = {name.decode(): value.decode() for name, value in problem.headers if name != b"connection"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head += f"Content-Type: application/problem+json\r\nContent-Length: {len(problem.body)}\r\n\r\n"
    upstream.answer = f"HTTP/1.1 {problem.status} {problem.status.phrase}\r\n{head}".encode() + problem.body
    with proxy.client() as client:
        answer = client.post("/webhook", content=b"abc")

    assert (answer.status_code, answer.content) == (problem.status, problem.body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert {name: answer.headers.get(name) for name in headers} == headers
    assert len(upstream.requests) == 1


def test_during_a_valkey_outage_the_provider_gets_a_retryable_answer(deployed_proxy: Proxy, real_valkey: RealValkey) -> None:
    real_valkey.stop()
    with deployed_proxy.client() as client:
        answer = client.post("/webhook", content=b"abc", headers=bearer())

    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_post_that_the_ingress_may_have_received_is_not_resent(
    proxy_name: str, tmp_path: Path, certificate: Certificate, upstream: RecordingUpstream
) -> None:
    upstream.answer = b""
    with (
        recording_upstream() as another,
        proxied(proxy_name, tmp_path, certificate, upstream.address, another.address) as proxy,
        proxy.client() as client,
    ):
        another.answer = b""
        answer = client.post("/webhook", content=b"once")
    assert answer.status_code in {502, 503, 504}
    assert answer.headers["retry-after"] == "5"
    assert [request.body for request in upstream.requests + another.requests] == [b"once"]


def test_another_ingress_replaces_an_unreachable_one(
    proxy_name: str, tmp_path: Path, certificate: Certificate, upstream: RecordingUpstream
) -> None:
    nobody = f"{LOOPBACK}:{free_port()}"
    with proxied(proxy_name, tmp_path, certificate, nobody, upstream.address) as proxy, proxy.client() as client:
        assert [client.post("/webhook", content=b"%d" % number).status_code for number in range(6)] == [200] * 6
    assert [request.body for request in upstream.requests] == [b"%d" % number for number in range(6)]


def test_without_an_ingress_the_provider_gets_a_retryable_answer(
    proxy_name: str, tmp_path: Path, certificate: Certificate
) -> None:
    with proxied(proxy_name, tmp_path, certificate, f"{LOOPBACK}:{free_port()}") as proxy, proxy.client() as client:
        answer = client.post("/webhook", content=b"abc")

    assert answer.status_code in {502, 503}
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
