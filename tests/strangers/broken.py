"""Broken requests from a seed against an ingress, some with a token and most without, while an honest provider posts.

What must hold: no answer of 5xx but 503; every honest post is acknowledged and stored, once; nobody without a token stores
anything, and of those with one no more is stored than was acknowledged, or than they did not wait to hear of; memory does not
grow; no traceback is logged.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.strangers.requests import broken_request
from tests.strangers.target import HonestProvider, Target, target
from tests.support.ingress_client import bearer, stored

CONNECTIONS = 48
SILENCE_SECONDS = 0.03
"""A request without an answer for so long is incomplete; its client disconnects."""
REQUESTS_A_CONNECTION = 20
GROWTH_MB = 10
_AUTHORIZATION = b"Authorization: " + bearer()["Authorization"].encode()


@dataclass
class Report:
    """The counts of a run. `violations` describes each violated rule."""

    seed: int
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    keyed_acknowledged: int = 0
    keyed_unanswered: int = 0
    honest: int = 0
    stored: int = 0
    grown_mb: float = 0.0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


def run(requests: int, seed: int, progress: Callable[[int], None] = lambda _: None) -> Report:
    """Send so many requests. `progress` is called with the number sent."""
    report, began = Report(seed), time.monotonic()
    with target() as its:
        asyncio.run(_run(its, report, requests, progress))
        _judge(its, report)
    report.seconds = time.monotonic() - began
    return report


async def _run(its: Target, report: Report, requests: int, progress: Callable[[int], None]) -> None:
    honest = HonestProvider(its.ingress.url, 0.005)
    posting = asyncio.create_task(honest.run())
    warm = max(2000, requests // 50)
    before = 0.0
    for until in (warm, requests):
        strangers = [_Stranger(its, report, _chance(report.seed, until, each)) for each in range(CONNECTIONS)]
        await asyncio.gather(*(each.run(until, progress) for each in strangers))
        before = before or its.ingress.resident_mb
    report.grown_mb = its.ingress.resident_mb - before
    posting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await posting
    report.honest = len(honest.acknowledged)
    report.violations += [f"an honest post was not acknowledged: {why}" for why in honest.refused]
    kept = Counter(body for _, _, body in stored(its.valkey.url) if b"honest-" in body)
    lost = [body for body in honest.acknowledged if kept[body] != 1]
    report.violations += [f"an honest event is stored {kept[body]} times" for body in lost]


def _chance(*seed: int) -> random.Random:
    return random.Random(repr(seed))  # noqa: S311 - to be repeated, not to be secret


class _Stranger:
    """A client that opens one connection after another and sends broken requests."""

    def __init__(self, its: Target, report: Report, chance: random.Random) -> None:
        self._port = int(its.ingress.url.rpartition(":")[2])
        self._report, self._chance = report, chance
        self._authorization = _AUTHORIZATION if chance.random() < 0.3 else b""

    async def run(self, until: int, progress: Callable[[int], None]) -> None:
        while self._report.sent < until:
            with contextlib.suppress(ConnectionError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    for _ in range(REQUESTS_A_CONNECTION):
                        self._report.sent += 1
                        if not await self._send_one(reader, writer):
                            break
                finally:
                    if self._chance.random() < 0.3:
                        writer.transport.abort()  # a reset, where something is unread or unsent
                    writer.close()
            progress(self._report.sent)

    async def _send_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send a request and record its answer. True if the connection can be used again."""
        request = broken_request(self._chance, self._authorization)
        writer.write(request)
        answer = b""
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                while not (answer.endswith((b"}", b"\r\n\r\n")) and b"\r\n\r\n" in answer):
                    if not (data := await reader.read(1 << 16)):
                        break
                    answer += data
        except (TimeoutError, ConnectionError):
            pass
        self._note(request, answer)
        return bool(answer) and b"connection: close" not in answer

    def _note(self, request: bytes, answer: bytes) -> None:
        report, is_keyed = self._report, bool(self._authorization)
        statuses = [int(line[9:12]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        statuses += [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()][len(statuses) :]
        report.statuses.update(statuses)
        report.unanswered += not statuses
        acknowledged = answer.count(b'{"id":"')
        if is_keyed:
            report.keyed_acknowledged += acknowledged
            report.keyed_unanswered += 1 + request.count(b"HTTP/1") - min(len(statuses), 1)  # some hold several requests
        elif acknowledged:
            report.violations.append(f"a stranger was acknowledged: {request[:300]!r}")
        for status in statuses:
            if status >= 500 and status != 503:
                report.violations.append(f"{status} for {request[:300]!r}")


def _judge(its: Target, report: Report) -> None:
    bodies = [body for _, _, body in stored(its.valkey.url)]
    report.stored = len(bodies)
    others = len(bodies) - sum(b"honest-" in body for body in bodies)
    if not report.keyed_acknowledged <= others <= report.keyed_acknowledged + report.keyed_unanswered:
        report.violations.append(f"{others} stored of {report.keyed_acknowledged} acknowledged")
    if report.grown_mb > GROWTH_MB:
        report.violations.append(f"memory grew by {report.grown_mb:.1f} MB")
    if "Traceback" in its.ingress.log or "a bug in the ingress" in its.ingress.log:
        report.violations.append(f"the log: {its.ingress.log[-3000:]}")
