"""The handler API: how handlers are registered, both the built-in ones and your own (`HANDLER_MODULES`).

    from workers.handler import Event, UnitOfWork, handler
    from schemas.events import Kind

    @handler("loyalty", Kind.DELIVERED)
    def loyalty(work: UnitOfWork, events: Sequence[Event]) -> None:
        ...

A handler receives typed events in batches and writes through `work.connection`, in one transaction for the whole batch. It must
be idempotent: rely on a unique key, never on a read before the write. The exception it raises decides what happens:

- `PermanentError`: the event fails for good and is not retried.
- `DependencyUnavailableError`: the whole batch waits and is retried. No event fails.
- any other: the event fails and is retried under the handler's retry policy.

If one event of a batch fails, the other events are still applied.
"""

import importlib
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from schemas.events import Event, Kind
from workers.errors import DependencyUnavailableError, HandlerError, PermanentError
from workers.failures.retry_policy import PATIENT, URGENT, RetryPolicy
from workers.ledger.unit_of_work import Alert, UnitOfWork

__all__ = [
    "PATIENT",
    "URGENT",
    "Alert",
    "DependencyUnavailableError",
    "Event",
    "Handler",
    "Kind",
    "PermanentError",
    "RetryPolicy",
    "UnitOfWork",
    "handler",
    "registered",
]

_RENAMED = {"Reject": PermanentError, "Unreachable": DependencyUnavailableError}
"""Names of release 0.1. The next release removes them."""

BUILT_IN = ("timeline", "replacements", "refunds", "late_deliveries", "customer_mia")
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
_RESERVED = frozenset({"dispatch", "drain", "deliver", "housekeep", "retry"})

Apply = Callable[[UnitOfWork, Sequence[Event]], None]


@dataclass(frozen=True)
class Handler:
    """A named function and the kinds of event that it handles (None: all)."""

    name: str
    kinds: frozenset[Kind] | None
    apply: Apply
    retry: RetryPolicy
    batch: int | None = None
    """The most events at once; None: as many as there are in a batch."""
    timeout: timedelta | None = None
    """How long a batch may take. A handler with a limit runs in an isolated process, which is ended when it is over."""

    @property
    def timeout_seconds(self) -> float | None:
        """The timeout in seconds."""
        return None if self.timeout is None else self.timeout.total_seconds()

    def wants(self, kind: Kind) -> bool:
        """Whether events of this kind are routed to this handler."""
        return self.kinds is None or kind in self.kinds


_REGISTRY: dict[str, Handler] = {}


def handler(
    name: str,
    *kinds: Kind,
    retry: RetryPolicy = PATIENT,
    batch: int | None = None,
    timeout: timedelta | float | None = None,
) -> Callable[[Apply], Apply]:
    """Register a function as the handler of these kinds of event, or of all kinds if none is given.

    `retry`: how often and how soon a failed event is retried. `batch`: the most events at once. `timeout`, a timedelta or seconds:
    how long one batch may take. Raises `HandlerError` for a bad, reserved or duplicate name, or a bad limit.
    """
    if not _NAME.match(name) or name in _RESERVED:
        raise HandlerError(f"handler name {name!r}: expected lower-case letters, digits and _, and none of {sorted(_RESERVED)}")
    if batch is not None and (type(batch) is not int or batch < 1):
        raise HandlerError(f"handler {name!r}: batch={batch!r}: expected a whole number of events, 1 or more")
    limit = _timeout(name, timeout)

    def register(apply: Apply) -> Apply:
        known = _REGISTRY.get(name)
        if known is not None and known.apply.__module__ != apply.__module__:
            raise HandlerError(f"handler {name!r} is registered twice: {known.apply.__module__} and {apply.__module__}")
        _REGISTRY[name] = Handler(name, frozenset(kinds) or None, apply, retry, batch, limit)
        return apply

    return register


def _timeout(name: str, given: timedelta | float | None) -> timedelta | None:
    try:
        limit = given if given is None or isinstance(given, timedelta) else timedelta(seconds=given)
    except (TypeError, ValueError, OverflowError):
        limit = timedelta(0)
    if limit is not None and limit <= timedelta(0):
        raise HandlerError(f"handler {name!r}: timeout={given!r}: expected a timedelta or seconds, more than 0")
    return limit


def registered(extra_modules: Iterable[str] = ()) -> tuple[Handler, ...]:
    """Import the built-in handlers and those of `extra_modules`, and return them in a fixed order. Raises `HandlerError`.

    A handler of a submodule of an extra module counts as that module's.
    """
    for name in BUILT_IN:
        importlib.import_module(f"workers.handlers.{name}")
    own: set[str] = set()
    for module in extra_modules:
        _import(module)
        found = {name for name, each in _REGISTRY.items() if f"{each.apply.__module__}.".startswith(f"{module}.")}
        if not found:
            raise HandlerError(f"HANDLER_MODULES: {module!r} registers no handler: it needs a function under @handler(…)")
        own |= found
    return tuple(_REGISTRY[name] for name in (*BUILT_IN, *sorted(own)))


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except HandlerError:
        raise
    except ImportError as error:
        raise HandlerError(f"HANDLER_MODULES: cannot import {module!r}: {error}") from error
    except Exception as error:  # a module may raise anything while it is imported
        raise HandlerError(f"HANDLER_MODULES: cannot import {module!r}: {type(error).__name__}: {error}") from error


def __getattr__(name: str) -> Any:
    """Resolve a name of release 0.1, with a DeprecationWarning."""
    if name not in _RENAMED:
        raise AttributeError(name)
    renamed = _RENAMED[name]
    warnings.warn(f"workers.handler.{name} is now {renamed.__name__}", DeprecationWarning, stacklevel=2)
    return renamed
