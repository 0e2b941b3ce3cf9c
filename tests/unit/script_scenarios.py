"""What the workers' scripts do, each as a step that a worker repeats until it succeeds, and what must be true then."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas import keys
from schemas.failures import Failure, FailureState, Reason
from schemas.request_context import NO_CONTEXT
from tests.support.event_sums import BUILT_IN, failures, pending
from tests.support.settings import make_settings
from tests.support.worker_parts import WorkerParts, refund, status
from tests.unit.dispatching import CUT_OFF, HOUR_MS, dispatcher_of
from workers.errors import FailureNotFoundError
from workers.event_decoder import EventDecoder
from workers.failures.failure_store import FailureStore
from workers.handler import registered
from workers.replay import Replay, ReplayFilter
from workers.valkey.entries import events_in
from workers.valkey.store import HandledCheck

UNKNOWN = b'{"event": "fulfillment.levitating", "order_id": "c", "timestamp": "2026-03-02T08:00:00Z"}'


class Scenario(NamedTuple):
    """`step` is one attempt; it is called again after a stop. `check` fails unless all has happened exactly once."""

    step: Callable[[], object]
    check: Callable[[], None]


def dispatch(parts: WorkerParts, *, reads_again: bool = True) -> Scenario:
    """A batch of each kind of entry. `reads_again`: each attempt reads what is pending, else it has the same batch."""
    twice = status("a")
    parts.append(status("before"))
    dispatcher_of(parts)(parts.read_new())
    twice_ids = parts.append(twice, twice)
    refunded, unknown = parts.append(refund("b", "bread"), UNKNOWN)
    undecodable = parts.append(CUT_OFF)
    first = parts.read_new()
    batches = [first]

    def step() -> None:
        if batches:
            dispatcher_of(parts)(batches.pop() if reads_again else batches[0])
        elif again := parts.store.read_own(keys.INBOX, "one", "0", 100):
            dispatcher_of(parts)(again)

    def check() -> None:
        found = parts.sums()
        assert found.counters == {
            "routed": 4,
            "routed:timeline": 4,
            "routed:refunds": 1,
            "duplicate": 1,
            "undecodable": 1,
            "unrecognised": 1,
        }
        assert parts.waiting_for("timeline")[1:] == [twice_ids[0], refunded, unknown]
        assert parts.waiting_for("refunds") == [refunded]
        assert list(failures(parts.client)) == [f"dispatch:{each}" for each in undecodable]
        assert parts.client.hgetall(keys.UNRECOGNISED) == {b"fulfillment.levitating": b"1"}
        assert pending(parts.client) == 0

    return Scenario(step, check)


def dispatch_same_batch(parts: WorkerParts) -> Scenario:
    """The worker has the batch still and does not read it again."""
    return dispatch(parts, reads_again=False)


def dispatch_claimed(parts: WorkerParts) -> Scenario:
    """The batch was claimed from a worker that died."""
    parts.append(status("a"), CUT_OFF)
    parts.read_new(consumer="dead")

    def step() -> None:
        if batch := parts.store.claim(keys.INBOX, "alive", 0, 100):
            dispatcher_of(parts)(batch)

    def check() -> None:
        assert parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}
        assert len(parts.waiting_for("timeline")) == len(failures(parts.client)) == 1
        assert pending(parts.client) == 0

    return Scenario(step, check)


def acknowledge(parts: WorkerParts) -> Scenario:
    """A handler's batch: three events are applied, one is to be retried, one is dead."""
    ids = parts.append(*(status(f"order-{number}") for number in range(5)))
    dispatcher_of(parts)(parts.read_new(count=2))
    dispatcher_of(parts)(parts.read_new())
    stream = keys.todo("timeline")
    batch = parts.read_new(stream)
    failed = [failure_of(ids[0], "timeline", FailureState.RETRYING), failure_of(ids[3], "timeline")]
    of_checks = [failed[:1], failed[1:]]

    def step() -> None:
        done = [HandledCheck(entry.id, events_in(entry), 0, its) for entry, its in zip(batch, of_checks, strict=True)]
        parts.store.ack_batch("timeline", done, 1_000)

    def check() -> None:
        counters = {"routed": 5, "routed:timeline": 5, "applied:timeline": 3, "failed:timeline": 2}
        assert parts.sums().counters == counters
        assert failures(parts.client) == {each.field: each for each in failed}
        assert parts.client.zrange(keys.RETRIES, 0, -1, withscores=True) == [(failed[0].field.encode(), 1.0)]
        assert parts.store.outbox_due_at() == 1_000
        assert pending(parts.client) == 0

    return Scenario(step, check)


def resolve(parts: WorkerParts) -> Scenario:
    """A retry succeeds although a person has discarded the failure meanwhile."""
    store, failure = failed_event(parts)
    store.take_due(2)
    store.discard("timeline", failure.event_id, "not owed")

    def check() -> None:
        found = parts.sums().counters
        assert found["applied:timeline"] == 1
        assert found["failed:timeline"] == found["discarded:timeline"] == 0
        assert not failures(parts.client)
        assert not parts.client.zcard(keys.RETRIES) + parts.client.zcard(keys.IN_FLIGHT)

    return Scenario(lambda: store.resolve(failure), check)


def discard(parts: WorkerParts) -> Scenario:
    """A person discards a failure and presses the button until it is discarded."""
    store, failure = failed_event(parts)

    def step() -> None:
        with suppress(FailureNotFoundError):  # it is discarded already
            store.discard("timeline", failure.event_id, "not owed")

    def check() -> None:
        found = store.get("timeline", failure.event_id)
        assert (found.state, found.note) == (FailureState.DISCARDED, "not owed")
        assert parts.sums().count("discarded:timeline") == 1
        store.retry("timeline", failure.event_id, 5)
        store.discard("timeline", failure.event_id, "not owed")
        assert parts.sums().count("discarded:timeline") == 1
        assert not parts.client.zcard(keys.RETRIES) + parts.client.zcard(keys.IN_FLIGHT)

    return Scenario(step, check)


def decode_at_last(parts: WorkerParts) -> Scenario:
    """A body that could not be decoded now can, by a release that knows it."""
    (event_id,) = parts.append(CUT_OFF)
    dispatcher_of(parts)(parts.read_new())
    store = FailureStore(parts.client)
    failure = store.get(keys.DISPATCH, event_id)
    event = EventDecoder(UTC).decode("instacart", UNKNOWN, event_id, NO_CONTEXT)

    def check() -> None:
        found = {name: count for name, count in parts.sums().counters.items() if count}
        assert found == {"routed": 1, "routed:timeline": 1, "routed:refunds": 1, "unrecognised": 1}
        assert parts.waiting_for("timeline") == parts.waiting_for("refunds") == [event_id]
        assert parts.client.hgetall(keys.UNRECOGNISED) == {b"levitating": b"1"}
        assert not failures(parts.client)

    def step() -> None:
        store.resolve_decoded(failure, event, ["timeline", "refunds"], HOUR_MS, "levitating")

    return Scenario(step, check)


def replay(parts: WorkerParts) -> Scenario:
    """A person replays two events until the command succeeds. What a stop leaves is counted, so it may be replayed twice."""
    ids = parts.append(status("a"), refund("b", "bread"))
    dispatcher_of(parts)(parts.read_new())
    for handler in ("timeline", "refunds"):
        parts.store.ack_batch(
            handler, [HandledCheck(each.id, events_in(each), 0, ()) for each in parts.read_new(keys.todo(handler))]
        )
    handlers = [each for each in registered() if each.name in BUILT_IN]
    replayed = Replay(parts.client, make_settings(), handlers, [])
    yesterday = ReplayFilter(datetime.now(UTC) - timedelta(days=1))

    def check() -> None:
        parts.sums()
        assert set(parts.waiting_for("timeline")) == set(ids)
        assert set(parts.waiting_for("refunds")) == set(ids[1:])

    return Scenario(lambda: replayed.run(yesterday), check)


def failed_event(parts: WorkerParts) -> tuple[FailureStore, Failure]:
    """An event of the timeline that failed and is to be retried."""
    (event_id,) = parts.append(status("a"))
    dispatcher_of(parts)(parts.read_new())
    (check,) = parts.read_new(keys.todo("timeline"))
    failure = failure_of(event_id, "timeline", FailureState.RETRYING)
    parts.store.ack_batch("timeline", [HandledCheck(check.id, 1, 0, [failure])])
    return FailureStore(parts.client), failure


def failure_of(event_id: str, handler: str, state: FailureState = FailureState.DEAD) -> Failure:
    """A failure of an event; if it is to be retried, at once."""
    due = 1 if state is FailureState.RETRYING else 0
    return Failure(
        event_id=event_id,
        handler=handler,
        provider="instacart",
        reason=Reason.HANDLER_ERROR,
        message="",
        body=b"{}",
        state=state,
        next_at_ms=due,
    )
