"""`curbside simulate` against real processes: its result for a correct deployment, and for a faulty one."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from deploy.local.data_dir import DataDir
from tests.support.command_line import CURBSIDE, REPOSITORY, CommandResult, curbside, only
from tests.support.live_deployment import deployed
from tests.support.settings import environment_for_tests, free_port
from tests.support.valkey_servers import RealValkey

FAULTS = (
    "--duplicates=0.05",
    "--reordering=0.05",
    "--reverts=0.02",
    "--stale=0.05",
    "--bad-bodies=0.01",
    "--bad-signatures=0.01",
)


class RetryDeployment:
    """A deployment, and `curbside simulate` against it."""

    def __init__(self, url: str, environment: dict[str, str]) -> None:
        self._url, self.environment = url, environment

    def simulate(self, *options: str) -> CommandResult:
        return curbside("simulate", "--url", self._url, *options, environment=environment_for_tests(**self.environment))


@contextmanager
def retry_deployment(folder: Path, valkey_url: str, ledger_url: str) -> Iterator[RetryDeployment]:
    environment = {"REDIS_URL": valkey_url, "DATABASE_URL": ledger_url}
    with deployed(folder, REDIS_URL=valkey_url, DATABASE_URL=ledger_url) as deployment:
        yield RetryDeployment(deployment.ingress.url, environment)


def in_json(said: CommandResult) -> Any:
    assert said.errors == ""
    return json.loads(said.output)


def test_a_few_hundred_orders_with_every_fault_are_in_the_ledger_as_they_must_be(
    real_valkey_url: str, ledger_url: str, tmp_path: Path
) -> None:
    with retry_deployment(tmp_path, real_valkey_url, ledger_url) as it:
        said = it.simulate("--orders=200", "--rate=300", *FAULTS, "--verify", "--json", "--seed=11")
        found = in_json(said)
        assert found["verdict"]["differences"] == []
        assert said.exit_code == 0
        assert found["orders"] == 200 <= found["verdict"]["orders"]
        assert found["given_up"] == 0
        answers = {(each["provider"], each["kind"]): each["answers"] for each in found["sent"]}
        assert answers["instacart", "(bad signature)"].keys() == answers["afosto", "(bad signature)"].keys() == {"401"}
        bad = sum(answers.get((provider, "(bad body)"), {}).get("200", 0) for provider in ("instacart", "afosto"))
        assert found["status"]["inbox"]["undecodable"] == bad > 0
        assert found["status"]["inbox"]["duplicate"] > 0


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RetryDeployment]:
    """One deployment for the tests below; each checks its own orders."""
    folder, valkey = tmp_path_factory.mktemp("simulated"), RealValkey()
    try:
        valkey.start()
        with retry_deployment(folder, valkey.url, f"sqlite:///{folder / 'ledger.db'}") as it:
            yield it
    finally:
        valkey.discard()


def test_text_output_has_counts_a_result_and_the_command_to_repeat_it(on_sqlite: RetryDeployment) -> None:
    said = on_sqlite.simulate("--orders=30", "--rate=200", "--verify", "--tell")
    assert said.exit_code == 0, said
    assert "\x1b" not in said.output
    assert re.search(r"^200  \w+ +\S+ has an item replaced$", said.output, re.MULTILINE)
    assert re.search(r"^instacart  order_created +\d+", said.output, re.MULTILINE)
    assert "acknowledged after: p50" in said.output
    assert "the sums hold" in said.output
    assert "no difference was found" in said.output
    (again,) = re.findall(r"to repeat this run: (.+)$", said.output, re.MULTILINE)
    repeated = on_sqlite.simulate("--orders=30", "--rate=200", "--json", *again.split())
    assert in_json(repeated)["status"]["inbox"]["duplicate"] > 100, "all of it is known already"
    assert repeated.exit_code == 0


def test_a_missing_refund_in_the_ledger_is_reported(on_sqlite: RetryDeployment) -> None:
    assert curbside("migrate", environment=environment_for_tests(**on_sqlite.environment)).exit_code == 0
    engine = create_engine(on_sqlite.environment["DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TRIGGER careless AFTER INSERT ON refunds BEGIN DELETE FROM refunds WHERE rowid = new.rowid; END")
        )
    try:
        said = on_sqlite.simulate("--orders=20", "--rate=200", "--verify", "--seed=4")
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP TRIGGER careless"))
        engine.dispose()
    assert said.exit_code == 1
    assert re.search(r"^\S+ +refund \S+.* +product \d*\w.* -\s*$", said.output, re.MULTILINE), said.output
    assert re.search(r"^\d+ differences in \d+ orders", said.errors)


def test_an_error_is_one_sentence(on_sqlite: RetryDeployment, tmp_path: Path) -> None:
    nobody = curbside("simulate", "--url=http://127.0.0.1:1", environment=environment_for_tests())
    assert nobody.exit_code == 1
    assert "Nothing listens at http://127.0.0.1:1" in nobody.errors
    wrong = on_sqlite.simulate("--start=yesterday")
    assert wrong.exit_code == 2
    assert "--start is wrong" in wrong.errors
    unknown = on_sqlite.simulate("--endpoint=7a3d0c55-93a1-4c0b-8f0e-7b2f5a1d9c42", "--orders=1")
    assert unknown.exit_code == 0, "a secret for every endpoint signs for this one as well"
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(200)
def test_the_demo_simulates_orders_prints_its_result_and_leaves_no_process(tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in ("CURBSIDE_PORT", "CURBSIDE_FLOWER_PORT", "CURBSIDE_VALKEY_PORT")}
    real = {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URL": "postgresql://127.0.0.1:1/orders",
        "ALERT_URLS": "json://127.0.0.1:1",
    }
    done = subprocess.run(
        [*CURBSIDE, "demo", "--duration=2", "--rate=50"],
        env=only({"CURBSIDE_DATA_DIR": str(tmp_path / "data"), **ports, **real}),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done
    assert (
        done.stdout.index("Curbside is running.") < done.stdout.index("no difference") < done.stdout.index("stopping in order")
    )
    assert DataDir(tmp_path / "data").running_processes() == {}
