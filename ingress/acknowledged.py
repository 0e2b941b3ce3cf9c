"""What was acknowledged in the last seconds: kept in memory, in case the inbox loses it after all.

A failover to a replica that lagged loses events that a 200 was given for, and so does a FLUSHALL by accident. `compare` notices
both by the inbox's history. What was kept is then `missing`, if its id is later than all that the inbox has, or else `doubtful`:
it has to be looked for. Both are appended again if need be: see `ingress.reappending`.

The bounds are a time and a number of bytes. Nothing is forgotten by time while nothing is acknowledged: an outage may be long.
An event that was trimmed from the inbox is forgotten within a second: it was handled.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ingress.history import History
from schemas.stream_groups import StreamId, stream_id

_OVERHEAD_BYTES = 120
"""Of each event: two objects and their places in two lists."""

log = logging.getLogger("curbside.ingress")


class Kept(NamedTuple):
    """One event: its id, and the command that appended it."""

    event_id: bytes
    command: bytes


class _Group(NamedTuple):
    """A pipeline as it was exchanged. A reply that is no id is an error: nothing was acknowledged."""

    at: float
    commands: Sequence[bytes]
    replies: Sequence[object]
    n_bytes: int

    def kept(self) -> Iterator[Kept]:
        for command, reply in zip(self.commands, self.replies, strict=True):
            if isinstance(reply, bytes):
                yield Kept(reply, command)


class Acknowledged:
    """Events by the order of their acknowledgement. `window_seconds` 0: nothing is kept."""

    def __init__(self, window_seconds: float, limit_bytes: int) -> None:
        self._window_seconds, self._limit_bytes = window_seconds, limit_bytes if window_seconds else 0
        self._groups: deque[_Group] = deque()
        self._n_bytes = 0
        self._history: History | None = None
        self.missing: deque[Kept] = deque()
        """Later than all that the inbox has: they are lost."""
        self.doubtful: deque[Kept] = deque()
        """Not known to be in the inbox."""

    @property
    def is_whole(self) -> bool:
        """Whether everything kept is in the inbox, as far as we know."""
        return not self.missing and not self.doubtful

    def add(self, now: float, commands: Sequence[bytes], replies: Sequence[object]) -> None:
        """Keep a group. This is part of the hot path: it costs the same for any number of events but for their bytes' sum."""
        n_bytes = sum(map(len, commands)) + _OVERHEAD_BYTES * len(commands)
        if not 0 < n_bytes <= self._limit_bytes:
            commands, replies, n_bytes = self._last_ones(commands, replies)
        groups, oldest = self._groups, now - self._window_seconds
        groups.append(_Group(now, commands, replies, n_bytes))
        self._n_bytes += n_bytes
        while groups and (self._n_bytes > self._limit_bytes or groups[0].at < oldest):
            self._n_bytes -= groups.popleft().n_bytes

    def _last_ones(self, commands: Sequence[bytes], replies: Sequence[object]) -> tuple[Sequence[bytes], Sequence[object], int]:
        """As many of a group, from its end, as may be kept at all."""
        n_bytes, first = 0, len(commands)
        while first and n_bytes + (size := len(commands[first - 1]) + _OVERHEAD_BYTES) <= self._limit_bytes:
            n_bytes, first = n_bytes + size, first - 1
        return commands[first:], replies[first:], n_bytes

    def compare(self, history: History) -> None:
        """Compare the inbox with what it was: forget what was trimmed, or doubt everything if it may have lost something."""
        before, self._history = self._history, history
        if before is not None and history.continues(before, self._edges()):
            while self._groups and (last := _last_id(self._groups[0])) is not None and history.is_trimmed(last):
                self._n_bytes -= self._groups.popleft().n_bytes
        else:
            self._doubt(history)

    def _edges(self) -> tuple[StreamId, StreamId] | None:
        """An early id and a late one; None if there is none at either end."""
        if not self._groups:
            return None
        early, late = _last_id(self._groups[0]), _last_id(self._groups[-1])
        return None if early is None or late is None else (early, late)

    def _doubt(self, history: History) -> None:
        """Move everything to `missing` or `doubtful`. What is there already is doubtful now. Past the limit the oldest go."""
        events = [*self.doubtful, *self.missing, *(kept for group in self._groups for kept in group.kept())]
        self._groups.clear()
        self._n_bytes = 0
        kept_ones, _, _ = self._last_ones([kept.command for kept in events], [])
        if first := len(events) - len(kept_ones):
            log.error("%d acknowledged events were not looked for in the inbox: too many for memory (REAPPEND_BYTES)", first)
        self.missing, self.doubtful = deque(), deque()
        for kept in events[first:]:
            is_missing = stream_id(kept.event_id.decode()) > history.last
            (self.missing if is_missing else self.doubtful).append(kept)


def _last_id(group: _Group) -> StreamId | None:
    reply = group.replies[-1] if group.replies else None
    return stream_id(reply.decode()) if isinstance(reply, bytes) else None
