"""The outbox relay: sends the alerts of the outbox, at least once, always under the same idempotency key.

A row is leased before it is sent. Sending happens outside any transaction, so a slow channel holds no lock. After a crash
between sending and marking, the row is sent again when its lease ends. A failed row is retried at growing intervals.

Each channel has a room of its own (`workers.alerts.room`): one that hangs, drips or refuses holds up no other, and takes no more
leases than it has room for.

The transaction that writes a row also leases it to its own process, which sends it right after the commit: without a
notification and without a read of the outbox. The queue `deliver` sends the others: rows that failed, rows of a worker that
died, and rows beyond a worker's capacity.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from schemas.tasks import DELIVER_QUEUE
from workers.alerts.channels import Channels
from workers.alerts.outbox_rows import DeliveryResult, OutboxRows
from workers.alerts.room import PARALLEL, Room
from workers.consumers.notifier import Notifier
from workers.errors import DeliveryError, DependencyUnavailableError, UnknownChannelError
from workers.ledger.ledger import Ledger
from workers.ledger.outbox import Message
from workers.ledger.unit_of_work import LEASE, Alerts
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.store import Store

MAX_SEND_DELAY = LEASE / 2
"""A leased alert that has waited longer for a thread is not sent: its lease might end first."""
PATIENCE_SECONDS = 2.0
"""How long `run` waits while no alert comes to an end, before it leaves those that are being sent to themselves."""

_OTHERS = ""
"""Stands for all channels that are no longer set up. Nothing is sent through them: their alerts are dropped."""

log = logging.getLogger("curbside.workers")


def _now() -> datetime:
    return datetime.now(UTC)


class OutboxRelay:
    """Sends the alerts of the outbox. Safe to share between threads, except `run`."""

    def __init__(
        self, ledger: Ledger, store: Store, notifier: Notifier, channels: Channels, clock: Callable[[], datetime] = _now
    ) -> None:
        self._store, self._notifier, self._channels, self._clock = store, notifier, channels, clock
        self._rows = OutboxRows(ledger)
        self._rooms = {name: Room(name) for name in channels.names}
        self._others = Room("others")

    @property
    def capacity(self) -> Mapping[str, int]:
        """For each channel, how many alerts `send_new` can start to send at once."""
        return {name: room.free for name, room in self._rooms.items()}

    def send_new(self, alerts: Alerts) -> int | None:
        """Start to send the alerts of a committed transaction. Returns when the outbox must be read, in epoch ms, or None.

        The caller must store that time (`Store.outbox_due`) no later than it acknowledges the events. A crash then loses no
        alert: events that are not acknowledged are applied again.
        """
        if not alerts:
            return None
        now = self._clock()
        for message in alerts.leased:
            self._start(message, now)
        if alerts.waiting:
            self._notifier.notify([DELIVER_QUEUE])
        return _epoch_ms(now if alerts.waiting else now + LEASE)

    def run(self) -> None:
        """Send every due alert, and store when the next one is due. Raises `DependencyUnavailableError`.

        It does not wait for calls that hang: their alerts are noted as failed at their deadline.
        """
        self._store.clear_notified(DELIVER_QUEUE)
        self._store.outbox_done()  # before the read: the writer of a later row stores its due time and notifies
        try:
            self._send_due()
            full = [name for name, room in self._rooms.items() if not room.free]
            next_due = self._rows.next_due(self._clock(), full)
        except BaseException:
            self._store.outbox_due(_epoch_ms(self._clock()))
            raise
        if next_due is not None:
            self._store.outbox_due(_epoch_ms(next_due))

    def close(self) -> None:
        """Finish the alerts that are being sent, as far as their deadlines allow; leave the rest."""
        rooms = [*self._rooms.values(), self._others]
        for room in rooms:
            room.close()
        for room in rooms:
            room.join()

    def _send_due(self) -> None:
        """Lease and send until nothing more is due for a channel that has room, or until nothing comes to an end any more."""
        more, sending = {*self._rooms, _OTHERS}, set[Future[None]]()
        while True:
            if asked := {name: room.free for name in more if (room := self._room(name)).free >= PARALLEL}:
                now, room_for = self._clock(), {name: asked.get(name, 0) for name in self._rooms}
                messages = self._rows.lease(now, room_for, asked.get(_OTHERS, 0))
                found = Counter(each.channel if each.channel in self._rooms else _OTHERS for each in messages)
                more -= {name for name, count in asked.items() if found[name] < count}
                sending |= {future for each in messages if (future := self._start(each, now))}
            busy = sending.union(*(self._room(name).jobs for name in more))
            if not busy:
                return
            done, _ = wait(busy, PATIENCE_SECONDS, FIRST_COMPLETED)
            if not done:
                return
            for each in sending & done:
                each.result()
            sending -= done

    def _room(self, channel: str) -> Room:
        return self._rooms.get(channel, self._others)

    def _start(self, message: Message, leased_at: datetime) -> Future[None] | None:
        """Send a leased alert in its channel's room. None if the worker is stopping: another sends it when the lease ends."""
        return self._room(message.channel).start(lambda: self._send_leased(message, leased_at))

    def _send_leased(self, message: Message, leased_at: datetime) -> None:
        if self._clock() > leased_at + MAX_SEND_DELAY or self._room(message.channel).is_stuck:
            return
        with _logging():
            self._send(message)

    def _send(self, message: Message) -> None:
        now = self._clock()
        try:
            self._room(message.channel).call(
                lambda limit: self._channels.send(message, now, limit), lambda: self._sent_late(message)
            )
        except DeliveryError as error:
            log.warning("alert not delivered through %s: %s; it will be retried", message.channel, error)
            self._store.outbox_due(_epoch_ms(self._rows.failed(message, str(error), self._clock())))
        except UnknownChannelError as error:
            log.warning("alert dropped: %s", error)
            self._rows.mark(DeliveryResult(message.idempotency_key, message.channel, now, was_dropped=True, error=str(error)))
        else:
            self._rows.mark(DeliveryResult(message.idempotency_key, message.channel, now))

    def _sent_late(self, message: Message) -> None:
        """A call that was given up has succeeded after all: the alert need not be sent again."""
        log.warning("alert delivered through %s after its deadline", message.channel)
        with suppress(Exception), _logging():  # it is sent again, under the same key
            self._rows.mark(DeliveryResult(message.idempotency_key, message.channel, self._clock()))


@contextmanager
def _logging() -> Iterator[None]:
    """Log what happens in a thread that nobody may be waiting for."""
    try:
        yield
    except (DependencyUnavailableError, *UNAVAILABLE) as error:
        what = error if isinstance(error, DependencyUnavailableError) else "Valkey"
        log.warning("the result of an alert cannot be stored, so it may be sent again: %s is unreachable", what)
        raise
    except Exception as error:
        log.error("a bug in sending an alert, it will be sent again: %s", type(error).__name__)  # noqa: TRY400 - may quote data
        raise


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
