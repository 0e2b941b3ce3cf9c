"""The inbox trimmer: removes handled bodies from the inbox, in steps of milliseconds.

It never removes a body that is still needed: of an entry that the dispatcher has not acknowledged, or of an event that a claim
check names. Which handlers events wait for, Valkey tells (`counters`), and not this process's settings. A crash between two steps
leaves an inbox that is trimmed less far.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from schemas import keys
from schemas.stream_groups import StreamId, stream_id
from workers.valkey import scripts
from workers.valkey.handler_names import handlers_on_record
from workers.valkey.store import Store

_NOTHING_READ = "0-0"
_MAX_ROUNDS = 3
"""How often the todo streams are read again because another handler got its first event meanwhile."""


class Needed(NamedTuple):
    """The first inbox entry that is still needed, and up to which claim check that is known, by todo stream."""

    first: StreamId
    read_to: dict[str, str]


class InboxTrimmer:
    """Trims the inbox. `handlers`: those that this process knows; others are found in Valkey."""

    def __init__(self, store: Store, handlers: Sequence[str]) -> None:
        self._store, self._client, self._handlers = store, store.client, handlers
        self._oldest = scripts.load(self._client, "claim_checks", "oldest_waiting")
        self._trim = scripts.load(self._client, "commit", "claim_checks", "trim")

    def needed(self) -> Needed | None:
        """The first entry that is needed now. None if there is no inbox yet."""
        unacknowledged = self._store.oldest_unacknowledged(keys.INBOX)
        if unacknowledged is None:
            return None
        first, read_to = stream_id(unacknowledged), dict[str, str]()
        for handler in handlers_on_record(self._client, self._handlers):
            stream = keys.todo(handler)
            oldest, read_to[stream] = self._oldest_of(stream)
            first = min([first, *oldest])
        return Needed(first, read_to)

    def trim(self, keep: StreamId, is_over: Callable[[], bool]) -> int:
        """Remove what is older than `keep` and not needed, until nothing is left to remove or `is_over`. How many were removed."""
        removed = 0
        for _ in range(_MAX_ROUNDS):
            needed = self.needed()
            if needed is None:
                return removed
            count, is_complete = self._remove(needed, min(keep, needed.first), is_over)
            removed += count
            if is_complete:
                break
        return removed

    def _remove(self, needed: Needed, keep: StreamId, is_over: Callable[[], bool]) -> tuple[int, bool]:
        """Remove older entries. How many, and False if events wait for a handler whose claim checks were not read."""
        first, read_to, removed, more = f"{keep[0]}-{keep[1]}", needed.read_to, 0, True
        while more and not is_over():
            streams = list(read_to)
            reply: Any = self._trim([keys.INBOX, keys.COUNTERS, *streams], [keys.TODO_PREFIX, first, *read_to.values()])
            if reply[0] < 0:
                return removed, False
            removed, more, first = removed + reply[0], bool(reply[1]), reply[2].decode()
            read_to = {stream: last.decode() for stream, last in zip(streams, reply[3], strict=True)}
        return removed, True

    def _oldest_of(self, stream: str) -> tuple[list[StreamId], str]:
        """The oldest event that each page of a todo stream names, and the id of the last claim check. Claim checks are unordered."""
        found, last = [], _NOTHING_READ
        while True:
            reply: Any = self._oldest([stream], [last])
            oldest, read_to = reply[0].decode(), reply[1].decode()
            found += [stream_id(oldest)] if oldest else []
            if read_to == last:
                return found, last
            last = read_to
