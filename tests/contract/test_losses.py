"""Acknowledged events that Valkey has lost are noticed and said until a person confirms it; nothing else is called a loss."""

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import delete

from schemas import keys
from tests.support.command_line import CommandResult, in_process
from tests.support.live_deployment import deployed
from tests.support.settings import environment_for_tests, make_settings
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import status
from workers.ledger.inbox_marks import Mark, read_marks, write_mark
from workers.ledger.ledger import Ledger
from workers.ledger.tables import inbox_marks
from workers.monitoring.loss_watch import LossWatch
from workers.valkey.connection import connect


class Watched:
    """A ledger, and a server's inbox. `look` is what every worker does each two seconds."""

    def __init__(self, url: str, ledger_url: str) -> None:
        self.environment = environment_for_tests(REDIS_URL=url, DATABASE_URL=ledger_url)
        self.ledger = Ledger(make_settings(DATABASE_URL=ledger_url))
        self.use(url)

    def use(self, url: str) -> None:
        """Go over to another server, as when a service name points to it."""
        self.environment["REDIS_URL"] = url
        self.client = connect(url)
        self.watch = LossWatch(self.client, self.ledger, threading.Event(), 0)
        self.look = self.watch.look

    def append(self, count: int) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for number in range(count):
            pipeline.xadd(keys.INBOX, {keys.FIELD_PROVIDER: "instacart", keys.FIELD_BODY: status(f"o-{number}")})
        pipeline.execute()

    def curbside(self, *arguments: str) -> CommandResult:
        return in_process(*arguments, environment=self.environment)

    def losses(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.curbside("status", "--json").output)["losses"]
        return found

    def mark(self) -> Mark:
        mark, _ = read_marks(self.ledger)
        assert mark is not None
        return mark

    def write(self, mark: Mark) -> None:
        with self.ledger.begin() as connection:
            write_mark(connection, mark)


@contextmanager
def second_server(first: RealValkey) -> Iterator[RealValkey]:
    """Another server of the same kind."""
    server = RealValkey(first.program)
    try:
        server.start()
        yield server
    finally:
        server.discard()


@pytest.fixture
def watched(real_server: RealValkey, migrated_sqlite: Path, tmp_path: Path) -> Iterator[Watched]:
    """On Valkey and on Redis 7.0."""
    watched = Watched(real_server.url, f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'ledger.db')}")
    yield watched
    watched.ledger.close()


@pytest.fixture
def watched_on_both(real_server: RealValkey, migrated_ledger_url: str) -> Iterator[Watched]:
    """Also on SQLite and on PostgreSQL."""
    watched = Watched(real_server.url, migrated_ledger_url)
    yield watched
    watched.ledger.close()


def follow(replica: redis.Redis, leader: RealValkey, count: int) -> None:
    replica.execute_command("REPLICAOF", "127.0.0.1", leader.port)  # type: ignore[no-untyped-call]
    wait_for(lambda: replica.exists(keys.INBOX) and replica.xlen(keys.INBOX) == count, 20, "the replica to have all")


def promote(replica: redis.Redis) -> None:
    replica.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]


def test_flushall_is_said_in_red_until_a_person_confirms_it(watched_on_both: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched_on_both.append(50)
    watched_on_both.look()
    watched_on_both.client.flushall()
    watched_on_both.append(3)
    said = watched_on_both.curbside("status")
    assert (said.exit_code, watched_on_both.losses()[0]["events"]) == (1, 50), "seen although no worker runs"
    with caplog.at_level(logging.ERROR, "curbside.workers"):
        for _ in range(3):
            watched_on_both.look()
            watched_on_both.append(2)
    assert caplog.text.count("Valkey was emptied or replaced: at least 50 acknowledged events without an outcome") == 1
    said = watched_on_both.curbside("status")
    assert said.exit_code == 1
    assert "at least 50 acknowledged events" in said.errors
    assert watched_on_both.client.get(keys.LOSSES) == b"1 50"
    assert watched_on_both.curbside("loss", "--confirm", "a wrong window").output == "1 loss is confirmed.\n"
    watched_on_both.look()
    assert (
        watched_on_both.curbside("status").exit_code,
        watched_on_both.losses(),
        watched_on_both.client.get(keys.LOSSES),
    ) == (0, [], None)
    assert "a wrong window" in watched_on_both.curbside("loss").output
    (kept,) = json.loads(watched_on_both.curbside("loss", "--json").output)
    assert kept["confirmed_by"]
    assert kept["confirmed_at"]


@pytest.mark.parametrize("new", [0, 5, 400])
def test_what_a_replica_that_lagged_did_not_have_is_counted_however_many_come_after_it(
    watched: Watched, real_server: RealValkey, new: int
) -> None:
    watched.append(100)
    watched.look()
    with second_server(real_server) as other, redis.Redis.from_url(other.url) as replica:
        follow(replica, real_server, 100)
        promote(replica)
        watched.append(37)
        watched.look()
        before = watched.mark()
        watched.use(other.url)
        watched.append(new)
        (unnoticed,) = watched.losses()
        assert unnoticed["events"] == 37
        watched.look()
        watched.append(1)
        watched.look()
        (loss,) = watched.losses()
        assert (loss["events"], loss["kind"]) == (37, "older history")
        start, end = (datetime.fromisoformat(loss[name]) for name in ("from_at", "until_at"))
        assert start <= datetime.fromtimestamp(int(before.last_id.partition("-")[0]) / 1000, UTC) <= end
        assert watched.curbside("loss", "--confirm", "failover").exit_code == 0
        assert watched.curbside("status").exit_code == 0


def test_a_loss_is_counted_although_an_ingress_has_appended_the_last_ones_again(
    watched: Watched, real_server: RealValkey
) -> None:
    watched.append(50)
    watched.look()
    with second_server(real_server) as other, redis.Redis.from_url(other.url) as replica:
        follow(replica, real_server, 50)
        promote(replica)
        watched.append(37)
        watched.look()
        with redis.Redis.from_url(real_server.url) as primary:
            kept: Any = primary.xrevrange(keys.INBOX, count=12)
        for event_id, fields in reversed(kept):
            replica.xadd(keys.INBOX, fields, id=event_id)
        watched.use(other.url)
        watched.append(3)
        (unnoticed,) = watched.losses()
        assert (unnoticed["events"], watched.curbside("status").exit_code) == (25, 1)
        watched.look()
        watched.append(2)
        watched.look()
        assert [each["events"] for each in watched.losses()] == [25]


def test_entries_lost_after_all_older_ones_were_trimmed_are_counted(watched: Watched, real_server: RealValkey) -> None:
    watched.append(20)
    watched.look()
    with second_server(real_server) as other, redis.Redis.from_url(other.url) as replica:
        follow(replica, real_server, 20)
        promote(replica)
        replica.xtrim(keys.INBOX, maxlen=0, approximate=False)
        watched.append(4)
        watched.look()
        watched.use(other.url)
        watched.append(9)
        watched.look()
        assert [each["events"] for each in watched.losses()] == [4]


def test_a_replica_that_has_all_is_no_loss(watched: Watched, real_server: RealValkey) -> None:
    watched.append(30)
    watched.look()
    with second_server(real_server) as other, redis.Redis.from_url(other.url) as replica:
        follow(replica, real_server, 30)
        promote(replica)
        watched.use(other.url)
        watched.append(5)
        watched.look()
        assert (watched.losses(), watched.curbside("status").exit_code) == ([], 0)


@pytest.mark.parametrize("rewritten", [False, True], ids=["restarted", "rewritten and restarted"])
@pytest.mark.parametrize("trimmed", [False, True], ids=["whole", "trimmed"])
def test_a_restart_is_no_loss(watched: Watched, real_server: RealValkey, rewritten: bool, trimmed: bool) -> None:
    watched.append(30)
    watched.look()
    if trimmed:
        watched.client.xtrim(keys.INBOX, maxlen=0, approximate=False)
        watched.append(2)
    if rewritten:
        watched.client.bgrewriteaof()
        wait_for(lambda: not watched.client.info("persistence")["aof_rewrite_in_progress"], 20, "the rewrite to be done")
    real_server.kill()
    real_server.start()
    watched.look()
    watched.append(5)
    watched.look()
    assert (watched.losses(), watched.mark().added) == ([], 37 if trimmed else 35)


def test_trimming_is_no_loss(watched: Watched) -> None:
    for kept in (10, 0, 3):
        watched.append(20)
        watched.look()
        watched.client.xtrim(keys.INBOX, maxlen=kept, approximate=False)
        watched.look()
        watched.append(1)
        watched.client.xtrim(keys.INBOX, maxlen=1, approximate=False)
        watched.look()
        watched.append(1)
        watched.look()
    assert watched.losses() == []


def test_a_new_ledger_for_an_old_valkey_says_nothing(watched: Watched) -> None:
    watched.append(20)
    watched.look()
    with watched.ledger.begin() as connection:
        connection.execute(delete(inbox_marks))
    watched.look()
    assert (watched.losses(), watched.mark().added) == ([], 20)


def test_a_ledger_from_a_backup_says_nothing(watched: Watched) -> None:
    watched.append(20)
    watched.look()
    backup = watched.mark()
    watched.append(20)
    watched.look()
    watched.client.xtrim(keys.INBOX, maxlen=5, approximate=False)
    watched.write(backup)
    watched.look()
    assert (watched.losses(), watched.mark().added) == ([], 40)


def test_a_new_valkey_on_purpose_is_said_once(watched: Watched, real_server: RealValkey) -> None:
    watched.append(20)
    watched.look()
    with second_server(real_server) as other:
        watched.use(other.url)
        for _ in range(3):
            watched.look()
            watched.append(2)
        assert len(watched.losses()) == 1
        watched.curbside("loss", "--confirm", "moved")
        for _ in range(3):
            watched.look()
            watched.append(2)
        assert watched.losses() == []


def test_an_inbox_that_never_had_an_event_has_lost_none(watched: Watched) -> None:
    watched.look()
    watched.client.flushall()
    watched.look()
    assert (watched.losses(), watched.curbside("status").exit_code) == ([], 0)


def test_a_name_that_was_deleted_is_no_loss(watched: Watched) -> None:
    watched.append(20)
    watched.look()
    watched.client.delete(keys.EPOCH)
    assert watched.losses() == []
    watched.look()
    watched.append(1)
    watched.look()
    assert watched.losses() == []


def test_a_clock_that_goes_back_hides_and_invents_nothing(watched: Watched) -> None:
    watched.append(20)
    watched.look()
    future = watched.mark()._replace(marked_at=datetime(2099, 1, 1, tzinfo=UTC))
    watched.write(future)
    watched.append(5)
    watched.look()
    assert (watched.losses(), watched.mark().added) == ([], 25)
    watched.write(watched.mark()._replace(marked_at=datetime(2099, 1, 1, tzinfo=UTC)))
    watched.client.flushall()
    watched.append(1)
    for _ in range(3):
        watched.look()
    assert [each["events"] for each in watched.losses()] == [25]


def test_two_workers_that_see_a_loss_at_once_record_it_once(watched_on_both: Watched) -> None:
    watched_on_both.append(20)
    watched_on_both.look()
    watched_on_both.client.flushall()
    watched_on_both.append(1)
    threads = [
        threading.Thread(target=LossWatch(watched_on_both.client, watched_on_both.ledger, threading.Event(), 0).look)
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(watched_on_both.losses()) == 1


def test_a_mark_is_written_only_if_something_changed(watched_on_both: Watched) -> None:
    watched_on_both.append(20)
    watched_on_both.look()
    first = watched_on_both.mark()
    watched_on_both.look()
    assert watched_on_both.mark() == first


def test_without_the_ledger_the_rest_of_the_status_is_said(watched: Watched) -> None:
    watched.append(20)
    watched.look()
    watched.environment["DATABASE_URL"] = "postgresql://me@127.0.0.1:1/nowhere"
    assert watched.curbside("status").exit_code == 0
    assert watched.losses() == []


def test_a_running_worker_notices_a_flushall_and_goes_on(
    real_server: RealValkey, migrated_sqlite: Path, tmp_path: Path
) -> None:
    database_url = f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'ledger.db')}"
    watched = Watched(real_server.url, database_url)
    with deployed(tmp_path, workers=2, REDIS_URL=real_server.url, DATABASE_URL=database_url) as deployment:
        watched.append(30)
        wait_for(lambda: read_marks(watched.ledger)[0] and watched.mark().added == 30, 20, "the mark to be kept")
        watched.client.flushall()
        wait_for(lambda: "Valkey was emptied or replaced" in deployment.logs, 20, "the loss to be noticed")
        watched.append(10)
        wait_for(lambda: json.loads(watched.curbside("status", "--json").output)["inbox"]["routed"] == 10, 30, "work to go on")
        assert deployment.logs.count("Valkey was emptied or replaced") == len(watched.losses()) == 1
    watched.ledger.close()
