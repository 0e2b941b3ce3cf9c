"""Compares the ledger with what the acknowledged events ask for: the simulator's comparison, wave by wave, in bounded memory."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from deploy.simulator.applied import AcknowledgedEvent, EventId, as_text, find_applied
from deploy.simulator.comparison import compare
from deploy.simulator.differences import ABSENT, Difference
from deploy.simulator.ledger_reader import NO_ROWS, Rows, Run, read_run
from deploy.simulator.plan import Plan, PostType
from deploy.simulator.received import Received, read_responses
from deploy.simulator.rules import Rules
from schemas.failures import Failure
from tests.chaos.findings import Finding, Wrong
from tests.chaos.watch import described
from tests.chaos.waves import Wave, results_of
from workers.ledger.ledger import Ledger

_WAVES_AT_ONCE = 6
Failures = Mapping[EventId, Sequence[Failure]]
BodyOf = Callable[[str], bytes | None]


@dataclass
class Checked:
    """What was compared. `rows`: how many rows of each table the orders of the load have; `events`: acknowledged, each once.

    `stored_again`: events that an ingress stored twice, as it may after a connection was lost: their identity is one.
    `planted`: digests of bodies that may have a failure under an event id that no answer told of. `unclear`: orders of which it is
    not known what was stored.
    """

    acknowledged: int = 0
    events: int = 0
    orders: int = 0
    unclear: int = 0
    stored_again: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    explained: set[str] = field(default_factory=set)
    planted: set[bytes] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)


def check_waves(
    folder: Path, waves: Iterable[Wave], ledger: Ledger, failures: Failures, rules: Rules, body_of: BodyOf
) -> Checked:
    """Compare all waves. Raises `DependencyUnavailableError`. `body_of`: the body of an inbox entry."""
    checked = Checked()
    left = list(waves)
    while left:
        some, left = left[:_WAVES_AT_ONCE], left[_WAVES_AT_ONCE:]
        plans = {wave.number: wave.plan() for wave in some}
        ids = {number: _order_ids(plan) for number, plan in plans.items()}
        found = read_run(ledger, Run(sorted({each for own in ids.values() for each in own}), ()))
        for wave in some:
            own = {order_id: found[order_id] for order_id in ids[wave.number] if order_id in found}
            plan = plans[wave.number]
            received = read_responses(plan.events, results_of(folder, wave, plan))
            checked.stored_again += _learn_ids(received, own, body_of)
            _check_wave(checked, plan, received, own, failures, rules)
    return checked


def _learn_ids(received: Received, found: Mapping[str, Rows], body_of: BodyOf) -> int:
    """Add the ids under which an ingress stored an acknowledged body once more, before the id that it told. Returns how many."""
    learnt = 0
    for order_id, rows in found.items():
        acknowledged = received.acknowledged.get(order_id, [])
        known = {as_text(event_id) for each in acknowledged for event_id in each.ids}
        for row in rows["order_events"]:
            body = None if row["event_id"] in known else body_of(row["event_id"])
            for index, each in enumerate(acknowledged):
                if body is not None and each.has_all_ids and body in {each.event.body, each.event.reencoded}:
                    milliseconds, _, sequence = row["event_id"].partition("-")
                    acknowledged[index] = each._replace(ids=each.ids | {(int(milliseconds), int(sequence))})
                    learnt += 1
                    break
    return learnt


def _check_wave(
    checked: Checked, plan: Plan, received: Received, found: Mapping[str, Rows], failures: Failures, rules: Rules
) -> None:
    own = [failures[event_id] for event_id in (*received.good, *received.bad) if event_id in failures]
    comparison = compare(received, found, failures, rules)
    for difference in comparison.differences:
        finding = _finding(difference, received, found, rules)
        about = [described(each) for every in own for each in every if f"event {each.event_id}" == difference.what]
        checked.findings.append(finding._replace(text="; ".join((finding.text, *about))))
    checked.acknowledged += len(received.good) + len(received.bad)
    checked.events += len({id(each.event) for every in received.acknowledged.values() for each in every})
    checked.orders, checked.unclear = checked.orders + comparison.orders, checked.unclear + comparison.unclear
    for rows in found.values():
        checked.rows.update({table: len(its) for table, its in rows.items()})
    checked.explained.update(f"{each.handler}:{each.event_id}" for every in own for each in every)
    checked.planted.update(_digest(post.body) for post in plan.posts if post.post_type is PostType.BAD_BODY)
    checked.planted.update(_digest(event.body) for event in plan.events if event.fails_in)


def unexplained(checked: Checked, failures: Failures) -> Iterator[Failure]:
    """Yield the failures on record of events that the load did not plant and that no other check explains."""
    for every in failures.values():
        for each in every:
            is_known = f"{each.handler}:{each.event_id}" in checked.explained or _digest(each.body) in checked.planted
            if not is_known:
                yield each


def _order_ids(plan: Plan) -> set[str]:
    return {order_id for event in plan.events for order_id in event.order_ids} | set(plan.id_space)


def _digest(body: bytes) -> bytes:
    return sha256(body).digest()[:12]


def _finding(difference: Difference, received: Received, found: Mapping[str, Rows], rules: Rules) -> Finding:
    """What a difference is, and when the event that it is about was received."""
    wrong = Wrong.DIFFERS
    if difference.found == ABSENT:
        wrong = Wrong.LOST
    elif difference.expected == ABSENT:
        wrong = Wrong.DOUBLED
    elif " failed in " in f" {difference.found}":
        wrong = Wrong.BLAMED
    acknowledged = received.acknowledged.get(difference.order_id, [])
    lost = _lost(acknowledged, found.get(difference.order_id, NO_ROWS), rules)
    ids = [min(each.ids) for each in (lost or acknowledged)]
    at = min(ids)[0] / 1000 if ids else None
    named = f" (event {as_text(min(ids))})" if lost else ""
    text = f"{difference.order_id}: {difference.what}: expected {difference.expected}, found {difference.found}{named}"
    return Finding(wrong, text, at)


def _lost(acknowledged: Sequence[AcknowledgedEvent], rows: Rows, rules: Rules) -> list[AcknowledgedEvent]:
    """Return the events without a row of the history."""
    applied, _ = find_applied(acknowledged, rows["order_events"], rules.clock_tolerance)
    missing = {each.id for each in applied if each.row is None}
    return [each for each in acknowledged if missing & each.ids]
