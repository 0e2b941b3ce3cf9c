"""An ingress with its own Valkey, and an honest provider whose posts are measured."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp

from tests.support.ingress_client import IngressProcess, bearer
from tests.support.valkey_servers import RealValkey


class Target(NamedTuple):
    """What is attacked."""

    ingress: IngressProcess
    valkey: RealValkey


@contextmanager
def target(**environment: str) -> Iterator[Target]:
    """Start it; afterwards it is stopped in good order."""
    valkey = RealValkey()
    with tempfile.TemporaryDirectory(prefix="curbside-strangers-") as folder:
        try:
            valkey.start()
            ingress = IngressProcess(Path(folder) / "log", REDIS_URL=valkey.url, **environment)
            try:
                yield Target(ingress, valkey)
                ingress.stop()
            finally:
                ingress.kill()
        finally:
            valkey.discard()


class HonestProvider:
    """Posts events that are all different, one every `pause_seconds`, until it is told to stop."""

    def __init__(self, url: str, pause_seconds: float) -> None:
        self._url, self._pause_seconds = url, pause_seconds
        self.acknowledged, self.refused = list[bytes](), list[str]()
        self.seconds = list[float]()
        """How long each answer took."""

    async def run(self) -> None:
        """Post."""
        async with aiohttp.ClientSession(self._url, headers=bearer()) as session:
            for number in range(10**9):
                body = b'{"event":"fulfillment.picking","order_id":"honest-%d"}' % number
                began = time.perf_counter()
                try:
                    async with session.post("/webhook", data=body) as answer:
                        text = await answer.text()
                        if answer.status == 200:
                            self.acknowledged.append(body)
                        else:
                            self.refused.append(text)
                except aiohttp.ClientError as error:
                    self.refused.append(f"{type(error).__name__}: {error}")
                self.seconds.append(time.perf_counter() - began)
                await asyncio.sleep(self._pause_seconds)

    def percentile_ms(self, share: float) -> float:
        """Of all answers."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))] * 1000
