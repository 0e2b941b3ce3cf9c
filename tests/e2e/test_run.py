"""`curbside run` as a process, on free ports and with its own data directory."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from deploy.generated import path_in, read_generated
from deploy.local.ports import LOOPBACK
from tests.e2e.local_run import LocalRun
from tests.support.command_line import REPOSITORY
from tests.support.waiting import wait_for

FIRST_EVENT = "tests/payloads/instacart/flat/order_created.json"
PARTS = ["flower", "ingress", "supervisord", "urgent", "valkey", "worker1", "worker2"]

pytestmark = pytest.mark.timeout(300)


class Run(LocalRun):
    """A run, and what a second terminal finds out about it."""

    def events_of_first_order(self) -> int:
        """How many events `curbside order` knows of the order of the first event."""
        said = self.run_command("order", order_id(), "--json")
        return said.output.count('"fulfillment.order_created"') + said.output.count('"order_created"')

    def kill(self, name: str) -> None:
        """Kill a part, and wait until another is there in its place."""
        before = self.data_dir.running_processes()[name]
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.data_dir.running_processes().get(name, before) != before, 30, f"{name} to be started again")

    def places_of_secrets(self) -> list[str]:
        """Files and command lines that show a secret, though they must not."""
        made = read_generated(path_in(self.environment))
        secrets = [value.rpartition(":")[2] for name, value in made.items() if name != "INSTACART_CLIENT_ID"]
        commands = [Path(f"/proc/{pid}/cmdline") for pid in self.data_dir.running_processes().values()]
        files = [
            self.data_dir.run / "supervisord.conf",
            *self.data_dir.logs.iterdir(),
            *(each for each in commands if each.exists()),
        ]
        return [str(file) for file in files if any(secret in file.read_text() for secret in secrets)]

    def open_to_others(self) -> list[str]:
        """Files and folders of the data folder, itself too, that others have any right to."""
        everything = [self.data_dir.root, *self.data_dir.root.rglob("*")]
        return [str(each) for each in everything if each.stat().st_mode & 0o077]

    def listens(self, variable: str) -> bool:
        """Whether something listens on that port."""
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, int(self.environment[variable]))) == 0

    def stopped_in_order(self) -> list[str]:
        """The parts in the order of their last stop, by supervisord's log."""
        return re.findall(r" stopped: ([a-z]+)", self.data_dir.log("supervisord").read_text())


def order_id() -> str:
    return str(orjson.loads((REPOSITORY / FIRST_EVENT).read_bytes())["order_id"])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    found = Run(tmp_path)
    yield found
    found.clear()


def test_from_first_start_to_second(run: Run) -> None:
    run.start()
    assert sorted(run.data_dir.running_processes()) == PARTS
    assert "\x1b" not in run.output
    credentials = read_generated(path_in(run.environment))
    assert credentials["INSTACART_CLIENT_SECRET"] in run.output
    assert credentials["FLOWER_BASIC_AUTH"] in run.output

    assert f"send {FIRST_EVENT}" in run.output
    sent = run.run_command("send", FIRST_EVENT)
    assert sent.exit_code == 0, sent
    wait_for(run.events_of_first_order, 20, "the first event on its order's timeline")
    assert not run.places_of_secrets()

    assert run.stop(signal.SIGTERM) == 0
    assert run.data_dir.running_processes() == {}
    assert run.stopped_in_order() == ["ingress", "flower", "worker", "worker", "urgent", "valkey"]
    assert not any(run.listens(name) for name in run.environment if name.endswith("_PORT"))

    run.start()
    assert run.events_of_first_order()
    assert read_generated(path_in(run.environment)) == credentials
    assert run.stop(signal.SIGINT, signal.SIGINT) == 0


def test_a_killed_service_is_restarted_and_loses_nothing(run: Run) -> None:
    run.start()
    assert run.run_command("send", FIRST_EVENT).exit_code == 0
    for name in ("worker1", "ingress", "valkey"):
        run.kill(name)
    wait_for(lambda: "worker1 ended (terminated by SIGKILL)" in run.output, 20, "a line about it in the terminal")
    wait_for(lambda: run.run_command("send", FIRST_EVENT).exit_code == 0, 60, "an event to be accepted")
    wait_for(run.events_of_first_order, 60, "the event on its order's timeline")

    assert run.stop(signal.SIGKILL) == -signal.SIGKILL
    run.start()
    assert run.events_of_first_order()
    assert run.stop(signal.SIGTERM) == 0
    assert run.data_dir.running_processes() == {}


def test_the_data_directory_is_readable_by_its_owner_alone(run: Run) -> None:
    run.data_dir.root.mkdir(mode=0o755)
    run.data_dir.logs.mkdir(mode=0o755)
    old = run.data_dir.logs / "ingress.log"
    old.write_text("what was logged before\n")
    for path in (run.data_dir.root, run.data_dir.logs):
        path.chmod(0o755)
    old.chmod(0o644)
    run.start(umask=0o000)
    said = [line for line in run.output.splitlines() if "other users had permissions on" in line]
    assert [line.partition("other users had permissions on ")[2] for line in said] == [
        "3 files or directories; they are now private"
    ]
    assert run.run_command("send", FIRST_EVENT).exit_code == 0
    wait_for(run.events_of_first_order, 20, "the first event on its order's timeline")
    names = {path.name for path in run.data_dir.root.rglob("*")}
    assert names >= {
        "ledger.db",
        "ledger.db-wal",
        "credentials.env",
        "valkey.conf",
        "appendonlydir",
        "worker1.log",
        "flower.lock",
    }
    assert not run.open_to_others()
    assert run.stop(signal.SIGTERM) == 0
    assert not run.open_to_others()
