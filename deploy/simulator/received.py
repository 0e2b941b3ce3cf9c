"""What a deployment said that it accepted, read off the answers. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.simulator.client import Fate
from deploy.simulator.expected import Heard
from deploy.simulator.plan import Nature
from deploy.simulator.provider_events import Fact


@dataclass(frozen=True, slots=True)
class Received:
    """What the deployment said that it accepted: facts by order, ids of bad bodies and of good ones, orders of forged posts with the answers."""

    heard: dict[str, list[Heard]]
    unclear: set[str]
    good: dict[tuple[int, int], str]
    bad: dict[tuple[int, int], str]
    forged: dict[str, int | None]


def received_of(facts: Sequence[Fact], fates: Sequence[Fate]) -> Received:
    """Sort out the answers."""
    by_fact: dict[int, list[Fate]] = defaultdict(list)
    received = Received(defaultdict(list), set(), {}, {}, {})
    for fate in fates:
        ids = [answer.event_id for answer in fate.answers if answer.event_id]
        its_kind = received.bad if fate.post.nature is Nature.BAD_BODY else received.good
        its_kind.update(dict.fromkeys(ids, fate.post.order_ids[0]))
        if fate.post.nature is Nature.FORGED:
            received.forged.update(dict.fromkeys(fate.post.order_ids, fate.answers[-1].status))
        if fate.post.fact is not None:
            by_fact[fate.post.fact].append(fate)
    for place, its_fates in by_fact.items():
        _hear(received, facts[place], its_fates)
    return received


def _hear(received: Received, fact: Fact, fates: Sequence[Fate]) -> None:
    ids = [answer.event_id for fate in fates for answer in fate.answers if answer.event_id]
    is_unclear = any(answer.is_unclear for fate in fates for answer in fate.answers)
    if not ids and is_unclear:
        received.unclear.update(fact.order_ids)
    elif ids:
        bounds = (None, None) if is_unclear else (min(ids), max(ids))
        for order_id in fact.order_ids:
            received.heard[order_id].append(Heard(fact, *bounds))
