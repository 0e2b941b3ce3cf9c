"""Compares the MIA alerts of an order, and its alerts in the outbox, with what its events ask for. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson

from deploy.simulator.applied import AppliedEvent, Row
from deploy.simulator.differences import ABSENT, Difference, as_words, row_differences
from deploy.simulator.expected_alerts import ExpectedAlert, expect_alerts, state_of
from deploy.simulator.missing_customer import Outcome, outcomes_of
from deploy.simulator.rules import Rules

_SENT = "sent"


def mia_differences(
    order_id: str, events: Sequence[AppliedEvent], rows: Sequence[Row]
) -> tuple[list[Difference], list[Outcome]]:
    """Return what differs from the nearest correct outcome, and all outcomes that are as near."""
    outcomes, found = outcomes_of(events), {row["identity"]: row for row in rows}
    differences = [list(row_differences(order_id, "customer MIA", outcome.rows, found)) for outcome in outcomes]
    fewest = min(differences, key=len)
    return fewest, [each for each, its in zip(outcomes, differences, strict=True) if len(its) == len(fewest)]


def outbox_differences(
    order_id: str, events: Sequence[AppliedEvent], outcomes: Sequence[Outcome], rows: Sequence[Row], rules: Rules
) -> Iterator[Difference]:
    """Yield the alerts that are missing, not sent, wrong, or not asked for. `outcomes`: what its MIA alerts can be."""
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        found[row["idempotency_key"]][row["channel"]] = row
    for alert in expect_alerts(order_id, events, outcomes, rules.late_alert_minutes):
        if (sent := found.pop(alert.key, None)) or alert.is_required:
            yield from _alert_differences(order_id, alert, sent or {}, rules)
    for key, by_channel in found.items():
        yield Difference(order_id, f"alert {key} ({', '.join(by_channel)})", ABSENT, "a row")


def _alert_differences(order_id: str, alert: ExpectedAlert, found: dict[str, Row], rules: Rules) -> Iterator[Difference]:
    for channel in [*rules.channels, *(channel for channel in found if channel not in rules.channels)]:
        what, row = f"{as_words(alert.name)} ({channel})", found.get(channel)
        if channel not in rules.channels:
            yield Difference(order_id, what, "no such channel", state_of(row))
        elif row is None or state_of(row) != _SENT:
            yield Difference(order_id, what, _SENT, state_of(row))
        if row is not None:
            yield from row_differences(order_id, what, {"": alert.content}, {"": row | _payload(row)})


def _payload(row: Row) -> Row:
    payload: dict[str, Any] = orjson.loads(row["payload"])
    return payload | {name: datetime.fromisoformat(payload[name]) for name in ("occurred_at",) if payload.get(name)}
