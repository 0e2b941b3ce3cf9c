"""All components of the workers in the test's own process. The test runs each step itself: dispatch, handle, retry.

The components are the real ones, on a given Valkey and ledger. Celery messages are dropped.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from schemas import keys
from schemas.failures import DecodeError, Failure, Reason
from schemas.parsing.durations import milliseconds
from schemas.tasks import retry_task_name
from tests.support.event_sums import Sums, sums
from tests.support.ledger_fixture import HANDLERS, LedgerFixture, open_ledger_fixture
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.broker import Broker
from workers.consumers.notifier import Notifier
from workers.contract_drift import DriftMonitor
from workers.dispatcher import Dispatcher, Router, undecodable_failure
from workers.event_decoder import EventDecoder
from workers.failures.failure_store import FailureStore
from workers.failures.retry_scheduler import RetryScheduler
from workers.handler import Event, Handler, RetryPolicy, UnitOfWork
from workers.handler_runner import HandlerRunner
from workers.ledger.tables import metadata
from workers.local_work import LocalWork
from workers.replay import Replay
from workers.resources import Resources
from workers.retry_executor import RetryExecutor
from workers.valkey.connection import connect
from workers.valkey.entries import Entry
from workers.valkey.store import Store

AN_HOUR_MS = 3_600_000
_CONSUMER = "test"


@dataclass
class FailingHandler:
    """A built-in handler that raises `bug`, while one is set, for batches with one of `orders` (None: every batch)."""

    name: str
    bug: Exception | None = None
    orders: frozenset[str] | None = None
    calls: int = 0

    def __call__(self, work: UnitOfWork, events: Sequence[Event]) -> None:
        self.calls += 1
        if self.bug is not None and any(self.orders is None or self.orders & set(event.order_ids) for event in events):
            raise type(self.bug)(*self.bug.args)
        HANDLERS[self.name].apply(work, events)

    def handler(self, retry: RetryPolicy | None = None) -> Handler:
        """Its registration, which replaces the built-in one."""
        known = HANDLERS[self.name]
        return replace(known, apply=self, retry=retry or known.retry)


class SteppedDeployment:
    """Dispatcher, handler runners and retry executor over these handlers. `client`: another than the workers' own."""

    def __init__(
        self, url: str, ledger_fixture: LedgerFixture, handlers: Sequence[Handler], client: redis.Redis | None = None
    ) -> None:
        self.handlers, self.ledger_fixture = tuple(handlers), ledger_fixture
        self.client = client or connect(url)
        self.store, self.failures = Store(self.client), FailureStore(self.client)
        self.zone, self.seen_ms = ledger_fixture.settings.store_timezone, milliseconds(ledger_fixture.settings.dedupe_window)
        celery = Celery("test", broker="memory://", set_as_current=False)
        for name in (keys.DISPATCH, *(each.name for each in handlers)):
            celery.task(_nothing, name=retry_task_name(name), shared=False)
        broker, local = Broker(celery), LocalWork()
        notifier = Notifier(broker, self.store, local)
        self.scheduler = RetryScheduler(broker, self.failures, local)
        self.drift = DriftMonitor(self.client)
        self._dispatcher = Dispatcher(
            self.store, notifier, Router(handlers), decoder=EventDecoder(self.zone), seen_ms=self.seen_ms, drift=self.drift
        )
        channels = Channels(ledger_fixture.settings)
        self._relay = OutboxRelay(ledger_fixture.ledger, self.store, notifier, channels)
        self._relay.close()  # no delivery: alerts stay in the outbox
        self._handles = {
            each.name: HandlerRunner(each, self.store, ledger_fixture.ledger, self._relay, EventDecoder(self.zone))
            for each in handlers
        }
        resources = Resources(
            ledger_fixture.settings, handlers, self.store, broker, local, notifier, self.failures, self.scheduler, self.drift
        )
        self.executor = RetryExecutor(resources, ledger_fixture.ledger, self._relay)
        self._now_ms = int(time.time() * 1000)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    @property
    def sums(self) -> Sums:
        """The sums, checked."""
        found = sums(self.client, [each.name for each in self.handlers])
        found.check()
        return found

    def append(self, body: bytes, provider: str = "instacart", request: bytes = b"") -> str:
        """Append an event as the ingress does; return its id. No `request`: as releases did that stored no request context."""
        fields: dict[Any, Any] = {keys.FIELD_PROVIDER: provider, keys.FIELD_BODY: body}
        fields |= {keys.FIELD_REQUEST: request} if request else {}
        added: Any = self.client.xadd(keys.INBOX, fields)
        return str(added.decode())

    def dispatch(self) -> None:
        """Dispatch all waiting events."""
        for entries in self._read_all(keys.INBOX):
            self._dispatcher.process(entries)

    def dispatch_with_an_older_release(self) -> None:
        """Dispatch all waiting events as a release that can decode none of them: same commit, all decode errors."""
        too_new = DecodeError(Reason.NO_EVENT, "$.event: expected the name of the event, found none")
        for entries in self._read_all(keys.INBOX):
            records = [undecodable_failure(each.id, keys.DISPATCH, each.fields, too_new, self._now_ms) for each in entries]
            self.store.route([each.name for each in self.handlers], [], records, self.seen_ms)

    def handle(self) -> None:
        """Handle all waiting events."""
        for name, handle in self._handles.items():
            for entries in self._read_all(keys.todo(name)):
                handle.process(entries)

    def process_inbox(self, entries: Sequence[Entry]) -> None:
        """Dispatch these entries of the inbox."""
        self._dispatcher.process(entries)

    def handle_only(self, handler: str) -> None:
        """Handle all events that wait for one handler."""
        for entries in self._read_all(keys.todo(handler)):
            self._handles[handler].process(entries)

    def process(self, handler: str, entries: Sequence[Entry]) -> None:
        """Handle these claim checks of a handler."""
        self._handles[handler].process(entries)

    def work(self) -> None:
        """Dispatch and handle all waiting events. Check the sums before, between and after."""
        for step in (self.dispatch, self.handle):
            assert self.sums
            step()
        assert self.sums

    def take_due(self) -> list[Failure]:
        """Take the retries that are due an hour after the last call, as the timer does."""
        self._now_ms += AN_HOUR_MS
        return self.failures.take_due(self._now_ms)

    def run_retry(self, handler: str, event_id: str) -> Exception | None:
        """Run a retry as a worker does. Return the exception that Celery gets; None after a success."""
        try:
            self.executor.run(handler, event_id)
        except Exception as error:
            return error
        return None

    def run_due_retries(self) -> list[Exception | None]:
        """Run each retry that is due within an hour, once."""
        results = [self.run_retry(each.handler, each.event_id) for each in self.take_due()]
        assert self.sums
        return results

    def run_retries_until_settled(self) -> list[str]:
        """Retry until nothing is due. Return the outcomes in order: an exception's name, or "applied"."""
        outcomes: list[str] = []
        while now := self.run_due_retries():
            outcomes += [type(each).__name__ if each else "applied" for each in now]
        return outcomes

    def replay(self, *chosen: str) -> Replay:
        """`curbside replay` through these handlers; through all if none is given."""
        return Replay(self.client, self.ledger_fixture.settings, self.handlers, chosen)

    def _read_all(self, stream: str) -> Iterator[list[Entry]]:
        self.store.ensure_groups([stream])
        while entries := self.store.read(stream, _CONSUMER, 256):
            yield entries


def _nothing(event_id: str) -> None:
    """A registered task that never runs."""


@contextmanager
def open_stepped_deployment(
    url: str, database_url: str, handlers: Sequence[Handler] | None = None, **environment: str
) -> Iterator[SteppedDeployment]:
    """A deployment, closed on exit. `handlers` None: the built-in ones."""
    with open_ledger_fixture(database_url, REDIS_URL=url, **environment) as ledger_fixture:
        stepped_deployment = SteppedDeployment(url, ledger_fixture, list(HANDLERS.values()) if handlers is None else handlers)
        try:
            yield stepped_deployment
        finally:
            stepped_deployment.close()


@pytest.fixture
def stepped_deployment(real_valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[SteppedDeployment]:
    """All built-in handlers on a real Valkey and an empty SQLite ledger."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with open_stepped_deployment(real_valkey_url, f"sqlite:///{database}") as stepped_deployment:
        yield stepped_deployment


def all_rows(ledger_fixture: LedgerFixture) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    return {table: ledger_fixture.rows(table) for table in metadata.tables}
