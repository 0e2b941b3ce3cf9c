"""A Valkey that uses more than its limit, which anybody may lower: what waits is worked off, and status says what is wrong."""

from pathlib import Path

import redis

from schemas import keys
from tests.support.command_line import curbside
from tests.support.event_sums import sums
from tests.support.live_deployment import Worker
from tests.support.settings import environment_for_tests
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import status


def test_workers_work_off_what_waits_in_a_valkey_that_is_over_its_limit(real_server: RealValkey, tmp_path: Path) -> None:
    given = {"REDIS_URL": real_server.url, "DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.db'}"}
    with redis.Redis.from_url(real_server.url) as client:
        for number in range(300):
            client.xadd(keys.INBOX, {keys.FIELD_PROVIDER: "instacart", keys.FIELD_BODY: status(f"o-{number}")})
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        said = curbside("status", environment=environment_for_tests(**given))
        assert "unreachable for every write: Valkey (OutOfMemoryError)" in said.errors or "OOM" in said.errors, said
        worker = Worker("worker", tmp_path, **given)
        try:
            worker.start()
            wait_for(lambda: client.hget(keys.COUNTERS, "applied:timeline") == b"300", 60, "all to be applied")
            wait_for(lambda: client.xlen(keys.INBOX) < 300, 30, "handled bodies to leave the inbox")
        finally:
            worker.discard()
        client.config_set("maxmemory", 0)
        assert sums(client).is_settled
