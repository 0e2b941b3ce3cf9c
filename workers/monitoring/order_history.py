"""The history of one order, in time order: its effects in the ledger, its alerts, and its failures in Valkey.

The steps are sorted by the time that orders events (`workers.ledger.event_order`) and show the provider's time as sent.

The request context of an event is in no table. It is shown as long as the inbox or a failure record has it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from redis import Redis
from sqlalchemy import Connection, RowMapping, Table, select

from schemas.events import received_at
from schemas.failures import FailureState
from schemas.request_context import NO_CONTEXT, RequestContext
from workers.failures.failure_store import FailureStore
from workers.ledger.event_order import stored_time
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
from workers.valkey.entries import request_of
from workers.valkey.store import Store

_EFFECTS: tuple[tuple[str, Table], ...] = (
    ("event", order_events),
    ("replacement", replacements),
    ("refund", refunds),
    ("late_delivery", late_deliveries),
    ("customer_mia", customer_mia_alerts),
)


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the history. `at`: the provider's time as sent, or ours if there is none. `what`: the kind of step.

    `ordered_at`: the time that orders the step, where it is not `at`. `has_time`: whether the event's body names a time.
    `request`: the request context of an event. It is empty for other steps, and when it is no longer stored.
    """

    at: datetime
    what: str
    event_id: str | None
    details: dict[str, Any]
    request: RequestContext = NO_CONTEXT
    ordered_at: datetime | None = None
    has_time: bool = True


class OrderHistory(msgspec.Struct, frozen=True):
    """An order of one provider: its current state (its row of `orders`), and the steps that led to it."""

    provider: str
    order_id: str
    state: dict[str, Any]
    steps: list[Step]


def read_order_history(ledger: Ledger, client: Redis, order_id: str) -> list[OrderHistory]:
    """The orders with this id, one for each provider that has it; empty if none has. Raises `DependencyUnavailableError`."""
    failures = list(_failures(client, order_id))
    found = {}
    with ledger.read() as connection:
        for row in connection.execute(select(orders).where(orders.c.order_id == order_id)).mappings():
            provider = row["provider"]
            found[provider] = OrderHistory(
                provider, order_id, _displayed(dict(row)), list(_steps(connection, provider, order_id))
            )
    for provider, step in failures:
        found.setdefault(provider, OrderHistory(provider, order_id, {}, [])).steps.append(step)
    _add_requests(Store(client), found.values())
    for each in found.values():
        each.steps.sort(key=lambda step: (step.ordered_at or step.at, step.what != "event", step.event_id or ""))
    return [found[provider] for provider in sorted(found)]


def _add_requests(store: Store, histories: Iterable[OrderHistory]) -> None:
    """Add the request contexts that the inbox has to the event steps, in one round trip."""
    events = [step.event_id for each in histories for step in each.steps if step.what == "event" and step.event_id]
    in_inbox = store.load_bodies([events], near=False)
    for each in histories:
        of_failures = {step.event_id: step.request for step in each.steps if step.what == "failed"}
        for place, step in enumerate(each.steps):
            if step.what == "event" and step.event_id:
                fields = in_inbox.get(step.event_id)
                request = request_of(fields) if fields else of_failures.get(step.event_id, NO_CONTEXT)
                each.steps[place] = msgspec.structs.replace(step, request=request)


def _steps(connection: Connection, provider: str, order_id: str) -> Iterator[Step]:
    times: dict[str, datetime] = {}
    for what, table in _EFFECTS:
        its = table.c
        query = select(table).where(its.provider == provider, its.order_id == order_id)
        for row in connection.execute(query).mappings():
            yield _step(what, _displayed(dict(row)), times)
            if row.get("withdrawn_by"):
                yield _withdrawal(what, row, times)
    key = outbox.c.idempotency_key
    topics = [f"{topic}:{provider}:{order_id}:" for topic in ("late_delivery", "customer_mia")]
    for prefix in topics:
        for row in connection.execute(select(outbox).where(key.startswith(prefix, autoescape=True))).mappings():
            yield Step(
                row["created_at"],
                "alert",
                None,
                _displayed(dict(row), "idempotency_key", "payload", "leased_until", "created_at"),
            )


def _step(what: str, details: dict[str, Any], times: dict[str, datetime]) -> Step:
    """A step. `times`: the ordering time of each event, by its id; an effect comes after the event that it names."""
    at, event_id, has_time = details.pop("occurred_at"), details.pop("event_id"), details.pop("has_time", True)
    ordered_at = stored_time(details.pop("ordered_at", times.get(event_id)), at, details["received_at"])
    times[event_id] = ordered_at
    return Step(at, what, event_id, details, ordered_at=ordered_at if ordered_at != at else None, has_time=has_time)


def _withdrawal(what: str, row: RowMapping, times: dict[str, datetime]) -> Step:
    """The step that takes a refund or a replacement back. Its details name what it takes back."""
    named = {name: row[name] for name in ("line", "substitute", "product", "product_name") if row.get(name) is not None}
    at, event_id = row["withdrawn_at"], row["withdrawn_by"]
    ordered_at = times.get(event_id, at)
    return Step(at, f"{what}_withdrawn", event_id, named, ordered_at=ordered_at if ordered_at != at else None)


def _failures(client: Redis, order_id: str) -> Iterator[tuple[str, Step]]:
    for failure in FailureStore(client).all():
        if order_id in failure.order_ids:
            details: dict[str, Any] = {
                "handler": failure.handler,
                "reason": failure.reason.value,
                "attempts": failure.attempts,
            }
            if failure.state is FailureState.DISCARDED:
                details |= {"state": failure.state.value, "note": failure.note}
            at = received_at(failure.event_id)
            yield failure.provider, Step(at, "failed", failure.event_id, details, failure.request)


def _displayed(row: dict[str, Any], *hidden: str) -> dict[str, Any]:
    """The fields of a row to show: no key of the order, no ordering key, nothing empty."""
    left_out = {"provider", "order_id", *hidden}
    return {name: value for name, value in row.items() if not (value is None or name in left_out or name.endswith("news"))}
