"""How much of Valkey's memory new events may take.

Working off what waits needs memory too: identities, claim checks, failures, and replies with whole batches of bodies. So a part of
`maxmemory` is kept from new events.
"""

RESERVED_SHARE = 0.05
RESERVED_BYTES = 16 << 20
"""Or so much, whichever is more, for batches of large bodies; of a small Valkey it is a quarter."""
BYTES_PER_WAITING_EVENT = 256
"""What an event takes until it is handled, besides its entry in the inbox."""


def reserved_bytes(limit_bytes: int, waiting: int) -> int:
    """The part of `maxmemory` that new events may not take. `waiting`: events that are not dispatched yet."""
    least = max(int(limit_bytes * RESERVED_SHARE), min(RESERVED_BYTES, limit_bytes // 4))
    return min(max(least, waiting * BYTES_PER_WAITING_EVENT), limit_bytes // 2)


def room_bytes(used_bytes: int, limit_bytes: int, waiting: int) -> int:
    """How much new events may take now; below zero if they have taken too much."""
    return limit_bytes - reserved_bytes(limit_bytes, waiting) - used_bytes
