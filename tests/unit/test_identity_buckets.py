"""Identities are remembered for the deduplication window, also when it changes, and their end never stalls Valkey."""

from collections.abc import Iterator

import pytest

from schemas import keys
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from tests.unit.dispatching import HOUR_MS, dispatcher_of

LARGE = 10_001
"""More identities than may end by the lifetime of their bucket."""


@pytest.fixture
def parts(real_server: RealValkey) -> Iterator[WorkerParts]:
    made = WorkerParts(real_server.url)
    yield made
    made.close()


def dispatch(parts: WorkerParts, body: bytes, seen_ms: int = HOUR_MS) -> None:
    parts.append(body)
    dispatcher_of(parts, seen_ms)(parts.read_new())


def buckets(parts: WorkerParts) -> set[bytes]:
    return set(parts.client.scan_iter(f"{keys.SEEN_PREFIX}*"))


def enlarge(parts: WorkerParts, bucket: bytes) -> None:
    parts.client.hset(bucket, mapping={f"identity-{number}": "1-0" for number in range(LARGE)})


@pytest.mark.parametrize("changed", [0.3, 0.5, 1.5, 4], ids=str)
def test_a_changed_deduplication_window_forgets_nothing(parts: WorkerParts, changed: float) -> None:
    body = status("a")
    dispatch(parts, body)
    dispatch(parts, body, int(HOUR_MS * changed))
    assert parts.sums().count("duplicate") == 1
    dispatch(parts, body)
    assert parts.sums().count("duplicate") == 2


def test_identities_that_release_0_1_remembers_are_known_and_it_finds_ours(parts: WorkerParts) -> None:
    body = status("a")
    dispatch(parts, body)
    (ours,) = buckets(parts)
    number = int(parts.client.time()[0] * 1000 // (HOUR_MS // 2))
    assert ours == f"{keys.SEEN_PREFIX}{number}".encode(), "release 0.1 computes this name"
    before = f"{keys.SEEN_PREFIX}{number - 1}"
    parts.client.rename(ours, before)
    parts.client.delete(keys.SEEN_BUCKETS)
    dispatch(parts, body)
    assert parts.sums().count("duplicate") == 1


def test_a_large_bucket_outlives_its_window_and_is_unlinked_by_the_next_event(parts: WorkerParts) -> None:
    seen_ms = 400
    dispatch(parts, status("a"), seen_ms)
    (large,) = buckets(parts)
    enlarge(parts, large)

    def begins_another_bucket() -> bool:
        dispatch(parts, status("b"), seen_ms)
        return buckets(parts) > {large}

    wait_for(begins_another_bucket, what="the next half of the window")
    assert parts.client.pttl(large) > HOUR_MS, "it must not end by its lifetime: that would stall a Redis 7.0"

    def is_gone() -> bool:
        dispatch(parts, status("c"), seen_ms)
        return large not in buckets(parts)

    wait_for(is_gone, what="the window to be over")
    assert parts.client.info("commandstats")["cmdstat_unlink"]["calls"] >= 1
    assert parts.client.zscore(keys.SEEN_BUCKETS, large) is None


def test_a_large_bucket_of_release_0_1_does_not_expire_after_the_upgrade(parts: WorkerParts) -> None:
    dispatch(parts, status("a"))
    (present,) = buckets(parts)
    before = f"{keys.SEEN_PREFIX}{int(present.rpartition(b':')[2]) - 1}".encode()
    enlarge(parts, before)
    parts.client.pexpire(before, HOUR_MS)
    parts.client.delete(keys.SEEN_BUCKETS)
    dispatch(parts, status("b"))
    assert parts.client.pttl(before) > 24 * HOUR_MS
    assert parts.client.zscore(keys.SEEN_BUCKETS, before) is not None


def test_every_key_of_identities_has_a_lifetime(parts: WorkerParts) -> None:
    dispatch(parts, status("a"))
    for key in (*buckets(parts), keys.SEEN_BUCKETS):
        assert parts.client.pttl(key) > HOUR_MS
