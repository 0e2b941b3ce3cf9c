"""Reads which requests the ingress has refused, for `curbside status` and `/metrics`."""

from datetime import datetime
from typing import Any

import msgspec
from redis import Redis

from schemas import keys
from schemas.refusals import RECENT_MINUTES, Refused


class RefusedStatus(msgspec.Struct, frozen=True):
    """The requests refused for one cause. `recent`: in about the last ten minutes. `last_age_seconds`: since the last one."""

    provider: str
    status: int
    cause: str
    count: int
    recent: int
    last_age_seconds: float


def read_refused(client: Redis, now: datetime) -> list[RefusedStatus]:
    """All refusals, the newest first. Raises the client's errors if Valkey is unavailable."""
    this_minute = int(now.timestamp()) // 60
    pipeline = client.pipeline(transaction=False)  # Redis 7.0 refuses every transaction while it is full
    pipeline.hgetall(keys.REFUSED)
    pipeline.hgetall(keys.REFUSED_LAST)
    for minute in range(this_minute - RECENT_MINUTES, this_minute + 2):  # the ingress' clock may be a little ahead
        pipeline.hgetall(keys.refused_in(minute))
    counts, lasts, *minutes = pipeline.execute()
    found = [
        RefusedStatus(
            *Refused.read(field.decode()),
            count=int(count),
            recent=sum(int(each.get(field, 0)) for each in minutes),
            last_age_seconds=_age(lasts.get(field), now),
        )
        for field, count in counts.items()
    ]
    return sorted(found, key=lambda each: each.last_age_seconds)


def _age(last_ms: Any, now: datetime) -> float:
    return max(0.0, round(now.timestamp() - int(last_ms or 0) / 1000, 3))
