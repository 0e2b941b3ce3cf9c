"""Applies the events that bodies gave, with every handler that gets them, to a ledger in memory.

No event may fail a handler that does not need the part that could not be read: none fails but in `refunds` or `replacements`, and
there only if the event says that the part matters to it.
"""

from collections.abc import Sequence

from sqlalchemy import delete

from schemas.events import Effect, Event
from tests.support.settings import make_settings
from workers.handler import Handler, registered
from workers.ledger.ledger import Ledger
from workers.ledger.tables import metadata

BATCH = 250
"""So many bodies share a transaction, and the ledger is empty before each."""
_SETTINGS = make_settings(DATABASE_URL="sqlite:///:memory:")
_NEEDED_BY = {"refunds": Effect.REFUND, "replacements": Effect.REPLACEMENT}


class WronglyFailedError(AssertionError):
    """An event failed a handler that needs none of its odd parts. `event_id` is the event's."""

    def __init__(self, event_id: str, handler: str) -> None:
        super().__init__(f"the event fails the handler {handler}")
        self.event_id = event_id


class Applier:
    """A ledger in memory, for one thread. Close it."""

    def __init__(self) -> None:
        self._ledger, self._handlers = Ledger(_SETTINGS), registered()
        self._ledger.migrate()

    def apply(self, events: Sequence[Event]) -> None:
        """Apply a batch with every handler. Raises `WronglyFailedError`."""
        with self._ledger.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
        for handler in self._handlers:
            if wanted := [event for event in events if handler.wants(event.kind)]:
                self._apply(handler, wanted)

    def close(self) -> None:
        """Forget the ledger."""
        self._ledger.close()

    def _apply(self, handler: Handler, events: Sequence[Event]) -> None:
        try:
            failed = self._ledger.apply(handler, events).failed
        except Exception as error:
            if len(events) == 1:
                raise WronglyFailedError(events[0].event_id, handler.name) from error
            for event in events:  # one by one: the one at fault is named
                self._apply(handler, [event])
            raise
        for event, _ in failed:
            if not any(_NEEDED_BY.get(handler.name) in part.effects for part in event.unreadable):
                raise WronglyFailedError(event.event_id, handler.name)
