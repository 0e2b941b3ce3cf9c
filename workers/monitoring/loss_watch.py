"""The thread of every worker that keeps the mark of the inbox in the ledger, and records a loss. Nothing waits for it."""

import logging
import threading
from datetime import UTC, datetime

import redis

from schemas import keys
from workers.errors import DependencyUnavailableError
from workers.ledger.inbox_marks import Loss, Mark, confirm_losses, read_marks, write_loss, write_mark
from workers.ledger.ledger import Ledger
from workers.monitoring.inbox_losses import find_loss, mark_of, text_of
from workers.valkey.history import name_history, read_history, server_of

PERIOD_SECONDS = 2.0
_SUMMARY_SECONDS = 60

log = logging.getLogger("curbside.workers")


class LossWatch:
    """Looks every two seconds. It writes to the ledger only if something has changed that no other worker has noted."""

    def __init__(
        self, client: redis.Redis, ledger: Ledger, stopping: threading.Event, period_seconds: float = PERIOD_SECONDS
    ) -> None:
        self._client, self._ledger, self._stopping, self._period_seconds = client, ledger, stopping, period_seconds
        self._server: tuple[str, ...] | None = None

    def start(self) -> None:
        """Start the thread. It ends with the worker."""
        threading.Thread(target=self._run, name="loss-watch", daemon=True).start()

    def look(self) -> None:
        """Look once. Raises `DependencyUnavailableError` and the errors of redis-py."""
        self._ledger.migrate()
        mark, losses = read_marks(self._ledger)  # before the history, so that this is never the older of the two
        name_history(self._client)
        history, now = read_history(self._client), datetime.now(UTC)
        new = mark_of(history, now)
        server = server_of(self._client)
        is_other, self._server = server != self._server, server
        if loss := find_loss(self._client, mark, history, now, counts=is_other):
            self._record(loss, new)
            losses = [loss, *losses]
        elif new and self._is_worth_writing(mark, new):
            with self._ledger.begin() as connection:
                write_mark(connection, new)
        self._summarize([each for each in losses if each.confirmed_at is None])

    def _is_worth_writing(self, mark: Mark | None, new: Mark) -> bool:
        """Whether it says something new, and no other worker has written a moment ago."""
        if mark is None or mark.epoch != new.epoch:
            return True
        if mark._replace(marked_at=new.marked_at) == new:
            return False
        return not 0 <= (new.marked_at - mark.marked_at).total_seconds() < self._period_seconds / 2

    def _record(self, loss: Loss, new: Mark | None) -> None:
        with self._ledger.begin() as connection:
            is_new = write_loss(connection, loss)
            if new:
                write_mark(connection, new)
        if is_new:
            log.error("%s; see `curbside loss`", text_of(loss))

    def _summarize(self, losses: list[Loss]) -> None:
        """Tell /metrics, which knows no ledger."""
        if losses:
            self._client.set(keys.LOSSES, f"{len(losses)} {sum(each.events for each in losses)}", ex=_SUMMARY_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._period_seconds):
            try:
                self.look()
            except (DependencyUnavailableError, redis.RedisError) as error:
                log.debug("the mark of the inbox was not kept: %s", type(error).__name__)
            except Exception as error:  # a bug here must not end the watch
                log.error("a bug in the watch for losses: %s", type(error).__name__)  # noqa: TRY400 - may quote data


def confirm_all(client: redis.Redis, ledger: Ledger, by: str, note: str) -> int:
    """Record what no worker has noticed yet, then confirm every loss. Returns how many. Raises `DependencyUnavailableError`."""
    LossWatch(client, ledger, threading.Event()).look()
    count = confirm_losses(ledger, datetime.now(UTC), by, note)
    client.delete(keys.LOSSES)
    return count
