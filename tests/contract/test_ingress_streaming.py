"""Bodies that are too large, too slow or cut off are refused in bounded time and memory, and affect no other client."""

import asyncio
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.ingress_client import Serve, bearer, stored

LIMIT_BYTES = 64 << 10
AUTHORIZATION = b"Authorization: " + bearer()["Authorization"].encode() + b"\r\n"
HEAD = b"POST /webhook HTTP/1.1\r\nHost: curbside\r\n" + AUTHORIZATION


def connect(client: httpx.Client) -> socket.socket:
    address = urlsplit(str(client.base_url))
    connection = socket.create_connection((address.hostname, address.port), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_until_closed(connection: socket.socket) -> bytes:
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


def test_a_body_at_the_limit_is_accepted_and_one_byte_more_is_refused(serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url, MAX_BODY_BYTES=str(LIMIT_BYTES))
    body = b"x" * LIMIT_BYTES

    assert client.post("/webhook", content=body, headers=bearer()).status_code == 200
    assert client.post("/webhook", content=iter([body]), headers=bearer()).status_code == 200
    for too_large in (body + b"x", iter([body, b"x"])):
        answer = client.post("/webhook", content=too_large, headers=bearer())
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(LIMIT_BYTES) in answer.json()["detail"]
    assert [len(entry[2]) for entry in stored(valkey_url)] == [LIMIT_BYTES, LIMIT_BYTES]


def test_an_announced_length_over_the_limit_is_refused_before_the_body_is_sent(serve: Serve) -> None:
    with connect(serve(MAX_BODY_BYTES=str(LIMIT_BYTES))) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (1 << 40))
        answer = read_until_closed(connection)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_an_endless_body_is_cut_off_at_the_limit(serve: Serve) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 16 << 10
            yield b"x" * (16 << 10)

    answer = serve(MAX_BODY_BYTES=str(LIMIT_BYTES)).post("/webhook", content=endless(), headers=bearer())

    assert answer.status_code == 413
    assert sent < 64 << 20, "the kernel's buffers may hold some megabytes, and no more is read"


@pytest.mark.parametrize("begun", [b"", b"4\r\nhalf\r\n"], ids=["no byte", "half"])
def test_a_request_whose_body_does_not_arrive_is_cancelled(serve: Serve, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr("ingress.body_reader.BODY_TIMEOUT_SECONDS", 0.1)
    with connect(serve()) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + begun)
        answer = read_until_closed(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_request_whose_form_does_not_arrive_is_cancelled(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingress.body_reader.BODY_TIMEOUT_SECONDS", 0.1)
    with connect(serve()) as connection:
        kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
        connection.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n" + kind + b"\r\n")
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_refused_body_is_not_taken_for_the_next_request(serve: Serve, valkey_url: str) -> None:
    smuggled = HEAD + b"Content-Length: 8\r\n\r\nsmuggled"
    with connect(serve(REDIS_URL=valkey_url)) as connection:
        connection.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(smuggled) + smuggled)
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: 4\r\n\r\nreal")
        answers = read_until_closed(connection)

    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"401", b"200"]
    assert [entry[2] for entry in stored(valkey_url)] == [b"real"]


def test_a_client_that_disconnects_within_a_request_affects_no_other(
    serve: Serve, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(REDIS_URL=valkey_url)

    for half in (b"", b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"):
        with connect(client) as connection:
            connection.sendall(HEAD + half)
    with connect(client) as connection:  # all sent, but nobody waits for the answer
        connection.sendall(HEAD + b"Content-Length: 5\r\n\r\nwhole")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    assert client.post("/webhook", content=b"another", headers=bearer()).status_code == 200
    assert {entry[2] for entry in stored(valkey_url)} <= {b"whole", b"another"}
    assert b"another" in {entry[2] for entry in stored(valkey_url)}
    assert "Traceback" not in caplog.text


def test_clients_that_disconnect_do_not_cancel_the_commit_of_others(serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url)

    async def post_and_leave(http: httpx.AsyncClient, number: int) -> int | None:
        request = http.post("/webhook", content=b"%d" % number, headers=bearer())
        try:
            return (await asyncio.wait_for(request, 0.001 if number % 2 else 30)).status_code
        except TimeoutError:
            return None

    async def main() -> list[int | None]:
        async with httpx.AsyncClient(base_url=client.base_url) as http:
            return list(await asyncio.gather(*(post_and_leave(http, number) for number in range(60))))

    answers = asyncio.run(main())

    assert answers[::2] == [200] * 30
    assert {b"%d" % number for number in range(0, 60, 2)} <= {entry[2] for entry in stored(valkey_url)}
