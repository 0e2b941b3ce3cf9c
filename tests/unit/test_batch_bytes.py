"""Batches are bounded in bytes as well as in number: how many are read, what is decoded at once, what one script call stores."""

import gzip
import json
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any

import pytest

from schemas import keys
from schemas.failures import Failure
from tests.support.worker_parts import WorkerParts, status
from workers.consumers.batch_size import DISPATCH_BATCH as MOST
from workers.consumers.batch_size import FIRST_READ, MAX_BATCH_BYTES, LearnedCount
from workers.dispatcher import Dispatcher, Router, decode_batches
from workers.errors import HandlerError
from workers.event_decoder import EventDecoder
from workers.handler import handler, registered
from workers.valkey.entries import Batch, Entry
from workers.valkey.store import Routed, Store

MIB = 1 << 20


def bodies_read(sizes: Sequence[int]) -> Iterator[int]:
    """How many bytes are read at once by a consumer whose stream holds bodies of these sizes."""
    count, at = LearnedCount(MOST), 0
    while part := sizes[at : at + count.value]:
        at += len(part)
        count.learn(len(part), sum(part))
        yield sum(part)


def test_large_bodies_are_read_a_few_at_a_time_from_the_first_read_on() -> None:
    assert max(bodies_read([MIB] * 1024)) <= MAX_BATCH_BYTES
    assert FIRST_READ * MIB <= MAX_BATCH_BYTES


def test_small_bodies_are_soon_read_in_full_batches() -> None:
    reads = list(bodies_read([700] * 10_000))
    assert reads[3] == MOST * 700
    assert len(reads) < 14


def test_large_bodies_behind_small_ones_are_a_batch_too_large_once() -> None:
    reads = list(bodies_read([700] * 20_000 + [MIB] * 4096))
    assert len([read for read in reads if read > 2 * MAX_BATCH_BYTES]) <= 1


def test_bodies_that_grow_when_decompressed_are_decoded_a_few_at_a_time() -> None:
    note = {**json.loads(status("a")), "note": "x" * (MIB - 1000)}
    body = gzip.compress(json.dumps(note).encode())
    entries = [Entry(f"{number}-1", {keys.FIELD_PROVIDER: b"instacart", keys.FIELD_BODY: body}) for number in range(1, 65)]
    batches = list(decode_batches(entries, Router(registered()), EventDecoder(UTC), 0))
    sizes = [sum(len(plain) for _, plain in batch.events) for batch in batches]
    assert sum(len(batch.routed) for batch in batches) == 64
    assert max(sizes) <= MAX_BATCH_BYTES + MIB
    assert len(body) * 64 < MIB, "as they are stored, they are one small batch"


class RecordingStore(Store):
    """Records how many bytes of bodies each commit stores as failures."""

    stored: list[int]

    def route(
        self,
        handlers: Sequence[str],
        decoded: Sequence[Routed],
        undecodable: Sequence[Failure],
        seen_ms: int,
        batch: Batch | None = None,
    ) -> list[str]:
        """Record, and route."""
        self.stored.append(sum(len(failure.body) for failure in undecodable))
        return super().route(handlers, decoded, undecodable, seen_ms, batch)


def test_undecodable_bodies_are_stored_a_few_in_a_call_and_each_once(real_worker_parts: WorkerParts) -> None:
    count = 40
    for _ in range(count):
        real_worker_parts.append(b'"' + b"x" * (MIB - 2))
    store = RecordingStore(real_worker_parts.client)
    store.stored = []
    decoder = EventDecoder(UTC)
    Dispatcher(store, real_worker_parts.notifier, Router(registered()), decoder=decoder, seen_ms=60_000).process(
        real_worker_parts.read_new()
    )
    assert sum(store.stored) == count * (MIB - 1)
    assert max(store.stored) <= MAX_BATCH_BYTES + MIB
    assert real_worker_parts.sums().count("undecodable") == count


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"batch": 0}, "batch=0: expected a whole number of events, 1 or more"),
        ({"batch": 1.5}, "batch=1.5"),
        ({"batch": True}, "batch=True"),
        ({"timeout": 0}, "timeout=0: expected a timedelta or seconds, more than 0"),
        ({"timeout": "5s"}, "timeout='5s'"),
    ],
)
def test_a_wrong_limit_of_a_handler_is_an_error_that_says_what_is_expected(limits: dict[str, Any], words: str) -> None:
    with pytest.raises(HandlerError) as raised:
        handler("limited", **limits)
    assert str(raised.value).startswith(f"handler 'limited': {words}")
