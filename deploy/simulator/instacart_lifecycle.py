"""The lifecycle of one Instacart order, independent of the dialect: delivery, pickup and last mile, with what can go wrong.

Times are whole seconds and grow with each step, except where an order is odd. Faults are more frequent than in a real shop, so that a hundred orders show
all of them. The caller chooses only how often a status is reverted.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from deploy.simulator.catalog import substitute_for
from deploy.simulator.oddities import Oddities, Oddity, listed, sent_time
from deploy.simulator.provider_events import Line, Window

ITEM_KINDS = ("order_item_replacement", "order_item_refund")
TYPES = ("delivery", "delivery", "pickup", "last_mile")
_STATUS = {
    "order_created": "brand_new",
    **{name: name for name in ("acknowledged", "picking", "staging", "delivering", "delivered", "canceled", "rescheduled")},
}
_BY_TYPE = {"delivery": "at_store", "pickup": "customer_acknowledged", "last_mile": "bags_verified"}
_CANCELED, _RESCHEDULED, _REPLACED, _AGAIN, _REFUNDED, _LATE, _MISSING, _GENERIC = 0.06, 0.08, 0.4, 0.4, 0.3, 0.15, 0.08, 0.4
_ENDED = ("delivered", "canceled")
_STILL_OPEN = 0.25
"""The share of late orders whose delivery is not in the plan: only of these can be told that somebody must be alerted."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event of an order, and the order's state after it. `sent_at`: the time that the body states, if it states one.

    `lines`: the item list of an item event. `has_all_codes`: whether it has every code of its lines.
    """

    kind: str
    at: datetime
    sent_at: datetime | None
    status: str
    promised: Window
    expected: Window
    lines: tuple[Line, ...]
    has_all_codes: bool


class OrderLifecycle:
    """Generates the steps of one order; `steps` are those generated so far."""

    def __init__(
        self,
        rng: random.Random,
        start: datetime,
        lines: Sequence[Line],
        fulfillment_type: str,
        reverts: float,
        oddities: Oddities = frozenset(),
    ) -> None:
        self._rng, self._at, self._type, self._reverts, self._odd = rng, start, fulfillment_type, reverts, oddities
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
        if Oddity.AFTER_END in self._odd and self.steps[-1].status in _ENDED:
            self._go_on()
        return self.steps

    def _go_on(self) -> None:
        """Go on after the end: the order is taken up again, the customer is missing after all, and perhaps it ends again."""
        if self._happens(0.5):
            self._step("delivering")
        if self._happens(0.7):
            self._step("customer_mia")
        if self._happens(0.5):
            self._step(self._rng.choice(_ENDED))

    def _pick(self) -> None:
        self._step("picking")
        self._replace()
        if self._happens(_REFUNDED):
            for _ in range(self._rng.randint(1, 2)):
                changed = self._change_a_line(lambda line: replace(line, refunded=True), "order_item_refund")
            if self._takes_back(changed):
                self._change_a_line(lambda line: replace(line, refunded=False), "order_item_refund", changed)
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
        if self._takes_back(changed):
            self._change_a_line(lambda line: replace(line, substitute=None), "order_item_replacement", changed)

    def _takes_back(self, changed: int) -> bool:
        """Whether a change of this line is taken back. Of two lines that look alike nobody could tell which."""
        alike = [(line.product, line.quantity) for line in self._lines]
        return Oddity.TAKEN_BACK in self._odd and alike.count(alike[changed]) == 1 and self._happens(0.7)

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
            self._reschedule_earlier()
            if self._happens(0.5 if Oddity.RESCHEDULES in self._odd else _LATE):
                self._expected = self._promised.later(self._rng.randrange(5, 90))
                self._step("late_delivery")
                self._reschedule_earlier()
        if self._happens(_MISSING):
            self._miss_the_customer()
            return
        if self.steps[-1].kind == "late_delivery" and self._happens(_STILL_OPEN):
            return
        self._step("delivered", after=before)
        if self._happens(_GENERIC):
            self._step(self._rng.choice(("tip_adjustment", "rating_reminder", "rating_updated")))

    def _reschedule_earlier(self) -> None:
        if Oddity.RESCHEDULES in self._odd and self._happens(0.5):
            self._promised = self._expected = self._promised.later(-self._rng.randrange(15, 60, 15))
            self._step("rescheduled")

    def _miss_the_customer(self) -> None:
        """Report a missing customer once or twice. Then the order is delivered, canceled, or still open when the plan ends."""
        for _ in range(self._rng.randint(1, 2)):
            self._step("customer_mia")
        match self._rng.choices(("delivered", "canceled", None), (5, 2, 3))[0]:
            case str(end):
                self._step(end)
            case None:
                pass

    def _step(self, kind: str, after: str | None = None, changed: int | None = None) -> None:
        """Add a step. With `after`, its status may be reverted to `after` and set again."""
        self._append(kind, changed)
        if after is not None and self._happens(self._reverts):
            self._append(after)
            self._append(kind)

    def _append(self, kind: str, changed: int | None = None) -> None:
        self._status = _STATUS.get(kind, self._status)
        while any((step.kind, step.at) == (kind, self._at) for step in self.steps):
            self._at += timedelta(seconds=1)
        is_first = all(step.kind != kind for step in self.steps)  # two bodies without a time could be the same event
        sent_at = sent_time(self._at, self._rng, self._odd) if is_first else self._at
        lines = listed(self._lines, changed, self._rng, self._odd) if kind in ITEM_KINDS else ()
        has_all_codes = Oddity.CODES not in self._odd or self._happens(0.5)
        self.steps.append(Step(kind, self._at, sent_at, self._status, self._promised, self._expected, lines, has_all_codes))
        if Oddity.SAME_TIME not in self._odd or self._happens(0.6):
            self._at += timedelta(seconds=self._rng.randint(20, 600))

    def _change_a_line(self, change: Callable[[Line], Line], kind: str, index: int | None = None) -> int:
        index = self._rng.randrange(len(self._lines)) if index is None else index
        self._lines[index] = change(self._lines[index])
        self._step(kind, changed=self._lines[index].number)
        return index

    def _happens(self, share: float) -> bool:
        return self._rng.random() < share
