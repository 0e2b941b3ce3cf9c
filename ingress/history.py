"""The inbox at one moment and the server that has it: whether what we acknowledged can have been lost between two moments."""

from typing import Any, NamedTuple

import hiredis

from ingress.pipeline import packed
from schemas.keys import INBOX
from schemas.stream_groups import StreamId, stream_id

LOOK = (packed(b"INFO", b"server", b"replication"), packed(b"XINFO", b"STREAM", INBOX.encode()))
"""The commands whose replies `read_history` reads."""
_SERVER = ("run_id", "master_replid")
"""Fields of INFO. The first is another for each start of a server, the second for each history of its data set: another primary."""


class History(NamedTuple):
    """A server, and its inbox.

    `added`: entries ever; `length`: entries now; `first` and `last`: the oldest id there, and the last one ever given.
    """

    server: str
    added: int = 0
    length: int = 0
    first: StreamId | None = None
    last: StreamId = (0, 0)

    def continues(self, before: "History", acknowledged: tuple[StreamId, StreamId] | None) -> bool:
        """Whether nothing can have been lost since `before`. `acknowledged`: an early and a late id that are kept.

        Entries are only ever added, and trimmed from the oldest on: then fewer are there than were added. After a FLUSHALL, the
        counts are smaller; or all that was ever added is there, and an id that we know is not.
        """
        if self.server != before.server or self.added < before.added or self.last < before.last:
            return False
        if acknowledged is None:
            return True
        early, late = acknowledged
        return late <= self.last and not (self.length == self.added and self.is_trimmed(early))

    def is_trimmed(self, event_id: StreamId) -> bool:
        """Whether this id is older than all that is there."""
        return event_id <= self.last if self.first is None else event_id < self.first


def read_history(info: Any, stream: Any, unnamed: str) -> History | None:
    """Read the replies to `LOOK`. None if the server does not tell: it is loading, the key is no stream, or it is of another kind.

    `unnamed`: a name for a server that does not say who it is.
    """
    try:
        return _read(info, stream, unnamed)
    except (AttributeError, KeyError, TypeError, ValueError):  # a proxy or a service that only resembles Valkey
        return None


def _read(info: Any, stream: Any, unnamed: str) -> History | None:
    server = unnamed if isinstance(info, hiredis.ReplyError) else _server(info.decode())
    if isinstance(stream, hiredis.ReplyError):
        return History(server) if "no such key" in str(stream) else None
    fields = dict(zip(stream[::2], stream[1::2], strict=True))
    first = fields[b"first-entry"]
    return History(
        server,
        int(fields[b"entries-added"]),
        int(fields[b"length"]),
        stream_id(first[0].decode()) if first else None,
        stream_id(fields[b"last-generated-id"].decode()),
    )


def _server(info: str) -> str:
    fields = dict(line.partition(":")[::2] for line in info.splitlines())
    return " ".join(fields.get(name, "") for name in _SERVER).strip()
