"""Since when a queue's work cannot reach what it needs."""

from datetime import UTC, datetime
from typing import Any

from redis import Redis

from schemas import keys


def read_outages(client: Redis) -> dict[str, datetime]:
    """The beginning of each outage that `Status.unreachable` names, by queue."""
    found: Any = client.hgetall(keys.UNREACHABLE_SINCE)
    return {name.decode(): datetime.fromtimestamp(int(since) / 1000, UTC) for name, since in found.items()}
