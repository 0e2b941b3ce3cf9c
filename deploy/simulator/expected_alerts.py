"""The alerts that an order's events ask for: those that must be in the outbox, and those that may be. Pure.

Queues do not wait for each other. A late delivery that is handled after a newer one, or after the end of its order, calls nobody;
handled at once, it does. One whose promise is not known yet calls all the same. So some alerts may be there or not. Of the newest
late delivery of an order without a later end it is certain.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from deploy.simulator.applied import AppliedEvent
from deploy.simulator.expected import minutes_late, promise_at
from deploy.simulator.missing_customer import Outcome
from deploy.simulator.provider_events import ENDS

_LATE, MISSING = "late_delivery", "customer_mia"


class ExpectedAlert(NamedTuple):
    """An alert of an order, and the event under whose identity it is sent. `is_required`: whether it must be there."""

    topic: str
    order_id: str
    its: AppliedEvent
    is_required: bool

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return f"{self.topic}:{self.its.event.provider}:{self.order_id}:{self.its.identity}"

    @property
    def name(self) -> tuple[object, ...]:
        """What it is called in a difference."""
        return f"alert {self.topic}", self.its.occurred_at


def expect_alerts(
    order_id: str, events: Sequence[AppliedEvent], outcomes: Sequence[Outcome], alert_minutes: int
) -> Iterator[ExpectedAlert]:
    """Yield all alerts of an order. `outcomes`: what its MIA alerts can be, given what the ledger holds of them."""
    for each, is_required in chain(_late(events, alert_minutes), _missing(events, outcomes)):
        yield ExpectedAlert(each.event.kind, order_id, each, is_required)


def _late(events: Sequence[AppliedEvent], alert_minutes: int) -> Iterator[tuple[AppliedEvent, bool]]:
    late = [each for each in events if each.event.kind == _LATE]
    ends = [each.ordered_at for each in events if each.event.kind in ENDS]
    for each in late:
        minutes = minutes_late(each, promise_at(events, each))
        is_alarming = minutes is None or minutes >= alert_minutes
        is_over = any(end >= each.ordered_at for end in ends)
        is_measured_later = each.event.old_window is None or each.event.new_window is None
        if is_alarming or is_measured_later:
            yield each, is_alarming and each is late[-1] and not is_over


def _missing(events: Sequence[AppliedEvent], outcomes: Sequence[Outcome]) -> Iterator[tuple[AppliedEvent, bool]]:
    for each in events:
        told = [each.identity in outcome.told for outcome in outcomes]
        if each.event.kind == MISSING and any(told):
            yield each, all(told)
