"""A rolling upgrade: processes of the previous release and of today work side by side, on one Valkey and one ledger.

The previous release is run from the history of this repository, under the packages of today.
"""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
import redis

from schemas import keys
from schemas.decoding import decode
from schemas.events import Event
from schemas.failures import DecodeError
from tests.bench.bodies import mixed
from tests.support.command_line import REPOSITORY, curbside
from tests.support.event_sums import failures, pending, refunded_lines, sums
from tests.support.ingress_client import ProviderClient, ProviderPost
from tests.support.ledger_fixture import reading_ledger
from tests.support.live_deployment import Ingress, Program, Worker
from tests.support.settings import environment_for_tests
from tests.support.valkey_servers import broker_of
from tests.support.waiting import wait_for
from workers.ledger.tables import order_events, outbox, refunds, replacements

OLD_COMMIT = "65af73e"
EVENTS, STAGES, SEED = 600, 6, 20261125
BAD = b'{"event": "fulfillment.picking", "timestamp": "2026-03-02T08:00:00Z"}'


def _has_history() -> bool:
    found = subprocess.run(
        ["git", "cat-file", "-e", f"{OLD_COMMIT}^{{commit}}"], cwd=REPOSITORY, capture_output=True, check=False
    )
    return found.returncode == 0


pytestmark = pytest.mark.skipif(not _has_history(), reason=f"the history does not reach back to 0.1.0 ({OLD_COMMIT})")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The code of the previous release."""
    archive, folder = tmp_path / "old.tar", tmp_path / "old"
    subprocess.run(["git", "archive", f"--output={archive}", OLD_COMMIT], cwd=REPOSITORY, check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    asked = [sys.executable, "-c", "import workers; print(workers.__file__)"]
    assert subprocess.check_output(asked, cwd=folder, text=True).startswith(str(folder)), "it is its own code that runs there"
    return folder


class Deployment:
    """Processes of both releases; each keeps its log over all its runs."""

    def __init__(self, folder: Path, old: Path, **environment: str) -> None:
        for name in ("old-ingress", "new-ingress"):
            (folder / name).mkdir()
        self.old_ingress = Ingress(folder / "old-ingress", **environment).with_code_from(old)
        self.new_ingress = Ingress(folder / "new-ingress", **environment)
        self.old_worker, self.new_worker = (
            Worker("old", folder, **environment).with_code_from(old),
            Worker("new", folder, **environment),
        )
        self.all: list[Program] = [self.old_ingress, self.new_ingress, self.old_worker, self.new_worker]

    def run_just(self, *wanted: Program) -> None:
        """Start those that do not run, then stop the others in an orderly way: as a rolling upgrade does."""
        started = [each for each in wanted if not each.is_running]
        for each in started:
            each.start()
        for each in started:
            each.wait_until_ready()
        for each in self.all:
            if each not in wanted and each.is_running:
                each.terminate()
                each.wait()

    def stages(self) -> list[tuple[Ingress, tuple[Program, ...]]]:
        """Who works beside whom, one stage after the other, forwards and back again."""
        return [
            (self.old_ingress, (self.old_worker,)),
            (self.old_ingress, (self.old_worker, self.new_worker)),
            (self.old_ingress, (self.new_worker,)),
            (self.new_ingress, (self.new_worker, self.old_worker)),
            (self.new_ingress, (self.old_worker,)),
            (self.new_ingress, (self.new_worker,)),
        ]


@contextmanager
def both_releases(folder: Path, old: Path, **environment: str) -> Iterator[Deployment]:
    """All of them ended afterwards."""
    deployment = Deployment(folder, old, **environment)
    try:
        yield deployment
        deployment.run_just()
    finally:
        for each in deployment.all:
            each.discard()


def test_old_and_new_processes_side_by_side_lose_and_duplicate_no_event(
    real_valkey_url: str, tmp_path: Path, old: Path
) -> None:
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    load = [ProviderPost(*posted) for posted in mixed(EVENTS, SEED)]
    acknowledged: list[str] = []
    with (
        redis.Redis.from_url(real_valkey_url) as valkey,
        redis.Redis.from_url(broker_of(real_valkey_url)) as broker,
        both_releases(tmp_path, old, REDIS_URL=real_valkey_url, DATABASE_URL=ledger_url) as deployment,
    ):
        for number, (ingress, workers) in enumerate(deployment.stages()):
            deployment.run_just(ingress, *workers)
            with ProviderClient(ingress.url) as poster:
                acknowledged += [poster.post(*posted) for posted in (*load[number::STAGES], ProviderPost("instacart", BAD))]
            wait_for(lambda: sums(valkey).is_settled, 30, f"the events of stage {number} to be done")
        wait_for(lambda: _all_sent(ledger_url), 45, "every alert to be sent")
        wait_for(lambda: not any(map(broker.llen, broker.scan_iter(_type="list"))), 30, "every message to be taken")
        assert len(acknowledged) == len(set(acknowledged)) == EVENTS + STAGES
        _check_outcomes(valkey, acknowledged)
        _check_rows(valkey, ledger_url)
        assert "unregistered" not in deployment.new_worker.log
        for each in (deployment.old_worker, deployment.new_worker):
            assert "Task curbside.handle.timeline" in each.log, "both worked"


def test_a_retry_under_the_new_task_name_is_not_lost_at_an_old_worker(real_valkey_url: str, tmp_path: Path, old: Path) -> None:
    """An old worker does not know `dispatch.retry`: it postpones the failure or drops its message; a new worker continues."""
    environment = environment_for_tests(REDIS_URL=real_valkey_url, DATABASE_URL=f"sqlite:///{tmp_path / 'ledger.db'}")
    with redis.Redis.from_url(real_valkey_url) as valkey, both_releases(tmp_path, old, **environment) as deployment:
        for worker in (deployment.old_worker, deployment.new_worker):
            deployment.run_just(deployment.new_ingress, worker)
            with ProviderClient(deployment.new_ingress.url) as poster:
                poster.post("instacart", BAD)
            wait_for(lambda: sums(valkey).is_settled, 30, "it to be on record")
        ids, tasks = set(failures(valkey)), {each.task_id for each in failures(valkey).values()}
        deployment.run_just(deployment.old_worker)
        assert curbside("retry", "--all", "--yes", environment=environment).exit_code == 0
        wait_for(lambda: "there is no handler of that name" in deployment.old_worker.log, 30, "the old worker to meet it")
        wait_for(lambda: _states(valkey) == ["dead", "retrying"], 30, "what it does know to have been tried")
        deployment.run_just(deployment.new_worker)
        assert curbside("retry", *ids, "--yes", environment=environment).exit_code == 0
        wait_for(lambda: _states(valkey) == ["dead", "dead"], 30, "both to have been tried")
        assert set(failures(valkey)) == ids
        assert not tasks & {each.task_id for each in failures(valkey).values()}
        assert sums(valkey).count("undecodable") == 2


def _states(valkey: redis.Redis) -> list[str]:
    return sorted(each.state.value for each in failures(valkey).values())


def _all_sent(ledger_url: str) -> bool:
    with reading_ledger(ledger_url) as rows:
        return all(row["sent_at"] for row in rows.of(outbox))


def _check_outcomes(valkey: redis.Redis, acknowledged: list[str]) -> None:
    looked, identities = sums(valkey), {event.identity for event in _events(valkey)}
    looked.check()
    assert looked.received == len(acknowledged)
    assert looked.count("undecodable") == STAGES
    assert looked.count("routed") == looked.count("applied:timeline") == len(identities)
    assert looked.count("duplicate") == EVENTS - len(identities) > 0
    assert len(failures(valkey)) == STAGES
    assert {name.rpartition(":")[2] for name in failures(valkey)} <= set(acknowledged)
    assert pending(valkey) == 0


def _check_rows(valkey: redis.Redis, ledger_url: str) -> None:
    """The ledger holds just what the bodies say."""
    events = list(_events(valkey))
    with reading_ledger(ledger_url) as rows:
        assert sorted((row["order_id"], row["identity"]) for row in rows.of(order_events)) == sorted(
            {(order_id, event.identity) for event in events for order_id in event.order_ids}
        )
        refunded = refunded_lines(events)
        assert sorted((row["order_id"], row["line"]) for row in rows.of(refunds)) == sorted(refunded)
        assert len(refunded) > 3 < len(rows.of(replacements)), "the load had something to double"


def _events(valkey: redis.Redis) -> Iterator[Event]:
    entries: Any = valkey.xrange(keys.INBOX)
    for entry_id, fields in entries:
        try:
            yield decode(fields[keys.FIELD_PROVIDER].decode(), fields[keys.FIELD_BODY], entry_id.decode(), UTC)
        except DecodeError:
            continue
