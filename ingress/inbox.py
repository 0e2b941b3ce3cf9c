"""Appends bodies to the inbox by group commit.

Requests that wait at the same moment share one pipeline, and so one fsync. This module owns the connection that it writes
through. Its promise: an id is returned only after Valkey has confirmed the append. Anything else ends in
`InboxUnavailableError` within `2 × timeout` (a commit under way, then our own), however many wait. A crash before the reply
leaves at most an event that the provider sends again.

A connection that Valkey closed, after its `timeout`, by a restart or by a proxy, is replaced, and what was not confirmed is
appended through the new one, once. If nothing had been sent, nothing can be there twice. If it had, Valkey may have executed what
it did not confirm: then an event is in the inbox twice, at most one group of them. That is what a provider would cause that gets
503 and sends again, and the dispatcher drops the second as a duplicate. No reply in time is no closed connection: it is 503.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import ConnectionPool

from ingress.body_budget import BodyBudget
from ingress.pipeline import HungUpError, Pipeline, PlainPipeline, open_pipeline, packed_part
from ingress.unavailability import NOT_THE_PRIMARY, InboxUnavailableError, Refusal, code_of, refusal_of
from schemas.keys import FIELD_BODY, FIELD_PROVIDER, FIELD_REQUEST, INBOX
from schemas.refusals import Cause

MAX_GROUP = 512
"""Events in one pipeline at the most: enough to share an fsync, few enough to keep memory and the reply's delay small."""


_Waiting = tuple[bytes, asyncio.Future[str], float]
"""A packed command, the future for its reply, and its deadline by the loop's clock."""


class Inbox:
    """Appends to the inbox stream. One per event loop."""

    def __init__(self, pool: ConnectionPool, memory: BodyBudget[Any], timeout_seconds: float) -> None:
        self._pool, self._memory = pool, memory
        self._timeout_seconds = timeout_seconds
        self._pipeline: Pipeline | PlainPipeline | None = None
        self._waiting: list[_Waiting] = []
        self._committer: asyncio.Task[None] | None = None
        self.refusal: Refusal | None = None
        """Why no event is accepted now; None if events are accepted. Set by `ingress.backpressure`."""

    def append(self, provider: str, body: bytes, request: bytes = b"") -> asyncio.Future[str]:
        """Append one body and its request context. The future gives the event id, or raises `InboxUnavailableError`."""
        if self.refusal is not None:
            raise InboxUnavailableError(*self.refusal)
        if self._memory.is_full:
            raise InboxUnavailableError("Valkey is too slow for what comes in", Cause.VALKEY_SLOW)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        command = pack_append(provider, body, request)
        self._waiting.append((command, future, loop.time() + 2 * self._timeout_seconds))
        self._memory.used_bytes += len(command)
        if self._committer is None:
            self._committer = loop.create_task(self._commit_groups())
        return future

    async def close(self) -> None:
        """Finish the commits under way and disconnect."""
        if self._committer is not None:
            await self._committer
        await self._disconnect()
        await self._pool.disconnect()

    async def _commit_groups(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                commands, replies = [command for command, _, _ in group], list[object]()
                try:
                    error = await self._commit(commands, replies, group[0][2])
                except BaseException:  # a bug or a cancellation: it is raised, but first every waiting request is answered
                    _answer(group, replies, InboxUnavailableError("the append was not confirmed", Cause.UNREACHABLE))
                    raise
                finally:
                    self._memory.used_bytes -= sum(map(len, commands))
                _answer(group, replies, error)
        finally:
            self._committer = None

    async def _commit(self, commands: list[bytes], replies: list[object], deadline: float) -> InboxUnavailableError:
        """Append, and add what is confirmed or refused to `replies`. The error is for those of which nothing is known."""
        now = asyncio.get_running_loop().time()
        if now >= deadline:
            return _TOO_LATE
        try:
            async with asyncio.timeout_at(min(now + self._timeout_seconds, deadline)):
                await self._exchange(commands, replies)
        except (TimeoutError, exceptions.TimeoutError):
            await self._disconnect()
            return _TOO_LATE
        except (exceptions.RedisError, OSError) as error:
            await self._disconnect()
            return InboxUnavailableError(*refusal_of(error))
        except BaseException:
            await self._disconnect()
            raise
        if any(isinstance(reply, hiredis.ReplyError) and code_of(reply) in NOT_THE_PRIMARY for reply in replies):
            await self._disconnect()  # no longer the primary: reconnect, the address may lead to the new primary
        return _TOO_LATE

    async def _exchange(self, commands: list[bytes], replies: list[object]) -> None:
        """Exchange, and if the connection is lost, the rest through a new one."""
        try:
            await (await self._connected()).exchange(commands, replies)
        except HungUpError:
            await self._disconnect()
            await (await self._connected()).exchange(commands[len(replies) :], replies)

    async def _connected(self) -> Pipeline | PlainPipeline:
        if self._pipeline is None:
            self._pipeline = await open_pipeline(self._pool)
        return self._pipeline

    async def _disconnect(self) -> None:
        """Close the connection: a late reply could not be matched to its command."""
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            await pipeline.close()


_TOO_LATE = InboxUnavailableError("Valkey did not confirm in time", Cause.VALKEY_SLOW)


def _answer(group: list[_Waiting], replies: Sequence[object], missing: InboxUnavailableError) -> None:
    """Answer each request of a group. `missing` is for those without a reply."""
    for (_, future, _), reply in zip(group, [*replies, *[missing] * (len(group) - len(replies))], strict=True):
        if future.done():  # answered, or the client has disconnected: its event is kept anyway
            continue
        if isinstance(reply, bytes):
            future.set_result(reply.decode())
        else:  # out of memory, misconfigured: this append alone was refused
            future.set_exception(_error_of(reply))


def _error_of(reply: object) -> InboxUnavailableError:
    """A new error for each request: a raised one keeps its traceback."""
    if isinstance(reply, InboxUnavailableError):
        return InboxUnavailableError(str(reply), reply.cause)
    if isinstance(reply, hiredis.ReplyError):
        return InboxUnavailableError(*refusal_of(reply))
    return InboxUnavailableError("Valkey gave no id", Cause.VALKEY_REFUSED)


def pack_append(provider: str, body: bytes, request: bytes = b"") -> bytes:
    """`XADD inbox * p <provider> b <body> r <request>` in Valkey's wire format; without `r` if there is no request context."""
    if request:
        return b"*9\r\n%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n" % (_head(provider), len(body), body, _REQUEST, len(request), request)
    return b"*7\r\n%b$%d\r\n%b\r\n" % (_head(provider), len(body), body)


def _head(provider: str) -> bytes:
    head = _HEADS.get(provider)
    if head is None:
        components = (b"XADD", INBOX.encode(), b"*", FIELD_PROVIDER, provider.encode(), FIELD_BODY)
        head = _HEADS[provider] = b"".join(map(packed_part, components))
    return head


_HEADS: dict[str, bytes] = {}
_REQUEST = packed_part(FIELD_REQUEST)
