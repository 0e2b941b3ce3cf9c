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
import logging
from collections.abc import Sequence
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import ConnectionPool

from ingress.acknowledged import Acknowledged
from ingress.body_budget import BodyBudget
from ingress.inbox_connection import InboxConnection
from ingress.pipeline import packed_part
from ingress.room import Room
from ingress.unavailability import InboxUnavailableError, Refusal, refusal_of
from schemas.keys import FIELD_BODY, FIELD_PROVIDER, FIELD_REQUEST, INBOX
from schemas.refusals import Cause
from schemas.valkey_memory import BYTES_PER_WAITING_EVENT

log = logging.getLogger("curbside.ingress")

MAX_GROUP = 512
"""Events in one pipeline at the most: enough to share an fsync, few enough to keep memory and the reply's delay small."""


_Waiting = tuple[bytes, asyncio.Future[str], float]
"""A packed command, the future for its reply, and its deadline by the loop's clock."""


class Inbox:
    """Appends to the inbox stream. One per event loop."""

    def __init__(
        self,
        pool: ConnectionPool,
        memory: BodyBudget[Any],
        timeout_seconds: float,
        acknowledged: Acknowledged | None = None,
    ) -> None:
        self._pool, self._memory = pool, memory
        self._timeout_seconds = timeout_seconds
        self._acknowledged = acknowledged or Acknowledged(0, 0)
        self._connection = InboxConnection(pool, self._acknowledged)
        self._is_look_due, self._may_search = False, True
        self._waiting: list[_Waiting] = []
        self._committer: asyncio.Task[None] | None = None
        self.room = Room()
        """How much may be appended. Set by `ingress.backpressure`, as is `refusal`."""
        self.refusal: Refusal | None = None
        """Why no event is accepted now; None if events are accepted."""

    def append(self, provider: str, body: bytes, request: bytes = b"") -> asyncio.Future[str]:
        """Append one body and its request context. The future gives the event id, or raises `InboxUnavailableError`."""
        if self.refusal is not None:
            raise InboxUnavailableError(*self.refusal)
        room = self.room
        if room.left <= 0:
            raise InboxUnavailableError("Valkey's memory is full, up to what is for events that wait", Cause.MEMORY)
        if self._memory.is_full:
            raise InboxUnavailableError("Valkey is too slow for what comes in", Cause.VALKEY_SLOW)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        command = pack_append(provider, body, request)
        self._waiting.append((command, future, loop.time() + 2 * self._timeout_seconds))
        size = len(command)
        self._memory.used_bytes += size
        room.left -= size + BYTES_PER_WAITING_EVENT
        if room.left < room.look_below:
            room.look_soon()
        if self._committer is None:
            self._committer = loop.create_task(self._commit_groups())
        return future

    def tend(self) -> None:
        """Look, beside the commits, whether the inbox still has what was acknowledged. To be called once a second.

        This finds as well that the connection is lost, and opens another, before an event needs it.
        """
        self._is_look_due = self._may_search = True
        if self._committer is None:
            self._committer = asyncio.get_running_loop().create_task(self._commit_groups())

    async def close(self) -> None:
        """Finish the commits under way, and what was found missing, and disconnect."""
        if not self._acknowledged.is_whole:
            self.tend()
        if self._committer is not None:
            await self._committer
        if left := len(self._acknowledged.missing) + len(self._acknowledged.doubtful):
            log.error(
                "Valkey may have lost %d acknowledged events, and this ingress, which ends, could not append them again", left
            )
        await self._connection.close()
        await self._pool.disconnect()

    @property
    def _is_search_due(self) -> bool:
        return self._may_search and not self._acknowledged.is_whole

    async def _commit_groups(self) -> None:
        try:
            while self._waiting or self._is_look_due or self._is_search_due:
                if (self._is_look_due or self._is_search_due) and not self._is_late():
                    await self._look()
                if self._waiting:
                    await self._commit_group()
        finally:
            self._committer = None

    def _is_late(self) -> bool:
        """Whether the oldest request has waited for as long as one exchange may take: it may not wait for another."""
        now = asyncio.get_running_loop().time()
        return bool(self._waiting) and self._waiting[0][2] - now < self._timeout_seconds

    async def _look(self) -> None:
        """One step of `tend`. What keeps Valkey from it is told by the appends, and it is tried again in a second."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if self._is_look_due:
                    self._is_look_due = False
                    await self._connection.look()
                if self._is_search_due:
                    self._may_search = await self._connection.search()
        except (exceptions.RedisError, OSError):  # a TimeoutError is an OSError
            self._may_search = False
            await self._connection.close()
        except BaseException:
            await self._connection.close()
            raise

    async def _commit_group(self) -> None:
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

    async def _commit(self, commands: list[bytes], replies: list[object], deadline: float) -> InboxUnavailableError:
        """Append, and add what is confirmed or refused to `replies`. The error is for those of which nothing is known."""
        now = asyncio.get_running_loop().time()
        if now >= deadline:
            return _TOO_LATE
        try:
            async with asyncio.timeout_at(min(now + self._timeout_seconds, deadline)):
                await self._connection.append(commands, replies)
        except (TimeoutError, exceptions.TimeoutError):
            await self._connection.close()
            return _TOO_LATE
        except (exceptions.RedisError, OSError) as error:
            await self._connection.close()
            return InboxUnavailableError(*refusal_of(error))
        except BaseException:
            await self._connection.close()
            raise
        return _TOO_LATE


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
