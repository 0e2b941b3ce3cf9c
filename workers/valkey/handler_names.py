"""The handlers that a deployment has: Valkey tells them, since a process knows only those of its own `HANDLER_MODULES`."""

from collections.abc import Iterable, Sequence
from typing import Any

from redis import Redis

from schemas import keys
from schemas.keys import Counter

_NAMED = tuple(counter("") for counter in (Counter.routed, Counter.waiting, Counter.applied, Counter.failed))


def handlers_in(counters: Iterable[str], known: Sequence[str]) -> list[str]:
    """The known handlers, then those that the names of counters mention, in order of their names. Pure."""
    named = {name.removeprefix(prefix) for name in counters for prefix in _NAMED if name.startswith(prefix)}
    return [*known, *sorted(named.difference(known))]


def handlers_on_record(client: Redis, known: Sequence[str]) -> list[str]:
    """The known handlers, then the others that events were routed to."""
    names: Any = client.hgetall(keys.COUNTERS)
    return handlers_in((name.decode() for name in names), known)
