"""Everything known of one order, in time order: what the ledger holds, and what failed or still waits in Valkey."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from redis import Redis
from sqlalchemy import Connection, Table, select

from schemas.events import received_at
from workers.failures import Failures
from workers.ledger.ledger import Ledger
from workers.ledger.tables import (
    customer_mia_alerts,
    late_deliveries,
    order_events,
    orders,
    outbox,
    refunds,
    replacements,
)

_EFFECTS: tuple[tuple[str, Table], ...] = (
    ("event", order_events),
    ("replacement", replacements),
    ("refund", refunds),
    ("late_delivery", late_deliveries),
    ("customer_mia", customer_mia_alerts),
)


class Step(msgspec.Struct, frozen=True):
    """One thing that happened: `at` is the provider's time, or ours where it has none; `what` is the table's or stage's word."""

    at: datetime
    what: str
    event_id: str | None
    details: dict[str, Any]


class Trace(msgspec.Struct, frozen=True):
    """An order of one provider: how it stands (`state`, a row of `orders`), and the steps that led there."""

    provider: str
    order_id: str
    state: dict[str, Any]
    steps: list[Step]


def trace(ledger: Ledger, client: Redis, order_id: str) -> list[Trace]:
    """The orders of this id, one for each provider that knows it; empty if nobody does. Raises `Unreachable`."""
    failures = list(_failures(client, order_id))
    found = {}
    with ledger.read() as connection:
        for row in connection.execute(select(orders).where(orders.c.order_id == order_id)).mappings():
            provider = row["provider"]
            found[provider] = Trace(provider, order_id, _shown(dict(row)), list(_steps(connection, provider, order_id)))
    for provider, step in failures:
        found.setdefault(provider, Trace(provider, order_id, {}, [])).steps.append(step)
    for each in found.values():
        each.steps.sort(key=lambda step: (step.at, step.what != "event", step.event_id or ""))
    return [found[provider] for provider in sorted(found)]


def _steps(connection: Connection, provider: str, order_id: str) -> Iterator[Step]:
    for what, table in _EFFECTS:
        its = table.c
        query = select(table).where(its.provider == provider, its.order_id == order_id)
        for row in connection.execute(query).mappings():
            details = _shown(dict(row))
            yield Step(details.pop("occurred_at"), what, details.pop("event_id"), details)
    key = outbox.c.idempotency_key
    topics = [f"{topic}:{provider}:{order_id}:" for topic in ("late_delivery", "customer_mia")]
    for prefix in topics:
        for row in connection.execute(select(outbox).where(key.startswith(prefix, autoescape=True))).mappings():
            yield Step(
                row["created_at"], "alert", None, _shown(dict(row), "idempotency_key", "payload", "leased_until", "created_at")
            )


def _failures(client: Redis, order_id: str) -> Iterator[tuple[str, Step]]:
    for failure in Failures(client).all():
        if order_id in failure.order_ids:
            details = {"handler": failure.handler, "reason": failure.reason.value, "attempts": failure.attempts}
            yield failure.provider, Step(received_at(failure.event_id), "failed", failure.event_id, details)


def _shown(row: dict[str, Any], *hidden: str) -> dict[str, Any]:
    """What a person wants of a row: not the keys it was found by, nor what is empty."""
    left_out = {"provider", "order_id", *hidden}
    return {name: value for name, value in row.items() if not (value is None or name in left_out or name.endswith("news"))}
