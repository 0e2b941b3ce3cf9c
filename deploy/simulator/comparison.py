"""Compares the expected rows of each order with those of the ledger. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.simulator.alert_comparison import mia_differences, outbox_differences
from deploy.simulator.applied import AcknowledgedEvent, EventId, Row, as_text, find_applied
from deploy.simulator.differences import ABSENT, Difference, as_words, content_differences, row_differences
from deploy.simulator.expected import expect, history_key
from deploy.simulator.ledger_reader import NO_ROWS, Rows
from deploy.simulator.received import Received
from deploy.simulator.rules import Rules
from schemas.failures import Failure
from schemas.keys import DISPATCH


@dataclass(slots=True)
class Comparison:
    """All differences. `orders` counts the orders compared, `unclear` those of which it is not known what was received."""

    orders: int = 0
    unclear: int = 0
    differences: list[Difference] = field(default_factory=list)


def compare(
    received: Received, found: Mapping[str, Rows], failures: Mapping[EventId, Sequence[Failure]], rules: Rules
) -> Comparison:
    """Compare everything. `found`: the rows of all orders that belong to the run; `failures`: all on record."""
    comparison = Comparison(unclear=len(received.unclear))
    for order_id, acknowledged in received.acknowledged.items():
        if order_id not in received.unclear:
            comparison.orders += 1
            rows = found.get(order_id, NO_ROWS)
            comparison.differences.extend(_order_differences(order_id, acknowledged, rows, failures, rules))
    comparison.differences.extend(_of_untold(received, found))
    comparison.differences.extend(_of_forged(received, found))
    comparison.differences.extend(_of_failures(received, failures))
    return comparison


def _of_untold(received: Received, found: Mapping[str, Rows]) -> Iterator[Difference]:
    """Yield the rows of orders of which no post told."""
    for order_id in found.keys() - received.acknowledged.keys() - received.unclear - received.forged.keys():
        for table, rows in found[order_id].items():
            if rows:
                yield Difference(
                    order_id, table, "nothing: no event names the order", "a row" if len(rows) == 1 else f"{len(rows)} rows"
                )


def _of_forged(received: Received, found: Mapping[str, Rows]) -> Iterator[Difference]:
    for order_id, status in received.forged.items():
        if status is not None and status < 500 and status != 401:
            yield Difference(order_id, "bad signature", "answered 401", f"answered {status}")
        if order_id in found:
            yield Difference(order_id, "bad signature", "nothing in the ledger", "it was accepted")


def _of_failures(received: Received, failures: Mapping[EventId, Sequence[Failure]]) -> Iterator[Difference]:
    for event_id, order_id in received.bad.items():
        if [each.handler for each in failures.get(event_id, ())] != [DISPATCH]:
            yield Difference(order_id, f"bad body {as_text(event_id)}", "on record as undecodable", "not on record")
    for event_id, order_id in received.good.items():
        for failure in failures.get(event_id, ()):
            if failure.handler in received.in_part.get(event_id, ()):
                continue
            yield Difference(
                order_id, f"event {as_text(event_id)}", "applied", f"failed in {failure.handler}: {failure.reason.value}"
            )


def _order_differences(
    order_id: str,
    acknowledged: Sequence[AcknowledgedEvent],
    rows: Rows,
    failures: Mapping[EventId, Sequence[Failure]],
    rules: Rules,
) -> Iterator[Difference]:
    events, others = find_applied(acknowledged, rows["order_events"], rules.clock_tolerance)
    expected = expect(events)
    for what, its_expected, its_found in (
        ("order", expected.state, _only(rows["orders"])),
        ("history:", expected.history, {history_key(events, index): each.row for index, each in enumerate(events)}),
        ("late delivery", expected.late, _only(rows["late_deliveries"])),
    ):
        yield from row_differences(order_id, what, its_expected, its_found)
    names = ("product", "product_name")
    yield from content_differences(order_id, "refund", expected.refunds, rows["refunds"], names)
    yield from content_differences(order_id, "replacement", expected.replacements, rows["replacements"], (*names, "substitute"))
    for each in events:
        missing = each.event.fails_in - {failure.handler for failure in failures.get(each.id, ())}
        for handler in sorted(missing):
            yield Difference(order_id, f"event {as_text(each.id)}", f"failed in {handler}: a line cannot be read", "no failure")
    for row in others:
        yield Difference(order_id, f"history: {as_words((row['name'], row['occurred_at']))}", ABSENT, "a row")
    differences, outcomes = mia_differences(order_id, events, rows["customer_mia_alerts"])
    yield from differences
    yield from outbox_differences(order_id, events, outcomes, rows["outbox"], rules)


def _only(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the single row of an order, under an empty key."""
    return dict.fromkeys(("",), rows[0]) if rows else {}
