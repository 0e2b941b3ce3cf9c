"""The lifecycle of one Instacart order, independent of the dialect: delivery, pickup and last mile, with what can go wrong.

Times are whole seconds and grow with each step. Faults are more frequent than in a real shop, so that a hundred orders show
all of them. The caller chooses only how often a status is reverted.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from deploy.simulator.catalog import substitute_for
from deploy.simulator.provider_events import Line, Window

TYPES = ("delivery", "delivery", "pickup", "last_mile")
_STATUS = {
    "order_created": "brand_new",
    **{name: name for name in ("acknowledged", "picking", "staging", "delivering", "delivered", "canceled", "rescheduled")},
}
_BY_TYPE = {"delivery": "at_store", "pickup": "customer_acknowledged", "last_mile": "bags_verified"}
_CANCELED, _RESCHEDULED, _REPLACED, _AGAIN, _REFUNDED, _LATE, _MISSING, _GENERIC = 0.06, 0.08, 0.4, 0.4, 0.3, 0.15, 0.08, 0.4
_STILL_OPEN = 0.25
"""The share of late orders whose delivery is not in the plan: only of these can be told that somebody must be alerted."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event of an order, and the order's state after it."""

    kind: str
    at: datetime
    status: str
    promised: Window
    expected: Window
    lines: tuple[Line, ...]


class OrderLifecycle:
    """Generates the steps of one order; `steps` are those generated so far."""

    def __init__(
        self, rng: random.Random, start: datetime, lines: Sequence[Line], fulfillment_type: str, reverts: float
    ) -> None:
        self._rng, self._at, self._type, self._reverts = rng, start, fulfillment_type, reverts
        self._lines, self._status = list(lines), "brand_new"
        due = start + timedelta(minutes=rng.randrange(60, 180, 15))
        self._promised = self._expected = Window(due, due + timedelta(hours=1))
        self.steps: list[Step] = []

    def generate(self) -> list[Step]:
        """Generate all steps."""
        self._step("order_created")
        if self._happens(_RESCHEDULED):
            self._promised = self._expected = self._promised.later(self._rng.randrange(30, 150, 15))
            self._step("rescheduled")
        self._step("acknowledged")
        if not self._happens(_CANCELED):
            self._pick()
            self._hand_over()
        else:
            self._step("canceled")
        return self.steps

    def _pick(self) -> None:
        self._step("picking")
        self._replace()
        if self._happens(_REFUNDED):
            for _ in range(self._rng.randint(1, 2)):
                self._change_a_line(lambda line: replace(line, refunded=True), "order_item_refund")
        if self._happens(_GENERIC):
            self._step("checkout")
        self._step("staging", after="picking")

    def _replace(self) -> None:
        """Replace a product; sometimes also a second one, or with a better substitute, or back to the first substitute."""
        if not self._happens(_REPLACED):
            return
        changed = self._change_a_line(self._with_another, "order_item_replacement")
        before = self._lines[changed]
        while self._happens(_AGAIN):
            self._change_a_line(self._with_another, "order_item_replacement", changed if self._happens(0.6) else None)
        if self._lines[changed] != before and self._happens(_AGAIN):
            self._change_a_line(lambda line: replace(line, substitute=before.substitute), "order_item_replacement", changed)

    def _with_another(self, line: Line) -> Line:
        return replace(line, substitute=substitute_for(line, self._rng))

    def _hand_over(self) -> None:
        if self._happens(_GENERIC):
            self._step(_BY_TYPE[self._type])
        before = "staging"
        if self._type != "pickup":
            self._step("delivering", after=before)
            before = "delivering"
        for _ in range(2):
            if self._happens(_LATE):
                self._expected = self._promised.later(self._rng.randrange(5, 90))
                self._step("late_delivery")
        if self._happens(_MISSING):
            self._miss_the_customer()
            return
        if self.steps[-1].kind == "late_delivery" and self._happens(_STILL_OPEN):
            return
        self._step("delivered", after=before)
        if self._happens(_GENERIC):
            self._step(self._rng.choice(("tip_adjustment", "rating_reminder", "rating_updated")))

    def _miss_the_customer(self) -> None:
        """Report a missing customer once or twice. Then the order is delivered, canceled, or still open when the plan ends."""
        for _ in range(self._rng.randint(1, 2)):
            self._step("customer_mia")
        match self._rng.choices(("delivered", "canceled", None), (5, 2, 3))[0]:
            case str(end):
                self._step(end)
            case None:
                pass

    def _step(self, kind: str, after: str | None = None) -> None:
        """Add a step. With `after`, its status may be reverted to `after` and set again."""
        self._append(kind)
        if after is not None and self._happens(self._reverts):
            self._append(after)
            self._append(kind)

    def _append(self, kind: str) -> None:
        self._status = _STATUS.get(kind, self._status)
        self.steps.append(Step(kind, self._at, self._status, self._promised, self._expected, tuple(self._lines)))
        self._at += timedelta(seconds=self._rng.randint(20, 600))

    def _change_a_line(self, change: Callable[[Line], Line], kind: str, index: int | None = None) -> int:
        index = self._rng.randrange(len(self._lines)) if index is None else index
        self._lines[index] = change(self._lines[index])
        self._step(kind)
        return index

    def _happens(self, share: float) -> bool:
        return self._rng.random() < share
