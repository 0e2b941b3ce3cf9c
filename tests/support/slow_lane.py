"""The workers' parts without their processes: what is appended is dispatched, handled and tried again when a test says so.

Every part is the real one, on a given Valkey and ledger; only Celery's messages go nowhere, as if all of them were lost.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from schemas import keys
from schemas.failures import DecodeError, Failure, Reason
from schemas.parsing.durations import milliseconds
from schemas.tasks import retry_task_name
from tests.support.books import HANDLERS, Books, open_books
from tests.support.outcomes import Sums, sums
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.consumers.notifier import Notifier
from workers.contract_drift import DriftMonitor
from workers.dispatcher import Dispatcher, Router, undecodable_failure
from workers.failures.failure_store import FailureStore
from workers.failures.retry_scheduler import RetryScheduler
from workers.handler import Event, Handler, RetryPolicy, UnitOfWork
from workers.handler_runner import HandlerRunner
from workers.ledger.tables import metadata
from workers.replay import Replay
from workers.resources import Resources
from workers.retry_executor import RetryExecutor
from workers.valkey.connection import connect
from workers.valkey.entries import Entry
from workers.valkey.store import Store

AN_HOUR_MS = 3_600_000
_ME = "test"


@dataclass
class Clumsy:
    """A built-in handler that fails on chosen orders, until its bug is fixed: `bug` is raised for them, if there is one."""

    name: str
    bug: Exception | None = None
    orders: frozenset[str] | None = None
    tried: int = 0

    def __call__(self, work: UnitOfWork, events: Sequence[Event]) -> None:
        self.tried += 1
        if self.bug is not None and any(self.orders is None or self.orders & set(event.order_ids) for event in events):
            raise type(self.bug)(*self.bug.args)
        HANDLERS[self.name].apply(work, events)

    def handler(self, retry: RetryPolicy | None = None) -> Handler:
        """It, registered in the place of the built-in one."""
        known = HANDLERS[self.name]
        return replace(known, apply=self, retry=retry or known.retry)


class SlowLane:
    """A deployment by hand. `handlers` are all there are."""

    def __init__(self, url: str, books: Books, handlers: Sequence[Handler]) -> None:
        self.handlers, self.books = tuple(handlers), books
        self.client = connect(url)
        self.store, self.failures = Store(self.client), FailureStore(self.client)
        self.zone, self.seen_ms = books.settings.store_timezone, milliseconds(books.settings.dedupe_window)
        celery = Celery("test", broker="memory://", set_as_current=False)
        for name in (keys.DISPATCH, *(each.name for each in handlers)):
            celery.task(_nothing, name=retry_task_name(name), shared=False)
        notifier = Notifier(celery, self.store)
        self.scheduler = RetryScheduler(celery, self.failures)
        self._dispatcher = Dispatcher(self.store, notifier, Router(handlers), zone=self.zone, seen_ms=self.seen_ms)
        self._channels = Channels(books.settings)
        self._relay = OutboxRelay(books.ledger, self.store, notifier, self._channels)
        self._relay.close()  # nobody delivers here: alerts wait in the outbox
        self._handles = {each.name: HandlerRunner(each, self.store, books.ledger, self._relay, self.zone) for each in handlers}
        drift = DriftMonitor(self.client)
        resources = Resources(books.settings, handlers, self.store, notifier, self.failures, self.scheduler, drift)
        self.executor = RetryExecutor(resources, books.ledger, self._relay)
        self._now_ms = int(time.time() * 1000)

    def close(self) -> None:
        """Hang up."""
        self._channels.close()
        self.client.close()

    @property
    def sums(self) -> Sums:
        """Where every event is; checked."""
        found = sums(self.client, [each.name for each in self.handlers])
        found.check()
        return found

    def append(self, body: bytes, provider: str = "instacart", request: bytes = b"") -> str:
        """What the ingress does; the event's id. Without `request`, what it did before it kept any."""
        fields: dict[Any, Any] = {keys.FIELD_PROVIDER: provider, keys.FIELD_BODY: body}
        fields |= {keys.FIELD_REQUEST: request} if request else {}
        added: Any = self.client.xadd(keys.INBOX, fields)
        return str(added.decode())

    def dispatch(self) -> None:
        """Dispatch all that waits."""
        for entries in self._taken(keys.INBOX):
            self._dispatcher.process(entries)

    def dispatch_with_an_older_release(self) -> None:
        """Dispatch what waits as a release did that could decode none of it: the same commit, with its verdict."""
        too_new = DecodeError(Reason.NO_EVENT, "$.event: expected the name of the event, found none")
        for entries in self._taken(keys.INBOX):
            records = [undecodable_failure(each.id, keys.DISPATCH, each.fields, too_new, self._now_ms) for each in entries]
            self.store.route([each.name for each in self.handlers], [], records, self.seen_ms)

    def handle(self) -> None:
        """Handle all that waits."""
        for name, handle in self._handles.items():
            for entries in self._taken(keys.todo(name)):
                handle.process(entries)

    def work(self) -> None:
        """Dispatch and handle all that waits, and see that the sums hold before, meanwhile and after."""
        for step in (self.dispatch, self.handle):
            assert self.sums
            step()
        assert self.sums

    def take_due(self) -> list[Failure]:
        """What a timer would send an hour after it was asked last."""
        self._now_ms += AN_HOUR_MS
        return self.failures.take_due(self._now_ms)

    def try_again(self, handler: str, event_id: str) -> Exception | None:
        """What a worker does with a retry's message; what it tells Celery, None of a success."""
        try:
            self.executor.run(handler, event_id)
        except Exception as told:
            return told
        return None

    def try_due(self) -> list[Exception | None]:
        """Every retry that is due within an hour, once."""
        told = [self.try_again(each.handler, each.event_id) for each in self.take_due()]
        assert self.sums
        return told

    def try_until_settled(self) -> list[str]:
        """Retry until nothing is due; the kinds of what Celery was told, in order."""
        told: list[str] = []
        while now := self.try_due():
            told += [type(each).__name__ if each else "applied" for each in now]
        return told

    def replay(self, *chosen: str) -> Replay:
        """`curbside replay` through these handlers, or all."""
        return Replay(self.client, self.books.settings, self.handlers, chosen)

    def _taken(self, stream: str) -> Iterator[list[Entry]]:
        self.store.ensure_groups([stream])
        while entries := self.store.read(stream, _ME, 256):
            yield entries


def _nothing(event_id: str) -> None:
    """A task that is known; nobody runs it."""


@contextmanager
def slow_lane(url: str, database_url: str, handlers: Sequence[Handler] | None = None, **environment: str) -> Iterator[SlowLane]:
    """All parts, closed afterwards."""
    with open_books(database_url, REDIS_URL=url, **environment) as books:
        queue = SlowLane(url, books, list(HANDLERS.values()) if handlers is None else handlers)
        try:
            yield queue
        finally:
            queue.close()


@pytest.fixture
def queue(real_valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[SlowLane]:
    """All built-in handlers, on a real Valkey and an empty SQLite ledger."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with slow_lane(real_valkey_url, f"sqlite:///{database}") as queue:
        yield queue


def all_rows(books: Books) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    return {table: books.rows(table) for table in metadata.tables}
