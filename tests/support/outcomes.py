"""What became of events, read from Valkey by hand: the two sums that must hold at every moment, and the records of failures."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from schemas import keys
from schemas.failures import Failure, decode_failure

BUILT_IN = ("timeline", "replacements", "refunds", "late_deliveries", "customer_mia")


class Sums(NamedTuple):
    """One look. `counters` are the ones that the workers keep; what waits and what was received, the streams say."""

    received: int
    waiting: int
    waiting_for: dict[str, int]
    counters: dict[str, int]

    def count(self, name: str) -> int:
        """A counter; 0 if nothing was ever counted."""
        return self.counters.get(name, 0)

    def check(self) -> None:
        """Fail unless every event is in exactly one place."""
        settled = [self.count(name) for name in ("duplicate", "routed", "undecodable")]
        assert self.received == sum(settled) + self.waiting, f"received is not the sum of its outcomes: {self}"
        for handler, waiting in self.waiting_for.items():
            done = self.count(f"applied:{handler}") + self.count(f"failed:{handler}")
            assert self.count(f"routed:{handler}") == done + waiting, f"the sum of {handler} is off: {self}"

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits anywhere."""
        return self.waiting == 0 and not any(self.waiting_for.values())


def sums(client: redis.Redis, handlers: Sequence[str] = BUILT_IN) -> Sums:
    """Look at all of it in one transaction."""
    pipeline = client.pipeline(transaction=True)
    pipeline.hgetall(keys.COUNTERS)
    for stream in (keys.INBOX, *map(keys.todo, handlers)):
        pipeline.xinfo_stream(stream)
        pipeline.xinfo_groups(stream)
    counters, *replies = pipeline.execute(raise_on_error=False)
    waiting = [_waiting(stream, groups) for stream, groups in zip(replies[::2], replies[1::2], strict=True)]
    return Sums(
        received=0 if isinstance(replies[0], redis.ResponseError) else int(replies[0]["entries-added"]),
        waiting=waiting[0],
        waiting_for=dict(zip(handlers, waiting[1:], strict=True)),
        counters={_text(name): int(count) for name, count in counters.items()},
    )


def failures(client: redis.Redis) -> dict[str, Failure]:
    """All records of failures, by their field."""
    return {_text(name): decode_failure(record) for name, record in client.hgetall(keys.FAILURES).items()}


def _waiting(stream: Any, groups: Any) -> int:
    if isinstance(stream, redis.ResponseError):  # not there yet
        return 0
    for group in groups if isinstance(groups, list) else ():
        if group["name"] == keys.GROUP.encode():
            return int(group["pending"]) + int(group["lag"] or 0)
    return int(stream["length"])


def _text(name: bytes) -> str:
    return name.decode()
