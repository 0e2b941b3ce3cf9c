"""Trimming keeps up with the inbox, and passes no event that waits for any handler, also of one that this process does not know."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from schemas import keys
from schemas.stream_groups import StreamId, stream_id
from tests.support.valkey_servers import RealValkey
from tests.support.worker_parts import WorkerParts
from workers.housekeeping import Housekeeping
from workers.valkey.inbox_trimmer import InboxTrimmer, Needed

EVERYTHING: StreamId = (1 << 50, 0)
NEVER = timedelta(0)


@pytest.fixture
def parts(real_server: RealValkey) -> Iterator[WorkerParts]:
    """Workers on Valkey and on Redis 7.0. Streams have nodes of one entry, so that each trim is seen."""
    made = WorkerParts(real_server.url)
    nodes = made.client.config_get("stream-node-max-entries")["stream-node-max-entries"]
    made.client.config_set("stream-node-max-entries", 1)
    yield made
    made.client.config_set("stream-node-max-entries", nodes)
    made.close()


FILL = """
local body = string.rep('y', ARGV[2])
for number = 0, ARGV[1] - 1 do redis.call('XADD', KEYS[1], string.format('%d-0', 1000 + number), 'b', body) end
"""


def fill(parts: WorkerParts, count: int, size: int = 1) -> list[str]:
    """Append handled entries with bodies of a size. Return their ids."""
    parts.client.eval(FILL, 1, keys.INBOX, count, size)
    parts.client.xgroup_create(keys.INBOX, keys.GROUP, "$")
    return [f"{1000 + number}-0" for number in range(count)]


def wait_for_handler(parts: WorkerParts, handler: str, *events: str) -> None:
    """Write a claim check, and count it, as a route or a replay does."""
    parts.client.xadd(keys.todo(handler), {keys.FIELD_EVENT: " ".join(events)})
    parts.client.hincrby(keys.COUNTERS, keys.Counter.routed(handler), len(events))
    parts.client.hincrby(keys.COUNTERS, keys.Counter.waiting(handler), len(events))


def first_kept(parts: WorkerParts) -> str:
    ((name, _),) = parts.client.xrange(keys.INBOX, count=1)
    return str(name.decode())


@pytest.mark.parametrize(("count", "size"), [(60_000, 1), (30_000, 700), (150, 100_000)])
def test_one_run_removes_all_that_is_old_however_much_it_is(real_server: RealValkey, count: int, size: int) -> None:
    parts = WorkerParts(real_server.url)
    fill(parts, count, size)
    Housekeeping(parts.store, [], NEVER).run()
    assert parts.client.xlen(keys.INBOX) <= max(1, min(100, 4096 // size + 1)), "a node at the most is left"
    parts.close()


def test_a_step_is_short_whatever_is_left_to_remove(real_server: RealValkey) -> None:
    """Each step removes some thousand entries: counted in steps, since a test does not measure time."""
    parts = WorkerParts(real_server.url)
    fill(parts, 30_000, 100)
    trimmer, steps = InboxTrimmer(parts.store, []), 0

    def one_more() -> bool:
        nonlocal steps
        steps += 1
        return False

    trimmer.trim(EVERYTHING, one_more)
    assert steps >= 6
    left = parts.client.xlen(keys.INBOX)
    assert trimmer.trim(EVERYTHING, one_more) == 0
    assert parts.client.xlen(keys.INBOX) == left
    parts.close()


def test_a_trim_that_is_over_goes_on_in_the_next_run(parts: WorkerParts) -> None:
    fill(parts, 50)
    trimmer = InboxTrimmer(parts.store, [])
    assert trimmer.trim(EVERYTHING, lambda: True) == 0
    assert trimmer.trim(EVERYTHING, lambda: False) == 49


def test_what_waits_for_a_handler_that_this_process_does_not_know_is_kept(parts: WorkerParts) -> None:
    names = fill(parts, 10)
    wait_for_handler(parts, "loyalty", names[7])
    wait_for_handler(parts, "refunds", names[8])
    Housekeeping(parts.store, ["refunds"], NEVER).run()
    assert first_kept(parts) == names[7]


def test_claim_checks_behind_many_others_are_found(parts: WorkerParts) -> None:
    names = fill(parts, 10)
    pipeline = parts.client.pipeline(transaction=True)
    for _ in range(2_500):
        pipeline.xadd(keys.todo("refunds"), {keys.FIELD_EVENT: names[9]})
    pipeline.execute()
    wait_for_handler(parts, "refunds", names[3], names[9])
    Housekeeping(parts.store, [], NEVER).run()
    assert first_kept(parts) == names[3]


def test_a_claim_check_that_contains_its_body_holds_nothing_back(parts: WorkerParts) -> None:
    names = fill(parts, 10)
    parts.client.xadd(keys.todo("refunds"), {keys.FIELD_EVENT: names[0], keys.FIELD_PROVIDER: "x", keys.FIELD_BODY: b"z"})
    Housekeeping(parts.store, ["refunds"], NEVER).run()
    assert first_kept(parts) == names[9]


class Interrupted(InboxTrimmer):
    """Something happens after the todo streams were read, and before the first entry is removed."""

    meanwhile: Callable[[], None] | None = None

    def needed(self) -> Needed | None:
        """Read what is needed, then do it."""
        found, do, self.meanwhile = super().needed(), self.meanwhile, None
        if do:
            do()
        return found


@pytest.mark.parametrize("handler", ["refunds", "loyalty"])
def test_what_is_replayed_between_look_and_trim_is_kept(parts: WorkerParts, handler: str) -> None:
    names = fill(parts, 10)
    trimmer = Interrupted(parts.store, ["refunds"])
    trimmer.meanwhile = lambda: wait_for_handler(parts, handler, names[4])
    assert trimmer.trim(EVERYTHING, lambda: False) == 4
    assert first_kept(parts) == names[4]


def test_entries_that_nobody_has_read_or_acknowledged_are_kept(parts: WorkerParts) -> None:
    names = fill(parts, 10)
    parts.client.execute_command("XGROUP", "SETID", keys.INBOX, keys.GROUP, names[6])
    (first, _) = (entry.id for entry in parts.read_new(count=2))
    Housekeeping(parts.store, [], NEVER).run()
    assert first == first_kept(parts) == names[7]
    parts.client.xack(keys.INBOX, keys.GROUP, *names[7:9])
    assert stream_id(first) < EVERYTHING


def test_the_retention_is_kept(parts: WorkerParts) -> None:
    now_ms = int(time.time() * 1000)
    for age_ms in (7_200_000, 3_700_000, 3_500_000, 5):
        parts.client.execute_command("XADD", keys.INBOX, f"{now_ms - age_ms}-0", "b", "y")
    parts.client.xgroup_create(keys.INBOX, keys.GROUP, "$")
    Housekeeping(parts.store, [], timedelta(hours=1)).run()
    assert parts.client.xlen(keys.INBOX) == 2


def test_what_a_script_that_was_stopped_has_still_to_route_is_kept(parts: WorkerParts) -> None:
    names = fill(parts, 10)
    text = "s1:1s13:1795617870757t{}t0:t0:"
    add = "".join(f"s{len(part)}:{part}" for part in (keys.todo("refunds"), "e", f"{names[4]} {names[6]}"))
    adds = f"t{len(add)}:{add}"
    parts.client.set(f"{keys.TAG}:unfinished", text.replace("t{}", f"t{len(adds)}:{adds}"))
    assert InboxTrimmer(parts.store, []).trim(EVERYTHING, lambda: False) == 4
    assert first_kept(parts) == names[4]
    parts.client.delete(f"{keys.TAG}:unfinished")
