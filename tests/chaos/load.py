"""The providers, a process of its own: posts waves at a fixed rate to either ingress, and repeats each post until it is acknowledged.

A post that is refused or has no answer goes back to the queue and to whichever ingress takes it next, after a pause that doubles.
While more than `MOST_WAITING` posts are not acknowledged, no new ones begin.
"""

import asyncio
import itertools
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvloop

from deploy.simulator.plan import Plan
from deploy.simulator.provider_events import AFOSTO
from tests.chaos.child import Answer, serve_commands
from tests.chaos.waves import Answers, Wave, next_wave
from tests.chaos.wire import Connection, NoAnswerError
from tests.support.ingress_client import bearer, signed

CONNECTIONS = 24
"""For each ingress."""
MOST_WAITING = 20_000
_TOKEN_SECONDS = 600
_TICK_SECONDS = 0.01
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 2.0


@dataclass(slots=True)
class _Current:
    """A wave whose posts are not all acknowledged yet."""

    plan: Plan
    answers: Answers
    waiting: set[int] = field(default_factory=set)
    begun: int = 0

    @property
    def is_done(self) -> bool:
        """Whether every post was acknowledged."""
        return self.begun == len(self.plan.posts) and not self.waiting

    def close(self) -> None:
        """Note of what was not acknowledged that it may be stored."""
        for index in self.waiting:
            self.answers.add(index)
        self.answers.close()


@dataclass(slots=True)
class _Posting:
    """A post that is to be acknowledged, and the pause after its next failed attempt."""

    wave: _Current
    index: int
    pause: float = _FIRST_PAUSE_SECONDS


class Load:
    """The providers. `counts` has what happened so far."""

    def __init__(self, ports: list[int], seed: int, rate: float, folder: Path) -> None:
        self._ports, self._seed, self._rate, self._folder = ports, seed, rate, folder
        self._queue = asyncio.Queue[_Posting]()
        self._token, self._token_until = "", 0.0
        self._is_stopped = False
        self._running: asyncio.Task[None] | None = None
        self._waves = dict[int, _Current]()
        self.counts = Counter[str]()

    @property
    def waiting(self) -> int:
        """How many posts have begun and are not acknowledged."""
        return self.counts["begun"] - self.counts["acknowledged"]

    def start(self) -> None:
        """Begin to post."""
        self._running = asyncio.create_task(self._run())

    async def stop(self, patience_seconds: float) -> None:
        """Begin no more posts, and wait until those under way are acknowledged."""
        self._is_stopped = True
        until = time.monotonic() + patience_seconds
        while self.waiting and time.monotonic() < until:  # noqa: ASYNC110 - or a time limit
            await asyncio.sleep(0.05)
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait([self._running])
        for current in self._waves.values():
            current.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for port in self._ports * CONNECTIONS:
                tasks.create_task(self._work(port))
            following = tasks.create_task(self._prepare(0))
            for number in itertools.count(1):
                wave, plan = await following
                following = tasks.create_task(self._prepare(number))
                await self._post_wave(wave, plan)

    async def _prepare(self, number: int) -> tuple[Wave, Plan]:
        """Plan a wave while the one before it is posted."""
        wave = next_wave(number, self._seed, datetime.now(UTC), self._rate)
        return wave, await asyncio.to_thread(wave.plan)

    async def _post_wave(self, wave: Wave, plan: Plan) -> None:
        current = self._waves[wave.number] = _Current(plan, Answers(self._folder, wave))
        begin = time.monotonic()
        while current.begun < len(plan.posts):
            await asyncio.sleep(_TICK_SECONDS)
            if self.waiting > MOST_WAITING or self._is_stopped:
                begin = time.monotonic() - current.begun / self._rate
                continue
            due = min(len(plan.posts), int((time.monotonic() - begin) * self._rate) + 1)
            for index in range(current.begun, due):
                self._queue.put_nowait(_Posting(current, index))
                current.waiting.add(index)
            self.counts["begun"] += due - current.begun
            current.begun = due
        for number in [number for number, each in self._waves.items() if each.is_done]:
            self._waves.pop(number).close()

    async def _work(self, port: int) -> None:
        """One connection to one ingress, opened again whenever it is lost."""
        connection: Connection | None = None
        while True:
            if connection is None or connection.is_closed:
                try:
                    connection = await Connection.open(port)
                except OSError:
                    await asyncio.sleep(0.2)
                    continue
            posting = await self._queue.get()
            await self._attempt(connection, posting)

    async def _attempt(self, connection: Connection, posting: _Posting) -> None:
        post, answers = posting.wave.plan.posts[posting.index], posting.wave.answers
        path, proof = "/webhook/afosto", signed(post.body)["X-Afosto-Hmac-Sha256"] if post.provider == AFOSTO else ""
        if post.provider != AFOSTO:
            path, proof = "/webhook/instacart", self._bearer()
        try:
            status, body = await connection.post(path, proof, post.body)
        except NoAnswerError:
            status, body = 0, b""
        self.counts[f"status {status}"] += 1
        if status == 200:
            milliseconds, _, sequence = orjson.loads(body)["id"].partition("-")
            answers.add(posting.index, int(milliseconds), int(sequence))
            self.counts["acknowledged"] += 1
            posting.wave.waiting.discard(posting.index)
            return
        if status == 0 or status >= 500:
            answers.add(posting.index)
        asyncio.get_running_loop().call_later(posting.pause, self._queue.put_nowait, posting)
        posting.pause = min(2 * posting.pause, _LONGEST_PAUSE_SECONDS)

    def _bearer(self) -> str:
        if time.monotonic() > self._token_until:
            self._token, self._token_until = bearer()["Authorization"], time.monotonic() + _TOKEN_SECONDS
        return self._token


async def _main(given: dict[str, Any]) -> None:
    load = Load(given["ports"], given["seed"], given["rate"], Path(given["folder"]))

    async def act(command: str, arguments: Answer) -> Answer:
        if command == "start":
            load.start()
        elif command == "stop":
            await load.stop(arguments["seconds"])
        return dict(load.counts)

    await serve_commands({}, act)


if __name__ == "__main__":
    uvloop.run(_main(orjson.loads(sys.argv[1])))
