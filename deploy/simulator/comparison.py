"""Compares the expected rows of each order with those of the ledger, and describes each difference in one line. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from deploy.simulator.expected import Expected, Values, expect
from deploy.simulator.ledger_reader import NO_ROWS, Row, Rows
from deploy.simulator.received import Received
from schemas.failures import Failure
from schemas.keys import DISPATCH

_ABSENT = "-"


class Difference(NamedTuple):
    """One difference between the expected and the found rows."""

    order_id: str
    what: str
    expected: str
    found: str


@dataclass(slots=True)
class Comparison:
    """All differences. `orders` counts the orders compared, `unclear` those of which it is not known what was received."""

    orders: int = 0
    unclear: int = 0
    differences: list[Difference] = field(default_factory=list)


def compare(received: Received, found: Mapping[str, Rows], failures: Mapping[tuple[int, int], Sequence[Failure]]) -> Comparison:
    """Compare everything. `found`: the ledger's rows of acknowledged and forged orders; `failures`: all on record."""
    comparison = Comparison(unclear=len(received.unclear))
    for order_id, acknowledged in received.acknowledged.items():
        if order_id not in received.unclear:
            comparison.orders += 1
            comparison.differences.extend(_order_differences(order_id, expect(acknowledged), found.get(order_id, NO_ROWS)))
    comparison.differences.extend(_of_forged(received, found))
    comparison.differences.extend(_of_failures(received, failures))
    return comparison


def _of_forged(received: Received, found: Mapping[str, Rows]) -> Iterator[Difference]:
    for order_id, status in received.forged.items():
        if status is not None and status < 500 and status != 401:
            yield Difference(order_id, "bad signature", "answered 401", f"answered {status}")
        if order_id in found:
            yield Difference(order_id, "bad signature", "nothing in the ledger", "it was accepted")


def _of_failures(received: Received, failures: Mapping[tuple[int, int], Sequence[Failure]]) -> Iterator[Difference]:
    for event_id, order_id in received.bad.items():
        if [each.handler for each in failures.get(event_id, ())] != [DISPATCH]:
            yield Difference(order_id, f"bad body {_name(event_id)}", "on record as undecodable", "not on record")
    for event_id, order_id in received.good.items():
        for failure in failures.get(event_id, ()):
            yield Difference(
                order_id, f"event {_name(event_id)}", "applied", f"failed in {failure.handler}: {failure.reason.value}"
            )


def _order_differences(order_id: str, expected: Expected, rows: Rows) -> Iterator[Difference]:
    for what, its_expected, its_found in (
        ("order", {"": expected.state}, _only(rows["orders"])),
        ("replacement", expected.replacements, {(row["line"], row["substitute"]): row for row in rows["replacements"]}),
        ("refund", expected.refunds, {row["line"]: row for row in rows["refunds"]}),
        ("late delivery", {"": expected.late} if expected.late else {}, _only(rows["late_deliveries"])),
    ):
        yield from (Difference(order_id, *each) for each in _row_differences(what, its_expected, its_found))
    yield from (Difference(order_id, *each) for each in _history_differences(expected, rows["order_events"]))
    alerts = rows["customer_mia_alerts"]
    if not any(_matches(outcome, alerts) for outcome in expected.missing_customer):
        wanted = " or ".join(_format(outcome) for outcome in expected.missing_customer)
        columns = ("first_reported_at", "last_reported_at", "closed_at")
        yield Difference(order_id, "customer MIA", wanted, _format([{name: row[name] for name in columns} for row in alerts]))


def _only(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the single row of an order, under an empty key."""
    return dict.fromkeys(("",), rows[0]) if rows else {}


def _row_differences(what: str, expected: Mapping[Any, Values], found: Mapping[Any, Row]) -> Iterator[tuple[str, str, str]]:
    for key in [*expected, *(key for key in found if key not in expected)]:
        named = f"{what} {_format(key)}".strip()
        if key not in found:
            yield named, _format(expected[key]), _ABSENT
        elif key not in expected:
            yield named, _ABSENT, "a row"
        else:
            for column, value in expected[key].items():
                if _comparable(found[key][column]) != _comparable(value):
                    yield f"{named}: {column}", _format(value), _format(found[key][column])


def _history_differences(expected: Expected, rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    columns = ("name", "occurred_at", "status", "expected_at", "provider_event_id")
    found = Counter(tuple(row[column] for column in columns) for row in rows)
    for line in [*expected.history, *(line for line in found if line not in expected.history)]:
        if expected.history[line] != found[line]:
            yield f"history: {_format(line)}", f"{expected.history[line]} lines", f"{found[line]} lines"


def _matches(outcome: Sequence[Values], rows: Sequence[Row]) -> bool:
    return len(outcome) == len(rows) and all(
        row[name] == value for values, row in zip(outcome, rows, strict=True) for name, value in values.items()
    )


def _comparable(value: Any) -> Any:
    """Make values comparable: quantities become text, and so must match to the last digit."""
    return value if value is None or isinstance(value, datetime | int) else str(value)


def _format(value: Any) -> str:
    match value:
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case dict():
            return ", ".join(f"{name} {_format(each)}" for name, each in value.items())
        case list() | tuple():
            return " ".join(_format(each) for each in value if each is not None) or _ABSENT
        case None:
            return _ABSENT
    return str(value)


def _name(event_id: tuple[int, int]) -> str:
    return "-".join(map(str, event_id))
