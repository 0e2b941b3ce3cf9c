"""`curbside ingress` and `curbside worker`: their roles, and their errors when they cannot start."""

import socket
from pathlib import Path

import pytest

from schemas.events import Kind
from schemas.tasks import queue_name
from tests.support.command_line import curbside
from tests.support.event_sums import BUILT_IN
from tests.support.settings import LOOPBACK, NOBODY_LISTENS, environment_for_tests
from workers.app import WorkerRole, queues_of
from workers.handler import PATIENT, URGENT, Handler, RetryPolicy, registered


def test_each_queue_is_either_urgent_or_bulk_and_a_worker_of_all_has_both() -> None:
    handlers = registered()
    everything, urgent, bulk = (
        set(queues_of(handlers, queues)) for queues in (WorkerRole.ALL, WorkerRole.URGENT, WorkerRole.BULK)
    )
    assert urgent == {queue_name(queue) for queue in ("dispatch", "drain", "late_deliveries", "customer_mia", "deliver")}
    assert bulk == {queue_name(queue) for queue in ({*BUILT_IN} - {"late_deliveries", "customer_mia"}) | {"retry", "housekeep"}}
    assert everything == urgent | bulk


@pytest.mark.parametrize(("retry", "role"), [(URGENT, WorkerRole.URGENT), (PATIENT, WorkerRole.BULK)])
def test_a_users_handler_is_urgent_if_its_retry_policy_is(retry: RetryPolicy, role: WorkerRole) -> None:
    own = Handler("own", frozenset({Kind.DELIVERED}), lambda work, events: None, retry)
    queues = {each: queues_of([own], each) for each in (WorkerRole.URGENT, WorkerRole.BULK)}
    assert [each for each, names in queues.items() if queue_name("own") in names] == [role]


@pytest.mark.parametrize(("command", "option"), [("worker", "{all,urgent,bulk}"), ("ingress", "--processes N")])
def test_the_help_of_worker_lists_the_roles(command: str, option: str) -> None:
    said = curbside(command, "--help", environment={})
    assert said.exit_code == 0
    assert said.output.startswith(f"usage: curbside {command} ")
    assert option in said.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["worker", "--role", "some"],
        ["worker", "--loglevel", "loud"],
        ["worker", "--unknown"],
        ["ingress", "--port", "high"],
        ["ingress", "--port", "65536"],
        ["ingress", "--processes", "0"],
        ["ingress", "--unknown"],
    ],
)
def test_a_wrong_option_is_reported(arguments: list[str]) -> None:
    said = curbside(*arguments, environment={})
    assert said.exit_code == 2
    assert f"curbside {arguments[0]}: error: " in said.errors


@pytest.mark.parametrize("command", ["ingress", "worker"])
def test_a_missing_setting_is_named_and_no_traceback_is_shown(command: str, tmp_path: Path) -> None:
    said = curbside(command, environment={"CURBSIDE_DATA_DIR": str(tmp_path)})
    assert said.exit_code == 2
    assert "REDIS_URL is missing" in said.errors
    assert "Traceback" not in said.errors


def test_an_ingress_reports_that_its_address_is_in_use() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        said = curbside("ingress", f"--port={port}", environment=environment_for_tests(REDIS_URL=NOBODY_LISTENS))
    assert said.exit_code
    assert f"('{LOOPBACK}', {port}): address already in use" in said.errors
    assert "Traceback" not in said.errors


def test_a_handler_module_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    settings = dict.fromkeys(
        ("INSTACART_CLIENT_ID", "INSTACART_CLIENT_SECRET", "TOKEN_SIGNING_KEYS", "AFOSTO_SECRETS"), "x" * 40
    )
    environment = {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "HANDLER_MODULES": "no_such_module",
        "CURBSIDE_DATA_DIR": str(tmp_path),
    }
    said = curbside("worker", environment=settings | environment)
    assert (said.exit_code, said.errors.splitlines()) == (
        2,
        ["HANDLER_MODULES: cannot import 'no_such_module': No module named 'no_such_module'"],
    )
    assert list(tmp_path.iterdir()) == []
