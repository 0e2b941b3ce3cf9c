"""When Valkey is nearly full, handled bodies go before new events are refused, and nothing that waits."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from schemas import keys
from tests.support.command_line import in_process
from tests.support.settings import environment_for_tests
from tests.support.valkey_servers import RealValkey
from tests.support.worker_parts import WorkerParts
from tests.unit.test_inbox_trimmer import fill, first_kept, wait_for_handler
from workers.monitoring.status import read_streams
from workers.valkey.memory_relief import BEGIN_SHARE, MemoryRelief

AN_HOUR_MS = 3_600_000
COUNT = 4_000


def used_share(parts: WorkerParts) -> float:
    memory = parts.client.info("memory")
    return float(memory["used_memory"] / memory["maxmemory"])


def limit_memory(parts: WorkerParts, share: float) -> None:
    """Set the memory limit so that this share of it is in use."""
    parts.client.config_set("maxmemory", int(parts.client.info("memory")["used_memory"] / share))


def test_below_the_limit_nothing_goes(real_server: RealValkey) -> None:
    parts = WorkerParts(real_server.url)
    fill(parts, 100, 700)
    relief = MemoryRelief(parts.store, ["refunds"], AN_HOUR_MS)
    assert relief.run_once() == 0, "no limit is set"
    limit_memory(parts, BEGIN_SHARE - 0.1)
    assert relief.run_once() == 0
    assert parts.client.xlen(keys.INBOX) == 100
    parts.close()


def test_a_full_valkey_is_freed_and_takes_events_again(real_server: RealValkey, migrated_sqlite: Path) -> None:
    parts = WorkerParts(real_server.url)
    names = fill(parts, COUNT, 4_000)
    wait_for_handler(parts, "loyalty", names[COUNT - 10])
    limit_memory(parts, 1.02)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        parts.append(b"no room")
    assert read_streams(parts.client, [], datetime.now(UTC))[0].received == COUNT, "the status can be read while it is full"
    relief = MemoryRelief(parts.store, ["refunds"], AN_HOUR_MS)
    while relief.run_once():
        assert parts.client.xrange(keys.INBOX, names[COUNT - 10], names[COUNT - 10]), "it waits for a handler"
    assert used_share(parts) <= BEGIN_SHARE
    parts.append(b"there is room")
    environment = environment_for_tests(REDIS_URL=real_server.url, DATABASE_URL=f"sqlite:///{migrated_sqlite}")
    assert json.loads(in_process("status", "--json", environment=environment).output)["trimmed_early_to"] is not None
    assert "left the inbox early, and cannot be replayed" in in_process("status", environment=environment).output
    assert 0 < parts.client.pttl(keys.TRIMMED_EARLY) <= AN_HOUR_MS
    parts.close()


def test_what_waits_is_kept_however_full_it_is(real_server: RealValkey) -> None:
    parts = WorkerParts(real_server.url)
    names = fill(parts, COUNT, 4_000)
    wait_for_handler(parts, "refunds", names[5])
    limit_memory(parts, 1.02)
    relief = MemoryRelief(parts.store, ["refunds"], AN_HOUR_MS)
    while relief.run_once():
        pass
    assert first_kept(parts) == names[5]
    parts.close()
