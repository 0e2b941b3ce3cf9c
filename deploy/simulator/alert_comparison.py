"""Compares the MIA alerts of an order, and its alerts in the outbox, with what its events ask for. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import orjson

from deploy.simulator.applied import AppliedEvent, Row
from deploy.simulator.differences import ABSENT, Difference, as_words, row_differences
from deploy.simulator.expected_alerts import MISSING, ExpectedAlert, expect_alerts
from deploy.simulator.missing_customer import Outcome, outcomes_of
from deploy.simulator.rules import Rules

_SENT, _TOO_OLD, _NOT_SENT = "sent", "not sent: too old", "not sent: "


def mia_differences(
    order_id: str, events: Sequence[AppliedEvent], rows: Sequence[Row]
) -> tuple[list[Difference], list[Outcome]]:
    """Return what differs from the nearest correct outcome, and all outcomes that are as near."""
    outcomes, found = outcomes_of(events), {row["identity"]: row for row in rows}
    differences = [list(row_differences(order_id, "customer MIA", outcome.rows, found)) for outcome in outcomes]
    distances = [
        (len(outcome.rows.keys() ^ found.keys()), len(its)) for outcome, its in zip(outcomes, differences, strict=True)
    ]
    least = min(distances)
    nearest = [outcome for outcome, distance in zip(outcomes, distances, strict=True) if distance == least]
    return differences[distances.index(least)], nearest


def outbox_differences(
    order_id: str, events: Sequence[AppliedEvent], outcomes: Sequence[Outcome], rows: Sequence[Row], rules: Rules
) -> Iterator[Difference]:
    """Yield the alerts that are missing, not sent, wrong, or not asked for. `outcomes`: what its MIA alerts can be."""
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        found[row["idempotency_key"]][row["channel"]] = row
    for alert in expect_alerts(order_id, events, outcomes, rules.late_alert_minutes):
        if (sent := found.pop(alert.key, None)) or alert.is_required:
            yield from _alert_differences(events, alert, sent or {}, rules)
    for key, by_channel in found.items():
        yield Difference(order_id, f"alert {key} ({', '.join(by_channel)})", ABSENT, "a row")


def _alert_differences(
    events: Sequence[AppliedEvent], alert: ExpectedAlert, found: dict[str, Row], rules: Rules
) -> Iterator[Difference]:
    for channel in [*rules.channels, *(channel for channel in found if channel not in rules.channels)]:
        what, row = f"{as_words(alert.name)} ({channel})", found.get(channel)
        if channel not in rules.channels:
            yield Difference(alert.order_id, what, "no such channel", state_of(row))
        elif row is None:
            yield Difference(alert.order_id, what, _SENT, ABSENT)
        else:
            payload = _payload(row)
            its = _teller(events, alert, payload)
            if (expected := _state(row, its, rules.alert_max_age)) != (found_state := state_of(row)):
                yield Difference(alert.order_id, what, expected, found_state)
            yield from row_differences(alert.order_id, what, {"": _content(alert, its, row)}, {"": row | payload})


def _teller(events: Sequence[AppliedEvent], alert: ExpectedAlert, payload: Row) -> AppliedEvent:
    """Return the event that the alert tells of: a later report of a missing customer may tell it under the key of the first."""
    alike = (each for each in events if each.event.kind == alert.topic == MISSING)
    return next((each for each in alike if each.source["event_id"] == payload.get("event_id")), alert.its)


def _content(alert: ExpectedAlert, its: AppliedEvent, row: Row) -> Row:
    about = {"topic": alert.topic, "provider": its.event.provider, "order_id": alert.order_id}
    about |= {name: its.source[name] for name in ("event_id", "occurred_at")}
    return about | {"age_seconds": int(_age(its, row).total_seconds())}


def _age(its: AppliedEvent, row: Row) -> timedelta:
    """Return how old the news was when it was handled."""
    age: timedelta = row["created_at"] - its.ordered_at
    return max(age, timedelta())


def _state(row: Row, its: AppliedEvent, max_age: timedelta) -> str:
    """Return what must have become of an alert: too old when it was handled, it is recorded and nobody is called."""
    return _TOO_OLD if max_age and _age(its, row) > max_age else _SENT


def state_of(row: Row | None) -> str:
    """Return what became of an alert's row in the outbox, with the error if there is one."""
    if row is None:
        return ABSENT
    if row["dropped"] and not row["attempts"] and (row["last_error"] or "").startswith(_NOT_SENT):
        return _TOO_OLD
    state = "waiting" if row["sent_at"] is None else "dropped" if row["dropped"] else _SENT
    if state == "waiting" and row["attempts"]:
        state = "failing"
    return f"{state}: {row['last_error']}" if row["last_error"] and state != _SENT else state


def _payload(row: Row) -> Row:
    payload: Row = orjson.loads(row["payload"])
    return payload | {name: datetime.fromisoformat(payload[name]) for name in ("occurred_at",) if payload.get(name)}
