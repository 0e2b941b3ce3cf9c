"""What waits in a stream: whether there is something to do, and exactly how many entries nobody has read.

`schemas.stream_groups` says why the server's own `lag` is not enough.
"""

from typing import Any

import redis
from redis import Redis

from schemas import keys
from schemas.stream_groups import GroupState, StreamId, group_state
from workers.valkey import scripts
from workers.valkey.connection import UNAVAILABLE


def has_work(info: Any, groups: Any, stale: Any) -> bool:
    """Whether a stream has unread entries, or abandoned ones.

    The arguments are the replies of XINFO STREAM, XINFO GROUPS and XPENDING … IDLE; an error reply may be among them.
    """
    for reply in (info, groups):
        if isinstance(reply, redis.ResponseError) and not isinstance(reply, UNAVAILABLE):  # no stream yet
            return False
        if isinstance(reply, Exception):
            raise reply
    return group_state(info, groups, keys.GROUP).unread() > 0 or (isinstance(stale, list) and bool(stale))


def count_unread(client: Redis, stream: str, state: GroupState, settled: int) -> int:
    """How many entries were unread at the moment of `state`, exactly.

    They are counted one by one where the server's `lag` and the counters differ. Entries that are appended meanwhile do not count.
    """
    if state.is_exact(settled):
        return state.unread(settled)
    script, total, start = scripts.load(client, "count_entries"), 0, f"({_text(state.delivered)}"
    while start:
        reply: Any = script([stream], [start, _text(state.last)])
        total, start = total + int(reply[0]), reply[1].decode()
    return total


def _text(stream_id: StreamId) -> str:
    return f"{stream_id[0]}-{stream_id[1]}"
