"""What a deployment acknowledged, read from its responses. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.simulator.applied import AcknowledgedEvent, EventId
from deploy.simulator.client import PostResult
from deploy.simulator.ledger_reader import Run
from deploy.simulator.plan import Plan, PostType
from deploy.simulator.provider_events import ProviderEvent


@dataclass(frozen=True, slots=True)
class Received:
    """Acknowledged events by order id; orders with unclear posts; order ids by event id; forged orders with their status.

    `in_part`: the handlers that an acknowledged post fails in, if it is the one that was applied; by event id.
    """

    acknowledged: dict[str, list[AcknowledgedEvent]]
    unclear: set[str]
    good: dict[EventId, str]
    bad: dict[EventId, str]
    forged: dict[str, int | None]
    in_part: dict[EventId, frozenset[str]]


def read_responses(events: Sequence[ProviderEvent], results: Sequence[PostResult]) -> Received:
    """Collect what the responses state."""
    by_event: dict[int, list[PostResult]] = defaultdict(list)
    received = Received(defaultdict(list), set(), {}, {}, {}, {})
    for result in results:
        post = result.post
        ids = [attempt.event_id for attempt in result.attempts if attempt.event_id]
        target = received.bad if post.post_type is PostType.BAD_BODY else received.good
        target.update(dict.fromkeys(ids, post.order_ids[0]))
        if post.post_type is PostType.FORGED:
            received.forged.update(dict.fromkeys(post.order_ids, result.attempts[-1].status))
        if post.event_index is not None:
            by_event[post.event_index].append(result)
            received.in_part.update(dict.fromkeys(ids, events[post.event_index].fails_in))
    for index, its_results in by_event.items():
        _add_event(received, events[index], its_results)
    return received


def run_of(plan: Plan, received: Received) -> Run:
    """Return the orders and the events of a run: also the orders of which nothing was accepted."""
    planned = {order_id for event in plan.events for order_id in event.order_ids}
    return Run(sorted({*plan.id_space, *planned, *received.forged}), received.good.keys() | received.bad.keys())


def _add_event(received: Received, event: ProviderEvent, results: Sequence[PostResult]) -> None:
    ids = frozenset(attempt.event_id for result in results for attempt in result.attempts if attempt.event_id)
    is_unclear = any(attempt.is_unclear for result in results for attempt in result.attempts)
    if not ids and is_unclear:
        received.unclear.update(event.order_ids)
    elif ids:
        for order_id in event.order_ids:
            received.acknowledged[order_id].append(AcknowledgedEvent(event, ids, not is_unclear))
