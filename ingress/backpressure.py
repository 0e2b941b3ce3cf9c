"""Backpressure: refuses events (503) while the inbox is too full to keep them safe.

Valkey is checked once a second, off the acknowledgement path: its memory limit and `INBOX_MAX_BACKLOG`. One line is logged when
events are refused and one when they are accepted again; the same for an outage of Valkey.
"""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ingress.durability import warn_if_not_durable
from ingress.inbox import Inbox
from ingress.unavailability import Refusal
from schemas.keys import COUNTERS, GROUP, INBOX, Counter
from schemas.refusals import Cause
from schemas.stream_groups import group_state

PERIOD_SECONDS = 1.0
MEMORY_SHARE = 0.95

log = logging.getLogger("curbside.ingress")


async def monitor(valkey: Redis, inbox: Inbox, max_backlog: int) -> None:
    """Keep `inbox.refusal` up to date until cancelled."""
    is_away = False
    while True:
        inbox.tend()
        try:
            refusal = await check_inbox(valkey, max_backlog)
        except (RedisError, OSError) as error:
            if not is_away:
                log.warning("Valkey is unreachable (%s): no event is accepted until it is back", type(error).__name__)
            is_away, inbox.refusal = True, None  # each append reports the outage itself
        else:
            if is_away:
                log.warning("Valkey is back")
                await warn_if_not_durable(valkey)  # it may be another server, or it was unreachable at our start
            if refusal != inbox.refusal:
                log.warning("inbox: %s", refusal.detail if refusal else "accepting again")
            is_away, inbox.refusal = False, refusal
        await asyncio.sleep(PERIOD_SECONDS)


async def check_inbox(valkey: Redis, max_backlog: int) -> Refusal | None:
    """Why events are to be refused now; None if they are accepted."""
    backlog = await _backlog(valkey)
    if backlog > max_backlog:
        return Refusal(f"{backlog} events wait in the inbox (INBOX_MAX_BACKLOG is {max_backlog})", Cause.BACKLOG)
    try:
        memory = await valkey.info("memory")
    except ResponseError:  # a managed server that does not answer INFO
        return None
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    if limit and used > limit * MEMORY_SHARE:
        return Refusal(f"Valkey uses {used} of {limit} bytes", Cause.MEMORY)
    return None


async def _backlog(valkey: Redis) -> int:
    """Entries not yet dispatched: delivered but unacknowledged, and not yet delivered."""
    pipeline = valkey.pipeline(transaction=False)
    pipeline.execute_command("XINFO STREAM", INBOX, NEVER_DECODE=True)  # it quotes bodies, which may be no UTF-8
    pipeline.xinfo_groups(INBOX)
    pipeline.hmget(COUNTERS, [Counter.DUPLICATE, Counter.ROUTED, Counter.UNDECODABLE])
    try:
        info, groups, settled = await pipeline.execute()
    except ResponseError:  # no stream yet
        return 0
    state = group_state(info, groups, GROUP)
    return state.pending + state.unread(sum(int(count or 0) for count in settled))
