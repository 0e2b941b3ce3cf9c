"""Thousands of connections that are idle or never finish a request, while an honest provider posts."""

import asyncio
import resource
import time
from dataclasses import dataclass

from tests.strangers.target import HonestProvider, target

BEGUN = (b"", b"POST /web", b"POST /webhook HTTP/1.1\r\nHost: x\r\nX-A: ", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
"""What each of them sends, in turn: nothing, half a request line, half of the headers, a whole request."""


@dataclass
class Report:
    """What the honest provider saw."""

    connections: int
    opened: int = 0
    posts: int = 0
    refused: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    worst_ms: float = 0.0
    resident_mb: float = 0.0


def run(connections: int, seconds: float) -> Report:
    """Hold so many open for so long; whichever the ingress closes is opened again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, connections + 500) if hard > 0 else connections + 500, hard))
    try:
        with target() as its:
            report = Report(connections)
            asyncio.run(_run(its.ingress.url, report, seconds))
            report.resident_mb = its.ingress.resident_mb
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return report


async def _run(url: str, report: Report, seconds: float) -> None:
    port, until = int(url.rpartition(":")[2]), time.monotonic() + seconds
    open_now = asyncio.Semaphore(200)  # connections that are being opened at the same time

    async def hold(number: int) -> None:
        while time.monotonic() < until:
            try:
                async with open_now:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            report.opened += 1
            try:
                writer.write(BEGUN[number % len(BEGUN)])
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, until - time.monotonic())):
                    while await reader.read(1000):
                        pass
            except (TimeoutError, ConnectionError):
                pass
            finally:
                writer.close()

    holding = [asyncio.create_task(hold(number)) for number in range(report.connections)]
    await asyncio.wait(holding, timeout=seconds / 4)  # until they are open
    honest = HonestProvider(url, 0.005)
    posting = asyncio.create_task(honest.run())
    await asyncio.gather(*holding)
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    report.posts, report.refused = len(honest.acknowledged), len(honest.refused)
    report.p50_ms, report.p99_ms, report.worst_ms = (honest.percentile_ms(share) for share in (0.5, 0.99, 1.0))
