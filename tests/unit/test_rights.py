"""What a worker may do in Valkey: a right that is missing is named at the start; one that is taken away later costs no event."""

import ast
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

import workers
from schemas import keys
from tests.support.command_line import REPOSITORY
from tests.support.event_sums import sums
from tests.support.settings import environment_for_tests
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from tests.unit import script_scenarios
from tests.unit.dispatching import CUT_OFF, dispatcher_of
from tests.unit.script_scenarios import Scenario
from workers.consumers.stream_consumer import GroupMember, StreamConsumer
from workers.errors import ScriptStoppedError
from workers.valkey import scripts
from workers.valkey.connection import connect
from workers.valkey.rights import COMMANDS, MissingRightsError, check_rights

USER = "worker"
_NAMES = {"DELETE": "DEL", "HSCAN_ITER": "HSCAN", "XPENDING_RANGE": "XPENDING", "REGISTER_SCRIPT": "SCRIPT LOAD"}
_NO_COMMANDS = {"PIPELINE", "EXECUTE", "EXECUTE_COMMAND", "FROM_URL", "CONNECTION_POOL", "GET_CONNECTION_KWARGS"}
_CONTAINERS = ("XGROUP", "XINFO")


class Limited:
    """A user of a server who has just the rights that the workers need, and a client of that user."""

    def __init__(self, server: RealValkey) -> None:
        self.admin = redis.Redis.from_url(server.url)
        self.set_user("reset", "on", ">secret", f"~{keys.TAG}:*", *(f"+{_right(name)}" for name in (*COMMANDS, "FLUSHALL")))
        self.url = urlsplit(server.url)._replace(netloc=f"{USER}:secret@{urlsplit(server.url).netloc}").geturl()
        self.client = connect(self.url)

    def set_user(self, *rules: str) -> None:
        """Change the user's rights."""
        self.admin.execute_command("ACL", "SETUSER", USER, *rules)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Delete the user."""
        self.client.close()
        self.admin.execute_command("ACL", "DELUSER", USER)  # type: ignore[no-untyped-call]
        self.admin.close()


@pytest.fixture
def limited(real_server: RealValkey) -> Iterator[Limited]:
    made = Limited(real_server)
    yield made
    made.close()


def _right(name: str) -> str:
    return name.lower().replace(" ", "|")


@pytest.mark.parametrize("missing", ["HSETNX", "XGROUP DELCONSUMER", "EVALSHA", "SET", "EXEC"])
def test_a_missing_right_is_named_in_one_sentence_with_what_to_grant(limited: Limited, missing: str) -> None:
    check_rights(limited.client)
    limited.set_user(f"-{_right(missing)}")
    with pytest.raises(MissingRightsError) as raised:
        check_rights(limited.client)
    assert str(raised.value) == (
        f"Valkey's user 'worker' may not run {missing} on the keys {{curbside}}:*, as the workers must: "
        f"ACL SETUSER worker +{_right(missing)}"
    )


def test_missing_rights_to_the_keys_are_named(limited: Limited) -> None:
    limited.set_user("resetkeys", "~other:*")
    with pytest.raises(MissingRightsError, match=r"ACL SETUSER worker ~\{curbside\}:\*$"):
        check_rights(limited.client)


def test_the_check_changes_nothing_but_its_own_key_which_ends_by_itself(limited: Limited) -> None:
    limited.admin.hset(keys.COUNTERS, "routed", 7)
    check_rights(limited.client)
    left = set(limited.admin.scan_iter())
    assert left == {keys.COUNTERS.encode(), b"{curbside}:rights"}
    assert 0 < limited.admin.ttl("{curbside}:rights") <= 60
    limited.admin.delete(keys.COUNTERS)


def test_a_server_that_does_not_answer_or_is_full_says_nothing_about_rights(real_server: RealValkey) -> None:
    with connect(real_server.url) as client:
        client.config_set("maxmemory", 1)
        check_rights(client)
        client.config_set("maxmemory", 0)
        real_server.stop()
        check_rights(client)


def test_a_worker_without_a_right_does_not_start(limited: Limited) -> None:
    limited.set_user("-hsetnx")
    environment = os.environ | environment_for_tests(REDIS_URL=limited.url)
    worker = [sys.executable, "-m", "workers", "--name", "worker@here"]
    ended = subprocess.run(worker, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "Valkey's user 'worker' may not run HSETNX on the keys {curbside}:*, as the workers must: ACL SETUSER worker +hsetnx"
    ]


def test_every_command_of_the_scripts_and_of_the_workers_code_is_checked() -> None:
    used = scripts.commands_used()
    assert {"XACK", "XINFO CONSUMERS", "XGROUP DELCONSUMER", "HSETNX"} <= used
    for path in Path(workers.__path__[0]).rglob("*.py"):
        used |= set(_commands_of(path)) if path.name != "rights.py" else set()
    assert used | {"EVALSHA", "SCRIPT LOAD"} == set(COMMANDS)


def _commands_of(path: Path) -> Iterator[str]:
    """The commands that a module's code sends: methods of clients and pipelines, and commands by their names."""
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        if not isinstance(call.func, ast.Attribute):
            continue
        method, receiver = call.func.attr.upper(), ast.unparse(call.func.value).rpartition(".")[2].lstrip("_")
        if method in ("EXECUTE_COMMAND", "_RAW") and isinstance(call.args[0], ast.Constant):
            name = call.args[0].value
            yield name.decode() if isinstance(name, bytes) else str(name)
        elif receiver in ("client", "pipeline") and hasattr(redis.Redis, call.func.attr) and method not in _NO_COMMANDS:
            container, _, sub = method.partition("_")
            yield f"{container} {sub}" if container in _CONTAINERS else _NAMES.get(method, method)
        if method == "PIPELINE" and "transaction=True" in ast.unparse(call):
            yield from ("MULTI", "EXEC")


SCENARIOS = [
    script_scenarios.dispatch,
    script_scenarios.dispatch_claimed,
    script_scenarios.acknowledge,
    script_scenarios.resolve,
    script_scenarios.discard,
    script_scenarios.decode_at_last,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[each.__name__ for each in SCENARIOS])
def test_a_right_that_is_taken_away_costs_no_event_once_it_is_given_back(limited: Limited, scenario: object) -> None:
    assert callable(scenario)
    stopped = 0
    for name in sorted(scripts.commands_used()):
        limited.admin.flushall()
        parts = WorkerParts(limited.url)
        try:
            found: Scenario = scenario(parts)
            limited.set_user(f"-{_right(name)}")
            try:
                found.step()
            except (ScriptStoppedError, redis.exceptions.NoPermissionError) as error:
                stopped += isinstance(error, ScriptStoppedError)
                limited.set_user(f"+{_right(name)}")
                found.step()
            limited.set_user(f"+{_right(name)}")
            parts.store.finish_commits()
            parts.client = limited.admin
            found.check()
        finally:
            parts.close()
    assert stopped > 4


def test_a_right_that_is_taken_from_a_running_worker_holds_up_its_queue_and_is_shown(limited: Limited) -> None:
    parts, stopping = WorkerParts(limited.url), threading.Event()
    member = GroupMember("one", parts.store, parts.notifier, stopping)
    consumer = StreamConsumer(keys.DISPATCH, keys.INBOX, dispatcher_of(parts), member)
    thread = threading.Thread(target=consumer.run)
    try:
        parts.append(status("a"), CUT_OFF)
        limited.set_user("-pexpireat")
        thread.start()
        wait_for(lambda: limited.admin.hget(keys.UNREACHABLE, keys.DISPATCH), what="the queue to be shown as held up")
        shown: Any = limited.admin.hget(keys.UNREACHABLE, keys.DISPATCH)
        assert b"route.lua" in shown
        assert b"PEXPIREAT" in shown
        assert sums(limited.admin).waiting == 2
        limited.set_user("+pexpireat")
        wait_for(lambda: sums(limited.admin).waiting == 0, what="the queue to go on")
        assert sums(limited.admin).counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}
        wait_for(lambda: not limited.admin.hexists(keys.UNREACHABLE, keys.DISPATCH), what="it to be shown no more")
    finally:
        stopping.set()
        thread.join(30)
        parts.close()
