"""What the ledger must hold of an order, by the written rules, from what the providers told of it and were acknowledged.

Rules: what is newest by the provider's time stands; each fact is one line of history; a refund is the line's first; the substitute
listed last stands and the others are superseded; lateness is measured against what was promised when it was said; a missing customer is
one alert, closed when the order ends, or none where the report came in after the end of the order.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from deploy.simulator.provider_events import ENDS, PROMISES, Fact

Values = dict[str, Any]


class Heard(NamedTuple):
    """A fact that was acknowledged, and between which inbox ids it came in; None where a post of it was never answered."""

    fact: Fact
    first: tuple[int, int] | None
    last: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Expected:
    """The rows of one order. Each kind of rows is a set under keys; `missing_customer` lists all outcomes that are right."""

    state: Values
    history: Counter[tuple[Any, ...]]
    replacements: dict[Any, Values]
    refunds: dict[Any, Values]
    late: Values | None
    missing_customer: list[list[Values]]


def expect(heard: Iterable[Heard]) -> Expected:
    """The rows of the order that these facts are about. Pure."""
    told = sorted(heard, key=lambda each: each.fact.at)
    facts = [each.fact for each in told]
    return Expected(
        state=_state(facts),
        history=Counter((fact.name, fact.at, fact.status, fact.expected_at, fact.provider_event_id) for fact in facts),
        replacements=_replacements([fact for fact in facts if fact.kind == "order_item_replacement"]),
        refunds=_refunds([fact for fact in facts if fact.kind == "order_item_refund"]),
        late=_late(facts),
        missing_customer=_missing_customer(told),
    )


def _state(facts: Sequence[Fact]) -> Values:
    """How things stand: of each thing, what was stated last."""
    state: Values = dict.fromkeys(("status", "status_at", "fulfillment_type", "number", "expected_at", "promised_at"))
    for fact in facts:
        stated = {"status": fact.status, "status_at": fact.status and fact.at, "expected_at": fact.expected_at}
        stated |= {"fulfillment_type": fact.fulfillment_type, "number": fact.number}
        stated |= {"promised_at": fact.expected_at if fact.kind in PROMISES else None}
        state |= {name: value for name, value in stated.items() if value is not None}
    return state | {"first_event_at": facts[0].at, "last_event_at": facts[-1].at}


def _replacements(facts: Sequence[Fact]) -> dict[Any, Values]:
    found: dict[Any, Values] = {}
    standing: dict[str, str] = {}
    for fact in facts:
        for line in fact.lines:
            if (new := line.substitute) is not None:
                said = {"product": line.product, "quantity": str(line.quantity), "substitute_quantity": str(new.quantity)}
                found.setdefault((line.line, new.product), said | {"occurred_at": fact.at})
                standing[line.line] = new.product
    for (line_key, product), row in found.items():
        row["superseded_by"] = standing[line_key] if standing[line_key] != product else None
    return found


def _refunds(facts: Sequence[Fact]) -> dict[Any, Values]:
    found: dict[Any, Values] = {}
    for fact in facts:
        for line in fact.lines:
            if line.refunded:
                said = {"product": line.product, "quantity": str(line.quantity), "unit": line.unit, "occurred_at": fact.at}
                found.setdefault(line.line, said)
    return found


def _late(facts: Sequence[Fact]) -> Values | None:
    """The newest lateness, against the promise that it names, or that stood."""
    promised_at, late = None, None
    for fact in facts:
        if fact.kind in PROMISES and fact.expected_at:
            promised_at = fact.expected_at
        if fact.kind == "late_delivery":
            promise = fact.told_promise or promised_at
            minutes = (fact.expected_at - promise) // timedelta(minutes=1) if promise and fact.expected_at else None
            late = {"occurred_at": fact.at, "promised_at": promise, "expected_at": fact.expected_at, "minutes_late": minutes}
    return late


def _missing_customer(told: Sequence[Heard]) -> list[list[Values]]:
    """No alert, an open one, or one that the end of the order closed.

    A report that came in after the end opens nothing if it is also handled after it, which is for the lanes: they do not wait for each
    other. Then the end closes it all the same.
    """
    reports = [each for each in told if each.fact.kind == "customer_mia"]
    ends = [each for each in told if each.fact.kind in ENDS]
    if not reports:
        return [[]]
    if not ends:
        return [[{"first_reported_at": reports[0].fact.at, "last_reported_at": reports[-1].fact.at, "closed_at": None}]]
    closed = [{"closed_at": ends[0].fact.at}]
    return [closed] if any(_surely_came_before(report, ends[0]) for report in reports) else [closed, []]


def _surely_came_before(one: Heard, other: Heard) -> bool:
    return one.last is not None and other.first is not None and one.last < other.first
