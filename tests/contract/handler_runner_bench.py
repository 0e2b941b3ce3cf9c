"""A handler runner over a ledger and a Valkey, and handlers that fail on one event."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC

from sqlalchemy import text

from schemas import keys
from schemas.events import Event
from tests.support.settings import make_settings
from tests.support.worker_parts import WorkerParts
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.dispatcher import Dispatcher, Router
from workers.errors import PermanentError
from workers.event_decoder import EventDecoder
from workers.failures.retry_policy import NO_RETRY
from workers.handler import Handler, UnitOfWork, registered
from workers.handler_runner import HandlerRunner
from workers.ledger.ledger import Ledger

BAD = "order-117"

EVENTS = 200

TIMELINE = next(each for each in registered() if each.name == "timeline")


class Bench:
    """One handler runner on one ledger, and a dispatcher that routes to it."""

    def __init__(self, worker_parts: WorkerParts, ledger: Ledger, handler: Handler) -> None:
        self.parts, self.handler, self.stream = worker_parts, handler, keys.todo(handler.name)
        self._dispatcher = Dispatcher(
            worker_parts.store, worker_parts.notifier, Router([handler]), decoder=EventDecoder(UTC), seen_ms=60_000
        )
        self.ledger, self.relay = (
            ledger,
            OutboxRelay(ledger, worker_parts.store, worker_parts.notifier, Channels(make_settings())),
        )
        self.process = HandlerRunner(handler, worker_parts.store, ledger, self.relay, EventDecoder(UTC)).process

    def feed(self, *bodies: bytes) -> list[str]:
        """Route events to the handler. Return their ids."""
        ids = self.parts.append(*bodies)
        self._dispatcher.process(self.parts.read_new())
        return ids

    def work(self) -> None:
        """Read all waiting events and handle them."""
        self.process(self.parts.read_new(self.stream))

    def work_again(self) -> None:
        """Handle the pending entries again, as after a restart."""
        self.process(self.parts.store.read_own(self.stream, "one", "0", 1000))

    def counts(self) -> dict[str, int]:
        """The sums, checked."""
        looked, name = self.parts.sums([self.handler.name]), self.handler.name
        counts = {what: looked.count(f"{what}:{name}") for what in ("routed", "applied", "failed")}
        return {**counts, "waiting": looked.waiting_for[name]}


@contextmanager
def bench(worker_parts: WorkerParts, ledger_url: str, handler: Handler = TIMELINE) -> Iterator[Bench]:
    ledger = Ledger(make_settings(DATABASE_URL=ledger_url))
    made = Bench(worker_parts, ledger, handler)
    try:
        yield made
    finally:
        made.relay.close()
        ledger.close()


def picky(refuse: Callable[[UnitOfWork, Event], None]) -> Handler:
    """The timeline handler, which calls `refuse` for one order."""

    def apply(work: UnitOfWork, events: Sequence[Event]) -> None:
        TIMELINE.apply(work, events)
        for event in events:
            if event.order_ids == (BAD,):
                refuse(work, event)

    return Handler("picky", None, apply, NO_RETRY)


def rejects(_: UnitOfWork, event: Event) -> None:
    raise PermanentError(f"we do not take {event.order_ids[0]}")


def has_a_bug(_: UnitOfWork, event: Event) -> None:
    event.lines[0]  # it has none


def writes_nonsense(work: UnitOfWork, _: Event) -> None:
    work.connection.execute(text("INSERT INTO order_events (provider, order_id) VALUES ('instacart', 'half a row')"))
