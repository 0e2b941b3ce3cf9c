"""Looks for acknowledged events in the inbox, and appends again those that are not there.

An event gets the id that its provider was told, unless the inbox has later ones by now; then it gets a new id. A crash, or a lost
connection, leaves at the most that one is appended twice: the dispatcher drops the second as a duplicate.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import hiredis

from ingress.acknowledged import Acknowledged, Kept
from ingress.pipeline import Pipeline, PlainPipeline, packed, packed_part
from ingress.unavailability import code_of
from schemas.keys import COUNTERS, INBOX, Counter

MAX_EVENTS = 2_000
MAX_BYTES = 4 << 20
"""Of one step: new events wait for it."""
_NEW_ID = packed_part(b"*")


class Step(NamedTuple):
    """What one step found. `error` is the first reply that was an error: the events it concerns stay to be looked for."""

    checked: int
    again: int
    error: hiredis.ReplyError | None


async def look_for_some(pipeline: Pipeline | PlainPipeline, acknowledged: Acknowledged, now: float) -> Step:
    """Look for the first doubtful events, or append some that are known to be missing. Raises the pipeline's errors."""
    are_missing = bool(acknowledged.missing)
    events = _take(acknowledged.missing or acknowledged.doubtful)
    left = list(events)
    try:
        there, missing, unknown = ([], events, []) if are_missing else await _look_for(pipeline, events)
        again, refused = await _append(pipeline, missing)
        left = [event for event, _ in unknown + refused]
    finally:  # whatever happened to them: look for them again
        acknowledged.doubtful.extendleft(reversed(left))
    if safe := there + again:
        acknowledged.add(now, [each.command for each in safe], [each.event_id for each in safe])
    errors = [error for _, error in unknown + refused]
    return Step(len(events) - len(left), len(again), errors[0] if errors else None)


def _take(events: Any) -> list[Kept]:
    taken: list[Kept] = []
    n_bytes = 0
    while events and len(taken) < MAX_EVENTS and n_bytes < MAX_BYTES:
        taken.append(events.popleft())
        n_bytes += len(taken[-1].command)
    return taken


_Refused = list[tuple[Kept, hiredis.ReplyError]]


async def _look_for(pipeline: Pipeline | PlainPipeline, events: Sequence[Kept]) -> tuple[list[Kept], list[Kept], _Refused]:
    """Those that are there, those that are not, and those of which the server does not tell."""
    replies: list[Any] = []
    inbox = INBOX.encode()
    await pipeline.exchange([packed(b"XRANGE", inbox, each.event_id, each.event_id) for each in events], replies)
    there, missing, unknown = list[Kept](), list[Kept](), _Refused()
    for event, reply in zip(events, replies, strict=True):
        if isinstance(reply, hiredis.ReplyError):
            unknown.append((event, reply))
        else:
            (there if reply else missing).append(event)
    return there, missing, unknown


async def _append(pipeline: Pipeline | PlainPipeline, events: Sequence[Kept]) -> tuple[list[Kept], _Refused]:
    """Append and count. The events with the ids that they have now, and those that were refused."""
    if not events:
        return [], []
    done, late = await _exchange(
        pipeline, [(each, each.command.replace(_NEW_ID, packed_part(each.event_id), 1)) for each in events]
    )
    late_ones = [event for event, error in late if code_of(error) == "ERR"]  # the inbox has later ids
    refused = [(event, error) for event, error in late if code_of(error) != "ERR"]
    if late_ones:
        more, more_refused = await _exchange(pipeline, [(each, each.command) for each in late_ones])
        done, refused = done + more, refused + more_refused
    if done:
        count = packed(b"HINCRBY", COUNTERS.encode(), Counter.REAPPENDED.encode(), b"%d" % len(done))
        await pipeline.exchange([count], [])
    return done, refused


async def _exchange(pipeline: Pipeline | PlainPipeline, commands: Sequence[tuple[Kept, bytes]]) -> tuple[list[Kept], _Refused]:
    replies: list[Any] = []
    await pipeline.exchange([command for _, command in commands], replies)
    done, refused = list[Kept](), _Refused()
    for (event, _), reply in zip(commands, replies, strict=True):
        if isinstance(reply, hiredis.ReplyError):
            refused.append((event, reply))
        else:
            done.append(Kept(reply, event.command))
    return done, refused
