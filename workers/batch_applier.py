"""The batch applier: applies a handler's batch in as few transactions as its events allow, and finds out who is to blame.

1. The whole batch is one transaction.
2. If an event is at fault, the batch is halved until that event stands alone. If one ends the process, or takes too long, they are
   tried one by one.
3. If another transaction holds a lock, or the database refuses a statement, a few single events are tried, in random order. If none
   can be applied, it is the database that is held up: the batch waits. If one can, the others are tried in small parts, then one by
   one. An event that still meets the lock is set aside and retried by itself. One that is still refused is at fault if the very
   statement worked for another, and still does; or else it is set aside, too.
4. An event must not block its stream for ever because no other is there to compare it with. So a few events may be set aside while
   nothing can be applied: at a lock at once, unless it is on a whole table; at a refusal after a minute (`Allowance`).
"""

import random
from collections.abc import Callable, Sequence
from math import isqrt
from time import monotonic
from typing import Generic, Protocol, TypeVar

from schemas.events import Event
from workers.alerts.outbox_relay import OutboxRelay
from workers.errors import DependencyUnavailableError, HandlerTimeoutError, HeldUpError, KilledWorkerError
from workers.handler import Handler
from workers.ledger.faults import Fault, fault_of, is_conflict, statement_of
from workers.ledger.ledger import Ledger, refused
from workers.ledger.unit_of_work import Applied
from workers.valkey.connection import UNAVAILABLE

WITNESSES = 8
"""The most single events that are tried to learn whether any can be applied."""
MAX_SET_ASIDE = 32
"""The most events of a batch that are set aside. If more are held up, the batch waits."""
BURST = 16
PERIOD_SECONDS = 10.0
GRACE_SECONDS = 60.0


class Claimed(Protocol):
    """An event that a batch names."""

    @property
    def event(self) -> Event:
        """The event."""


C = TypeVar("C", bound=Claimed)
Failed = list[tuple[C, Exception]]
"""Events that were not applied, or only in part, each with its error. `DependencyUnavailableError`: it is set aside."""


class Allowance:
    """How many events may be set aside while nothing of a handler can be applied.

    At a lock `BURST` at once and one more every `PERIOD_SECONDS`; at a refusal one every period after `GRACE_SECONDS`.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._taken = 0

    def reset(self) -> None:
        """Something was applied."""
        self._since, self._taken = None, 0

    def take(self, count: int, *, held_up: bool) -> bool:
        """Whether so many more may be set aside now."""
        now = monotonic()
        self._since = now if self._since is None else self._since
        waited = now - self._since - (0.0 if held_up else GRACE_SECONDS)
        earned = int(waited // PERIOD_SECONDS) + (BURST if held_up else 0)
        if self._taken + count > earned:
            return False
        self._taken += count
        return True


class BatchApplier:
    """Applies the batches of one handler."""

    def __init__(self, handler: Handler, ledger: Ledger, relay: OutboxRelay) -> None:
        self._handler, self._ledger, self._relay = handler, ledger, relay
        self._allowance = Allowance()

    def apply(
        self, claimed: Sequence[C], outbox_due: list[int], isolated: Callable[[Sequence[C]], Applied] | None = None
    ) -> Failed[C]:
        """Apply events. Returns those that failed, in whole or in part. `isolated`: applies them in another process.

        Adds to `outbox_due` when the outbox must be read, in epoch ms. Raises `DependencyUnavailableError` if the batch must wait.
        """

        def commit(part: Sequence[C], worked: set[str] | None) -> Failed[C]:
            if isolated is not None:
                applied = isolated(part)
            else:
                applied = self._ledger.apply(self._handler, [each.event for each in part], self._relay.capacity, worked)
            self._allowance.reset()
            due = self._relay.send_new(applied.alerts)
            outbox_due.extend([] if due is None else [due])
            return _failed_in_part(part, applied.failed)

        return _Batch(commit, self._ledger.has_locked_table, self._allowance).apply(claimed)


class _Batch(Generic[C]):
    """One batch. `commit` applies events in one transaction; `has_locked_table`: whether a lock concerns every event."""

    def __init__(
        self,
        commit: Callable[[Sequence[C], set[str] | None], Failed[C]],
        has_locked_table: Callable[[], bool],
        allowance: Allowance,
    ) -> None:
        self._commit, self._has_locked_table, self._allowance = commit, has_locked_table, allowance
        self._witness: C | None = None
        self._worked: set[str] = set()
        self._failed = Failed[C]()

    def apply(self, claimed: Sequence[C], *, quick: bool = False) -> Failed[C]:
        """Give each event its outcome."""
        if claimed and (error := self._try(claimed, quick=quick)) is not None:
            self._sift(claimed, error)
        return self._failed

    def _try(self, claimed: Sequence[C], *, quick: bool) -> Exception | None:
        """Apply events, or in halves those among which some are at fault. Returns an error that may be none of theirs."""
        try:
            self._failed += self._commit_again_after_conflict(claimed, self._worked if quick else None)
            self._witness = claimed[0]
        except HeldUpError as error:
            return error
        except (DependencyUnavailableError, *UNAVAILABLE):
            raise
        except Exception as error:  # a handler may raise anything: the fault is this event's, or one half's
            if fault_of(error) is Fault.IN_DOUBT:
                return error
            if len(claimed) == 1:
                self._failed.append((claimed[0], error))
                return None
            step = 1 if isinstance(error, KilledWorkerError | HandlerTimeoutError) else (len(claimed) + 1) // 2
        else:
            return None
        for at in range(0, len(claimed), step):
            self.apply(claimed[at : at + step], quick=quick)
        return None

    def _commit_again_after_conflict(self, claimed: Sequence[C], worked: set[str] | None) -> Failed[C]:
        try:
            return self._commit(claimed, worked)
        except HeldUpError as error:
            if not is_conflict(error):
                raise
        return self._commit(claimed, worked)

    def _sift(self, claimed: Sequence[C], error: Exception) -> None:
        """Apply those events that can be applied, and set aside or fail the others."""
        for each in random.sample(claimed, min(len(claimed), WITNESSES)) if len(claimed) > 1 else ():
            if self._witness is None:
                self._try([each], quick=True)
        settled = {id(each) for each, _ in self._failed} | {id(self._witness)}
        left = [each for each in claimed if id(each) not in settled]
        if self._witness is None:
            self._wait_or_set_aside(left, error)
            return
        suspects = Failed[C]()
        size = max(1, isqrt(len(left)))
        for part in [left[at : at + size] for at in range(0, len(left), size)]:
            if self._try(part, quick=True) is not None:
                suspects += self._one_by_one(part, MAX_SET_ASIDE - len(suspects), error)
        self._confirm(suspects)
        self._failed += [(each, found if statement_of(found) in self._worked else _outage(found)) for each, found in suspects]

    def _one_by_one(self, part: Sequence[C], most: int, error: Exception) -> Failed[C]:
        """Apply the events of a part singly. Returns those that cannot be applied; raises if they are too many."""
        suspects = Failed[C]()
        for each in part:
            if (found := self._try([each], quick=True)) is not None:
                suspects.append((each, found))
            if len(suspects) > most:
                raise _outage(error) from error
        return suspects

    def _confirm(self, suspects: Failed[C]) -> None:
        """What is refused is at fault only if what worked before still works. Raises `DependencyUnavailableError`."""
        refusals = [error for _, error in suspects if not isinstance(error, HeldUpError)]
        if refusals and self._witness is not None:
            known = list(self._failed)  # the witness may be among them, since a part of it cannot be read
            if self._try([self._witness], quick=True) is not None:
                raise _outage(refusals[0]) from refusals[0]
            self._failed = known

    def _wait_or_set_aside(self, claimed: Sequence[C], error: Exception) -> None:
        """Nothing of this batch could be applied: it waits, unless so few events may be set aside."""
        is_held_up = isinstance(error, HeldUpError)
        may_wait = is_held_up and self._has_locked_table()
        if may_wait or not self._allowance.take(len(claimed), held_up=is_held_up):
            raise _outage(error) from error
        self._failed += [(each, _outage(error)) for each in claimed]


def _outage(error: Exception) -> DependencyUnavailableError:
    return error if isinstance(error, DependencyUnavailableError) else refused(error)


def _failed_in_part(claimed: Sequence[C], failed: Sequence[tuple[Event, Exception]]) -> Failed[C]:
    """The claimed events that the handler gave to `UnitOfWork.fail`, each once, with the first error."""
    errors: dict[str, Exception] = {}
    for event, error in failed:
        errors.setdefault(event.event_id, error)
    return [(each, errors[each.event.event_id]) for each in claimed if each.event.event_id in errors]
