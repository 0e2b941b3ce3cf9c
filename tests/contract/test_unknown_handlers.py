"""What a process does not know (another's HANDLER_MODULES) is shown and said by its commands: Valkey tells what exists."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from schemas import keys
from schemas.failures import FailureState
from tests.contract.failure_shell import FailureShell, refund
from tests.support.ledger_fixture import HANDLERS
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment, open_stepped_deployment
from workers.failures.retry_policy import NO_RETRY


@pytest.fixture
def shell(valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[FailureShell]:
    """A deployment with a handler `loyalty` that the commands do not know: one event is dead there, one waits."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    environment = {"REDIS_URL": valkey_url, "DATABASE_URL": f"sqlite:///{database}"}
    loyalty = replace(FailingHandler("refunds", KeyError("a bug")).handler(NO_RETRY), name="loyalty")
    with ExitStack() as stack:
        deployment = stack.enter_context(
            open_stepped_deployment(valkey_url, environment["DATABASE_URL"], [HANDLERS["timeline"], loyalty])
        )
        made = FailureShell(deployment, environment)
        made.ids = [f"loyalty:{deployment.append(refund('o-1'))}"]
        deployment.work()
        deployment.append(refund("o-2"))
        deployment.dispatch()
        deployment.handle_only("timeline")
        yield made


def loyalty_of(shell: FailureShell) -> tuple[SteppedDeployment, str]:
    return shell.stepped_deployment, shell.ids[0].partition(":")[2]


def test_status_lists_a_handler_that_is_not_known_here_and_its_sum_counts(shell: FailureShell) -> None:
    status = shell.json("status")
    loyalty = status["handlers"]["loyalty"]
    assert (loyalty["routed"], loyalty["failed"], loyalty["waiting"], loyalty["known"]) == (2, 1, 1, False)
    assert status["handlers"]["refunds"]["known"]
    assert "no handler of this name here (HANDLER_MODULES): loyalty" in shell("status").output
    shell.stepped_deployment.client.hincrby(keys.COUNTERS, "applied:loyalty", 1)
    assert shell("status").exit_code == 1, "its sum does not hold"


def test_its_failures_are_found_by_the_event_s_id_and_a_retry_says_who_makes_it(shell: FailureShell) -> None:
    deployment, event_id = loyalty_of(shell)
    assert shell.json("failed", "show", event_id)["id"] == shell.ids[0]
    said = shell("retry", event_id)
    assert said.exit_code == 1, "there is no terminal to confirm in"
    said = shell("retry", event_id, "--yes")
    assert (said.exit_code, said.output.splitlines()[0].split(" are")[0]) == (0, "1 of 1")
    assert "loyalty: no handler of this name here (HANDLER_MODULES)" in said.errors
    assert deployment.failures.get("loyalty", event_id).state is FailureState.RETRYING


def test_a_replay_says_that_it_leaves_it_out(shell: FailureShell) -> None:
    said = shell("replay", "--since", "1h", "--dry-run")
    assert "left out: all events of loyalty, since there is no handler of this name here (HANDLER_MODULES)" in said.output
    assert shell.json("replay", "--since", "1h", "--dry-run")["unknown_handlers"] == ["loyalty"]
