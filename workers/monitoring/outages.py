"""The outages that workers have noted: what each queue cannot reach, and since when."""

from datetime import UTC, datetime
from typing import Any

from redis import Redis

from schemas import keys
from workers.valkey.outage_notes import is_stale


def read_outages(client: Redis) -> dict[str, datetime]:
    """The beginning of each outage that `Status.unreachable` names, by queue."""
    found: Any = client.hgetall(keys.UNREACHABLE_SINCE)
    return {name.decode(): datetime.fromtimestamp(int(since) / 1000, UTC) for name, since in found.items()}


def read_stale(client: Redis, now: datetime) -> set[str]:
    """The queues whose outage is no longer noted: it is over, or the worker that noted it has ended.

    Workers of release 0.1 do not say when they noted one.
    """
    found: Any = client.hgetall(keys.UNREACHABLE_NOTED)
    return {name.decode() for name, noted in found.items() if is_stale(int(noted), int(now.timestamp() * 1000))}
