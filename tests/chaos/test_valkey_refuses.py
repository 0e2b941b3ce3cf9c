"""Valkey refuses commands, for events or as the broker, at the start or later: workers wait, say what for, and go on by themselves."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from schemas import keys
from tests.support.retry_deployment import open_retry_deployment
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for

SECONDS = 20.0


class Refusal(NamedTuple):
    """How a server is made to refuse commands, and how it is repaired."""

    begin: Callable[[RealValkey, Any], object]
    end: Callable[[RealValkey, Any], object]


def _fail_to_save(server: RealValkey, client: Any) -> None:
    (server.folder / "dump.rdb").unlink(missing_ok=True)
    (server.folder / "dump.rdb").mkdir()
    client.config_set("save", "3600 1")
    client.set("curbside:filler", 1, ex=60)
    with suppress(redis.ResponseError):
        client.bgsave()
    wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", what="the save to fail")


def _save(server: RealValkey, client: Any) -> None:
    (server.folder / "dump.rdb").rmdir()
    client.config_set("save", "")
    client.bgsave()
    wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok", what="the save")


def _change_password(_: RealValkey, client: Any) -> None:
    client.execute_command("ACL", "SETUSER", "default", "resetpass", ">another")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


REFUSALS = {
    "MISCONF": Refusal(_fail_to_save, _save),
    "NOREPLICAS": Refusal(
        lambda _, client: client.config_set("min-replicas-to-write", 1),
        lambda _, client: client.config_set("min-replicas-to-write", 0),
    ),
    "OOM": Refusal(lambda _, client: client.config_set("maxmemory", 1), lambda _, client: client.config_set("maxmemory", 0)),
    "READONLY": Refusal(
        lambda _, client: client.execute_command("REPLICAOF", "127.0.0.1", "1"),
        lambda _, client: client.execute_command("REPLICAOF", "NO", "ONE"),
    ),
    "NOPERM": Refusal(
        lambda _, client: client.execute_command("ACL", "SETUSER", "default", "-@write", "-xreadgroup", "-brpop"),
        lambda _, client: client.execute_command("ACL", "SETUSER", "default", "+@all"),
    ),
    "AuthenticationError": Refusal(
        _change_password, lambda _, client: client.execute_command("ACL", "SETUSER", "default", "nopass")
    ),
}
AT_START = ("MISCONF", "AuthenticationError")


@pytest.mark.timeout(240)
def test_workers_wait_for_a_valkey_that_refuses_commands_and_go_on(real_server: RealValkey, tmp_path: Path) -> None:
    orders: list[str] = []
    with (
        redis.Redis.from_url(real_server.url, single_connection_client=True) as client,
        open_retry_deployment(tmp_path, real_server.url) as deployment,
    ):
        (worker,) = deployment.processes.workers
        deployment.bug.unlink()

        def refuse(code: str, order: str) -> None:
            orders.append(order)
            deployment.append(order)
            REFUSALS[code].begin(real_server, client)

        def repair(code: str) -> None:
            wait_for(lambda: f"Valkey is unreachable ({code})" in worker.log_of_this_run, SECONDS, f"the worker to say {code}")
            if code == "READONLY":
                assert "unreachable for every write: Valkey (READONLY)" in deployment.command("status").errors
            REFUSALS[code].end(real_server, client)
            deployment.wait_until_all_applied(SECONDS)

        for code, refusal in REFUSALS.items():
            refuse(code, f"later-{code}")
            if code == "OOM":  # the worker need not wait: tests/contract/test_over_the_limit.py
                refusal.end(real_server, client)
                deployment.wait_until_all_applied(SECONDS)
            else:
                repair(code)
        for code in AT_START:
            worker.terminate()
            assert worker.wait() == 0
            refuse(code, f"start-{code}")
            worker.start()
            repair(code)
            worker.wait_until_ready()
        assert "Unrecoverable" not in worker.log  # Celery's own refreshing of its keys may log a traceback
        assert deployment.applied_orders() == sorted(orders)


@pytest.mark.timeout(240)
def test_workers_go_on_without_a_broker_that_refuses_commands(
    real_valkey_url: str, other_valkey: RealValkey, tmp_path: Path
) -> None:
    with (
        redis.Redis.from_url(other_valkey.url, single_connection_client=True) as client,
        open_retry_deployment(tmp_path, real_valkey_url, CELERY_BROKER_URL=other_valkey.url) as deployment,
    ):
        (worker,) = deployment.processes.workers
        deployment.bug.unlink()

        def said(text: str) -> bool:
            return any(text in str(what) for what in deployment.client.hgetall(keys.UNREACHABLE).values())

        for code, refusal in REFUSALS.items():
            refusal.begin(other_valkey, client)
            deployment.append(code)
            deployment.wait_until_all_applied(SECONDS)
            wait_for(lambda: said("the broker ("), SECONDS, f"status to say it ({code})")
            refusal.end(other_valkey, client)
            wait_for(lambda: not said("the broker"), SECONDS, "status to say that it is back")
        worker.terminate()
        assert worker.wait() == 0
        assert "Unrecoverable" not in worker.log
        assert deployment.applied_orders() == sorted(REFUSALS)
