"""Reads from Valkey, without the workers' code, what became of events: the two sums that always hold, and the failures."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis

from schemas import keys
from schemas.events import Event, Kind
from schemas.failures import Failure, decode_failure

BUILT_IN = ("timeline", "replacements", "refunds", "late_deliveries", "customer_mia")


class Sums(NamedTuple):
    """One consistent reading. The workers write `counters` and `waiting_counted`; the rest is counted in the streams."""

    received: int
    waiting: int
    waiting_for: dict[str, int]
    waiting_counted: dict[str, int]
    counters: dict[str, int]

    def count(self, name: str) -> int:
        """A counter; 0 if it does not exist."""
        return self.counters.get(name, 0)

    def check(self) -> None:
        """Fail unless every event is in exactly one place."""
        settled = [self.count(name) for name in ("duplicate", "routed", "undecodable")]
        assert self.received == sum(settled) + self.waiting, f"received is not the sum of its outcomes: {self}"
        for handler, waiting in self.waiting_for.items():
            done = self.count(f"applied:{handler}") + self.count(f"failed:{handler}")
            assert self.count(f"routed:{handler}") == done + waiting, f"the sum of {handler} is off: {self}"
            assert self.waiting_counted.get(f"waiting:{handler}", 0) == waiting, (
                f"the count of what waits for {handler} is off: {self}"
            )

    @property
    def is_settled(self) -> bool:
        """Whether no event waits in any stream."""
        return self.waiting == 0 and not any(self.waiting_for.values())


def sums(client: redis.Redis, handlers: Sequence[str] = BUILT_IN) -> Sums:
    """Read all of it in one transaction."""
    pipeline = client.pipeline(transaction=True)
    pipeline.hgetall(keys.COUNTERS)
    pipeline.xinfo_stream(keys.INBOX)
    pipeline.xinfo_groups(keys.INBOX)
    for handler in handlers:
        pipeline.xrange(keys.todo(handler))
    counters, stream, groups, *todo = pipeline.execute(raise_on_error=False)
    counted = {name.decode(): int(count) for name, count in counters.items()}
    inbox = None if isinstance(stream, redis.ResponseError) else stream
    return Sums(
        received=int(inbox["entries-added"]) if inbox else 0,
        waiting=_waiting(client, inbox, groups),
        waiting_for={
            name: sum(len(fields[keys.FIELD_EVENT].split()) for _, fields in checks)
            for name, checks in zip(handlers, todo, strict=True)
        },
        waiting_counted={name: count for name, count in counted.items() if name.startswith("waiting:")},
        counters={name: count for name, count in counted.items() if not name.startswith("waiting:")},
    )


def failures(client: redis.Redis) -> dict[str, Failure]:
    """All failure records by their id, `<handler>:<event id>`."""
    records: Any = client.hgetall(keys.FAILURES)
    return {name.decode(): decode_failure(record) for name, record in records.items()}


def pending(client: redis.Redis, handlers: Sequence[str] = BUILT_IN) -> int:
    """The number of pending entries in all streams."""
    streams = [stream for stream in (keys.INBOX, *map(keys.todo, handlers)) if client.exists(stream)]
    return sum(int(group["pending"]) for stream in streams for group in client.xinfo_groups(stream))


def _waiting(client: redis.Redis, inbox: Any, groups: Any) -> int:
    """The number of entries that are undelivered or pending. The undelivered ones are counted: a server may say a wrong number."""
    for group in groups if isinstance(groups, list) else ():
        if group["name"] == keys.GROUP.encode():
            after = f"({group['last-delivered-id'].decode()}"
            unread: Any = client.xrange(keys.INBOX, after, inbox["last-generated-id"])
            return int(group["pending"]) + len(unread)
    return int(inbox["length"]) if inbox else 0


def refunded_lines(events: Iterable[Event]) -> set[tuple[str, str]]:
    """The order and line of every refund that these events report: what the ledger must hold, each once."""
    return {
        (order_id, line.line)
        for event in events
        if event.kind is Kind.ORDER_ITEM_REFUND
        for order_id in event.order_ids
        for line in event.lines
        if line.refunded
    }
