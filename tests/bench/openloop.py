"""Open-loop HTTP load: requests leave on a fixed schedule, however long answers take, and are timed from when they were due.

So a stall counts for every request that it held up (no coordinated omission). Each connection is a thread that sleeps until its
next request is due: that is exact to a tenth of a millisecond, where an event loop's timers are exact to one.
"""

import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.bench.load import LoadError

CONNECTIONS = 32
_TIMEOUT_SECONDS = 30.0
_LEAD_SECONDS = 0.2


class Sent(NamedTuple):
    """One request: when it was due and when it was answered, by the wall clock, in seconds."""

    due: float
    answered: float


def post(url: str, authorization: str, bodies: Sequence[bytes], per_second: float) -> list[Sent]:
    """Post each body in its turn. Raises `LoadError` unless every answer is 200."""
    count = min(CONNECTIONS, len(bodies))
    begin = time.time() + _LEAD_SECONDS
    sent = [Sent(begin + number / per_second, 0.0) for number in range(len(bodies))]

    def work(first: int) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        with socket.create_connection((address.hostname, address.port or 80), _TIMEOUT_SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in range(first, len(bodies), count):
                request = _request(address.netloc, address.path, authorization, bodies[number])
                time.sleep(max(0.0, sent[number].due - time.time()))
                connection.sendall(request)
                _read_answer(connection, url)
                sent[number] = Sent(sent[number].due, time.time())

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(work, range(count)))
    return sent


def _request(host: str, path: str, authorization: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_answer(connection: socket.socket, url: str) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _received(connection, url)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.lower().split(b"\r\n")
    if status.split(b" ")[1] != b"200":
        raise LoadError(f"{url} answered {status.decode(errors='replace')}")
    length = next(int(field.partition(b":")[2]) for field in fields if field.startswith(b"content-length:"))
    while len(body) < length:
        body += _received(connection, url)


def _received(connection: socket.socket, url: str) -> bytes:
    if not (data := connection.recv(65536)):
        raise LoadError(f"{url} hung up")
    return data


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
