"""Appends bodies to the inbox by group commit.

Requests that wait at the same moment share one pipeline, and so one fsync. This module owns the connection that it writes
through. Its promise: an id is returned only after Valkey has confirmed the append. Anything else ends in
`InboxUnavailableError` within `2 × timeout` (a commit under way, then our own), however many wait. A crash before the reply
leaves at most an event that the provider sends again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import hiredis
from redis import exceptions
from redis.asyncio.connection import ConnectionPool

from ingress.body_budget import BodyBudget
from ingress.pipeline import Pipeline, PlainPipeline, open_pipeline
from schemas.keys import FIELD_BODY, FIELD_PROVIDER, FIELD_REQUEST, INBOX
from schemas.refusals import Cause

MAX_GROUP = 512
"""Events in one pipeline at the most: enough to share an fsync, few enough to keep memory and the reply's delay small."""


_Waiting = tuple[bytes, asyncio.Future[str], float]
"""A packed command, the future for its reply, and its deadline by the loop's clock."""


class InboxUnavailableError(Exception):
    """The event was not accepted: Valkey is unavailable, full or too slow. The provider should send it again."""

    def __init__(self, detail: str, cause: Cause) -> None:
        super().__init__(detail)
        self.cause = cause


class Refusal(NamedTuple):
    """Why no event is accepted now."""

    detail: str
    cause: Cause


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
                try:
                    _answer(group, await self._commit(group))
                except BaseException:  # a bug or a cancellation: it is raised, but first every waiting request is answered
                    _answer(group, [InboxUnavailableError("the append was not confirmed", Cause.UNREACHABLE)] * len(group))
                    raise
                finally:
                    self._memory.used_bytes -= sum(len(command) for command, _, _ in group)
        finally:
            self._committer = None

    async def _commit(self, group: list[_Waiting]) -> Sequence[object]:
        """Send one pipeline and read its replies. An exception stands for each missing reply."""
        commands = [command for command, _, _ in group]
        now, deadline = asyncio.get_running_loop().time(), group[0][2]
        if now >= deadline:
            return _too_late(group)
        try:
            async with asyncio.timeout_at(min(now + self._timeout_seconds, deadline)):
                if self._pipeline is None:
                    self._pipeline = await open_pipeline(self._pool)
                replies = await self._pipeline.exchange(commands)
        except (TimeoutError, exceptions.TimeoutError):
            await self._disconnect()
            return _too_late(group)
        except (exceptions.RedisError, OSError) as error:
            await self._disconnect()
            return [InboxUnavailableError(f"Valkey is unreachable: {type(error).__name__}", Cause.UNREACHABLE)] * len(commands)
        except BaseException:
            await self._disconnect()
            raise
        if any(isinstance(reply, hiredis.ReplyError) and _code(reply) == "READONLY" for reply in replies):
            await self._disconnect()  # no longer the primary: reconnect, the address may lead to the new primary
        return replies

    async def _disconnect(self) -> None:
        """Close the connection: a late reply could not be matched to its command."""
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            await pipeline.close()


def _too_late(group: list[_Waiting]) -> Sequence[object]:
    return [InboxUnavailableError("Valkey did not confirm in time", Cause.VALKEY_SLOW)] * len(group)


def _code(error: hiredis.ReplyError) -> str:
    """The code of a server's error: `OOM`, `READONLY`, `MISCONF`."""
    return str(error).partition(" ")[0]


def _answer(group: list[_Waiting], replies: Sequence[object]) -> None:
    for (_, future, _), reply in zip(group, replies, strict=True):
        if future.done():  # answered, or the client has disconnected: its event is kept anyway
            continue
        if isinstance(reply, bytes):
            future.set_result(reply.decode())
        elif isinstance(reply, InboxUnavailableError):
            future.set_exception(reply)
        else:  # out of memory, misconfigured: this append alone was refused
            future.set_exception(_refused(reply))


def _refused(reply: object) -> InboxUnavailableError:
    if not isinstance(reply, hiredis.ReplyError):
        return InboxUnavailableError("Valkey gave no id", Cause.VALKEY_REFUSED)
    code = _code(reply)
    return InboxUnavailableError(f"Valkey refused: {code}", Cause.MEMORY if code == "OOM" else Cause.VALKEY_REFUSED)


def pack_append(provider: str, body: bytes, request: bytes = b"") -> bytes:
    """`XADD inbox * p <provider> b <body> r <request>` in Valkey's wire format; without `r` if there is no request context."""
    if request:
        return b"*9\r\n%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n" % (_head(provider), len(body), body, _REQUEST, len(request), request)
    return b"*7\r\n%b$%d\r\n%b\r\n" % (_head(provider), len(body), body)


def _head(provider: str) -> bytes:
    head = _HEADS.get(provider)
    if head is None:
        components = (b"XADD", INBOX.encode(), b"*", FIELD_PROVIDER, provider.encode(), FIELD_BODY)
        head = _HEADS[provider] = b"".join(map(_packed, components))
    return head


def _packed(part: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(part), part)


_HEADS: dict[str, bytes] = {}
_REQUEST = _packed(FIELD_REQUEST)
