"""Back-pressure: refuses events with 503 while Valkey is near its memory limit or the backlog exceeds `INBOX_MAX_BACKLOG`.

The check runs once a second, off the acknowledgement path. The start and the end of a refusal are logged, and so are those of
an outage of Valkey.
"""

import asyncio
import logging
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ingress.durability import warn_if_not_durable
from ingress.inbox import Inbox, Refusal
from schemas.keys import GROUP, INBOX
from schemas.refusals import Cause

PERIOD_SECONDS = 1.0
MEMORY_SHARE = 0.95

log = logging.getLogger("curbside.ingress")


async def monitor(valkey: Redis, inbox: Inbox, max_backlog: int) -> None:
    """Keep `inbox.refusal` up to date until cancelled."""
    is_unavailable = False
    while True:
        try:
            refusal = await check_inbox(valkey, max_backlog)
        except (RedisError, OSError) as error:
            if not is_unavailable:
                log.warning("Valkey is unreachable (%s): no event is accepted until it is back", type(error).__name__)
            is_unavailable, inbox.refusal = True, None  # each append detects the outage itself and raises
        else:
            if is_unavailable:
                log.warning("Valkey is back")
                await warn_if_not_durable(valkey)  # it may be another server, or was unavailable when we started
            if refusal != inbox.refusal:
                log.warning("inbox: %s", refusal.detail if refusal else "accepting again")
            is_unavailable, inbox.refusal = False, refusal
        await asyncio.sleep(PERIOD_SECONDS)


async def check_inbox(valkey: Redis, max_backlog: int) -> Refusal | None:
    """Why the inbox must refuse events now; None if it can accept them."""
    backlog = await _backlog(valkey)
    if backlog > max_backlog:
        return Refusal(f"{backlog} events wait in the inbox (INBOX_MAX_BACKLOG is {max_backlog})", Cause.BACKLOG)
    try:
        memory = await valkey.info("memory")
    except ResponseError:  # a managed server that does not allow INFO
        return None
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    if limit and used > limit * MEMORY_SHARE:
        return Refusal(f"Valkey uses {used} of {limit} bytes", Cause.MEMORY)
    return None


async def _backlog(valkey: Redis) -> int:
    """The number of entries not yet dispatched: pending ones, and those not yet delivered to the consumer group."""
    try:
        groups: list[dict[str, Any]] = await valkey.xinfo_groups(INBOX)
    except ResponseError:  # no stream yet
        return 0
    for group in groups:
        if group["name"] == GROUP:
            return int(group["pending"]) + int(group["lag"] or 0)
    return int(await valkey.xlen(INBOX))
