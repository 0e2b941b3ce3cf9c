"""How many entries of a stream a consumer group has not read yet.

The `lag` that XINFO GROUPS reports is not enough. Redis 7.0 does not send a group's `entries-read` to its replicas or to its
append-only file: after a promotion, or a restart, `lag` is null, or counts entries that were read long ago, until the group is
recreated. It is never too small. So three numbers are compared: `lag`; the stream's length; and, for the inbox, what was added
without being settled or pending. The ids decide first: a group that was given the last entry has read everything.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

StreamId = tuple[int, int]


class GroupState(NamedTuple):
    """A stream and one consumer group on it, at one moment.

    `length` and `added`: entries now, and ever. `last`: the last id added. `delivered`: the last id given to a consumer.
    `pending`: entries that were delivered and not acknowledged. `lag`: what the server says is unread; None if it does not know.
    """

    length: int
    added: int
    last: StreamId
    delivered: StreamId
    pending: int
    lag: int | None

    def unread(self, settled: int | None = None) -> int:
        """The best estimate without counting: 0 exactly if nothing is unread, and never less than what is.

        `settled`: how many entries were ever acknowledged, if a counter says so.
        """
        if not self.length or self.delivered >= self.last:
            return 0
        bounds = [self.length, self.lag, None if settled is None else self._unsettled(settled)]
        return max(1, min(bound for bound in bounds if bound is not None))

    def is_exact(self, settled: int) -> bool:
        """Whether `unread(settled)` is exact: nothing is unread, or the server's `lag` agrees with the counters."""
        return self.unread() == 0 or self.lag == self._unsettled(settled)

    def _unsettled(self, settled: int) -> int:
        return self.added - settled - self.pending


def group_state(stream: Mapping[str, Any], groups: Iterable[Mapping[str, Any]], group: str) -> GroupState:
    """The state from the replies of XINFO STREAM and XINFO GROUPS. A group that does not exist has read nothing."""
    length, added = int(stream["length"]), int(stream["entries-added"])
    last = stream_id(_text(stream["last-generated-id"]))
    for each in groups:
        if _text(each["name"]) == group:
            lag = each.get("lag")
            delivered = stream_id(_text(each["last-delivered-id"]))
            return GroupState(length, added, last, delivered, int(each["pending"]), None if lag is None else int(lag))
    return GroupState(length, added, last, (0, 0), 0, length)


def stream_id(text: str) -> StreamId:
    """A stream id as numbers, which sort as Valkey sorts ids."""
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
