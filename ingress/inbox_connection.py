"""The connection that the inbox is written through, and what was acknowledged on it.

Each new connection is first asked for the inbox's history: it may lead to another server, or to an older state of the same one.
What such a one lacks of the last seconds' events is appended again, in steps between the groups of new ones.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import ConnectionPool

from ingress.acknowledged import Acknowledged
from ingress.history import LOOK, read_history
from ingress.pipeline import HungUpError, Pipeline, PlainPipeline, open_pipeline
from ingress.reappending import look_for_some
from ingress.unavailability import NOT_THE_PRIMARY, code_of

log = logging.getLogger("curbside.ingress")


class InboxConnection:
    """One connection, opened when it is needed. Exchanges one group at a time."""

    def __init__(self, pool: ConnectionPool, acknowledged: Acknowledged) -> None:
        self._pool, self.acknowledged = pool, acknowledged
        self._pipeline: Pipeline | PlainPipeline | None = None
        self._opened = 0
        self._checked, self._again = 0, 0
        """Events of the present search that were looked for; that were appended again."""
        self._complaint: object = None

    async def append(self, commands: Sequence[bytes], replies: list[Any]) -> None:
        """Append a group, and if the connection is lost, the rest through a new one, once.

        Adds a reply, or a `hiredis.ReplyError`, for each to `replies`. Raises the errors of redis-py and `OSError`; what had
        been replied is in `replies` then. Close the connection after any error.
        """
        try:
            await self._append(commands, replies)
        except HungUpError:
            await self.close()
            await self._append(commands[len(replies) :], replies)
        if any(isinstance(reply, hiredis.ReplyError) and code_of(reply) in NOT_THE_PRIMARY for reply in replies):
            await self.close()  # no longer the primary: reconnect, the address may lead to the new primary

    async def look(self) -> None:
        """Compare the inbox with what it was. Raises as `append`."""
        if self._pipeline is not None:
            try:
                await self._compare(self._pipeline)
            except HungUpError:
                await self.close()
        await self._connected()

    async def search(self) -> bool:
        """Look for some of what is doubtful. False if the server does not let us: try again later. Raises as `append`."""
        error = await self._search(await self._connected())
        if error is not None and code_of(error) in NOT_THE_PRIMARY:
            await self.close()
        return error is None

    async def close(self) -> None:
        """Close the connection: a late reply could not be matched to its command."""
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            await pipeline.close()

    async def _append(self, commands: Sequence[bytes], replies: list[Any]) -> None:
        pipeline, had = await self._connected(), len(replies)
        try:
            await pipeline.exchange(commands, replies)
        finally:
            got = len(replies) - had
            whole = not had and got == len(commands)
            now = asyncio.get_running_loop().time()
            self.acknowledged.add(now, *((commands, replies) if whole else (commands[:got], replies[had:])))

    async def _connected(self) -> Pipeline | PlainPipeline:
        if self._pipeline is None:
            self._pipeline = await open_pipeline(self._pool)
            self._opened += 1
            await self._compare(self._pipeline)
            if self.acknowledged.missing:  # before new events, so that they keep their ids
                await self._search(self._pipeline)
        return self._pipeline

    async def _search(self, pipeline: Pipeline | PlainPipeline) -> hiredis.ReplyError | None:
        step = await look_for_some(pipeline, self.acknowledged, asyncio.get_running_loop().time())
        self._checked, self._again = self._checked + step.checked, self._again + step.again
        if self.acknowledged.is_whole:
            say = log.warning if self._again else log.info
            say(
                "%d of the last acknowledged events were looked for: %d were missing, appended again",
                self._checked,
                self._again,
            )
            self._checked, self._again = 0, 0
        self._complain(step.error, "the last acknowledged events cannot be looked for yet")
        return step.error

    async def _compare(self, pipeline: Pipeline | PlainPipeline) -> None:
        replies: list[Any] = []
        await pipeline.exchange(LOOK, replies)
        history = read_history(replies[0], replies[1], unnamed=f"behind connection {self._opened}")
        if history is not None:
            self.acknowledged.compare(history)
        else:
            self._complain(replies[1], "it cannot be told whether the inbox lost events")

    def _complain(self, reply: object, consequence: str) -> None:
        """Log once what the server does not let us do. None: it does."""
        code = code_of(reply) if isinstance(reply, Exception) else "to tell"
        complaint = None if reply is None else f"{consequence}: Valkey refused ({code})"
        if complaint not in (None, self._complaint):
            log.warning("%s", complaint)
        self._complaint = complaint
