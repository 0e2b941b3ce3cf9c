"""Backpressure: refuses events (503) while the inbox is too full to keep them safe.

Valkey is checked once a second, off the acknowledgement path, and sooner while its memory fills: the memory that new events may
take (`schemas.valkey_memory`) and `INBOX_MAX_BACKLOG`. One line is logged when events are refused and one when they are accepted
again; the same for an outage of Valkey, and while it refuses appends: it says what is waited for.
"""

import logging
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ingress.durability import warn_if_not_durable
from ingress.inbox import Inbox
from ingress.unavailability import PROBE, Refusal, refusal_of_probe
from schemas.keys import COUNTERS, GROUP, INBOX, Counter
from schemas.refusals import Cause, explain
from schemas.stream_groups import group_state
from schemas.valkey_memory import room_bytes

PERIOD_SECONDS = 1.0

log = logging.getLogger("curbside.ingress")


class Check(NamedTuple):
    """What a check of Valkey found.

    `refusal`: why events are to be refused; None if they are accepted. `blocked`: why Valkey itself would refuse an append.
    `room_bytes`: how much may be appended.
    """

    refusal: Refusal | None
    blocked: Refusal | None = None
    room_bytes: float = float("inf")


async def monitor(valkey: Redis, inbox: Inbox, max_backlog: int) -> None:
    """Keep `inbox.refusal` and `inbox.room` up to date until cancelled."""
    is_away, said = False, Check(None)
    while True:
        inbox.tend()
        try:
            check = await check_inbox(valkey, max_backlog)
        except (RedisError, OSError) as error:
            if not is_away:
                log.warning("Valkey is unreachable (%s): no event is accepted until it is back", type(error).__name__)
            is_away, check = True, Check(None)  # each append reports the outage itself
        else:
            if is_away:
                log.warning("Valkey is back")
                await warn_if_not_durable(valkey)  # it may be another server, or it was unreachable at our start
            is_away = False
            _log_changes(said, check)
            if (
                check.blocked is not None and check.blocked.cause is Cause.READ_ONLY
            ):  # the address may lead to the primary by now
                await valkey.connection_pool.disconnect(inuse_connections=False)
        said, inbox.refusal = check, check.refusal
        inbox.room.set(check.room_bytes)
        await inbox.room.wait(PERIOD_SECONDS)


def _log_changes(before: Check, now: Check) -> None:
    """One line for each new cause: the numbers in a detail change all the time."""
    if _cause(before.refusal) != _cause(now.refusal):
        log.warning("inbox: %s", now.refusal.detail if now.refusal else "accepting again")
    if _cause(before.blocked) != _cause(now.blocked) and now.refusal is None:
        if now.blocked is None:
            log.warning("Valkey takes appends again")
        else:
            log.warning("%s: no event is accepted until it stops; %s", now.blocked.detail, explain(now.blocked.cause)[1])


def _cause(refusal: Refusal | None) -> Cause | None:
    return None if refusal is None else refusal.cause


async def check_inbox(valkey: Redis, max_backlog: int) -> Check:
    """Look at Valkey, in one round trip. Raises `RedisError` or `OSError` if it cannot be reached."""
    pipeline = valkey.pipeline(transaction=False)
    pipeline.execute_command(*PROBE)
    pipeline.execute_command("XINFO STREAM", INBOX, NEVER_DECODE=True)  # it quotes bodies, which may be no UTF-8
    pipeline.xinfo_groups(INBOX)
    pipeline.hmget(COUNTERS, [Counter.DUPLICATE, Counter.ROUTED, Counter.UNDECODABLE])
    pipeline.info("memory")
    probe, *stream, memory = await pipeline.execute(raise_on_error=False)
    blocked, backlog = refusal_of_probe(probe), _backlog(*stream)
    if backlog > max_backlog:
        detail = f"{backlog} events wait in the inbox (INBOX_MAX_BACKLOG is {max_backlog})"
        return Check(Refusal(detail, Cause.BACKLOG), blocked)
    if isinstance(memory, Exception):  # a managed server that does not answer INFO
        return Check(None, blocked)
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    if not limit:
        return Check(None, blocked)
    room = room_bytes(used - int(memory.get("mem_not_counted_for_evict", 0)), limit, backlog)
    if room > 0:
        return Check(None, blocked, room)
    return Check(Refusal(f"Valkey uses {used} of {limit} bytes, and the rest is for what waits", Cause.MEMORY), blocked)


def _backlog(stream: object, groups: object, settled: object) -> int:
    """Entries not yet dispatched: delivered but unacknowledged, and not yet delivered."""
    if not isinstance(stream, dict) or not isinstance(groups, list) or not isinstance(settled, list):  # no stream yet
        return 0
    state = group_state(stream, groups, GROUP)
    return state.pending + state.unread(sum(int(count or 0) for count in settled))
