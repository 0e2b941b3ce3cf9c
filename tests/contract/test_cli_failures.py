"""`curbside failed`, `retry`, `discard`, `replay`: what an operator and a script see, in a terminal, in a pipe and when something is away."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import keys
from tests.payloads import recorded
from tests.support.command_line import CURBSIDE, REPOSITORY, CommandResult, in_process, only
from tests.support.ledger_fixture import HANDLERS
from tests.support.settings import NOBODY_LISTENS, environment_for_tests
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment, open_stepped_deployment
from workers.failures.retry_policy import NO_RETRY

SECRET = "jane.roe@example.org"
COMMANDS = ("failed", "failed show", "retry", "discard", "replay", "status", "order")
ASKED = {
    "failed": ["failed"],
    "failed show": ["failed", "show", "refunds:1732-0"],
    "retry": ["retry", "--all", "--yes"],
    "discard": ["discard", "--note", "x", "--all", "--yes"],
    "replay": ["replay", "--since", "1h", "--yes"],
    "status": ["status"],
    "order": ["order", "fc-1"],
}


class Shell:
    """A deployment with failures, and a person's shell beside it. `ids` are those of the failed refunds."""

    def __init__(self, stepped_deployment: SteppedDeployment, environment: dict[str, str]) -> None:
        self.stepped_deployment, self.environment = stepped_deployment, environment_for_tests(**environment)
        self.ids: list[str] = []

    def __call__(self, *arguments: str, given: str = "") -> CommandResult:
        return in_process(*arguments, environment=self.environment, given=given)

    def json(self, *arguments: str) -> Any:
        said = self(*arguments, "--json")
        assert "\x1b" not in said.output
        return json.loads(said.output)

    def states(self) -> list[str]:
        return sorted(each.state.value for each in self.stepped_deployment.failures.all())


def refund(order: str) -> bytes:
    body = b'{"event":"order_item_refund","order_id":"%s","customer":{"email":"%s"},"items":[{"line_num":"1","refunded":true}]}'
    return body % (order.encode(), SECRET.encode())


@pytest.fixture
def shell(real_valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[Shell]:
    """Three refunds that failed for good, and two bodies that nobody can decode."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    environment = {"REDIS_URL": real_valkey_url, "DATABASE_URL": f"sqlite:///{database}"}
    bug = FailingHandler("refunds", KeyError(SECRET), frozenset({"o-0", "o-1", "o-2"}))
    handlers = [bug.handler(NO_RETRY) if name == "refunds" else HANDLERS[name] for name in HANDLERS]
    with open_stepped_deployment(real_valkey_url, environment["DATABASE_URL"], handlers) as stepped_deployment:
        shell = Shell(stepped_deployment, environment)
        shell.ids = [f"refunds:{stepped_deployment.append(refund(f'o-{number}'))}" for number in range(3)]
        stepped_deployment.append(recorded("afosto/order_opened"), "afosto")
        stepped_deployment.append(b'{"event":"picking"}')
        stepped_deployment.append(b"{\x1b[31m")
        stepped_deployment.work()
        yield shell


def test_failures_are_grouped_by_cause_with_the_counts_first(shell: Shell) -> None:
    first, *others = shell.json("failed")
    assert (first["count"], first["handler"], first["reason"], first["state"]) == (3, "refunds", "handler_error", "dead")
    assert first["example"] == shell.ids[-1]
    assert [(each["count"], each["handler"], each["reason"]) for each in others] == [
        (1, "dispatch", "malformed"),
        (1, "dispatch", "no_order"),
    ]
    assert others[1]["says"].startswith("$.order_id or $.order.id: expected the order's id")
    text = shell("failed").output.splitlines()
    assert text[0].split() == ["count", "handler", "reason", "state", "first", "last", "example", "says"]
    assert text[1].split()[:4] == ["3", "refunds", "handler_error", "dead"]
    assert SECRET not in shell("failed").output


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--handler", "refunds"], 3),
        (["--handler", "dispatch"], 2),
        (["--reason", "no_order"], 1),
        (["--provider", "instacart"], 5),
        (["--provider", "afosto"], 0),
        (["--order", "o-1"], 1),
        (["--state", "retrying"], 0),
        (["--since", "1h"], 5),
        (["--handler", "refunds", "--order", "o-1", "--since", "2d"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_filters_choose_failures(shell: Shell, options: list[str], count: int) -> None:
    assert len(shell.json("failed", "--each", *options)) == count


def test_each_failure_is_listed_as_a_script_wants_it(shell: Shell) -> None:
    rows = shell.json("failed", "--each", "--handler", "refunds")
    assert [(row["id"], row["orders"], row["next"]) for row in rows] == [
        (name, [f"o-{number}"], None) for number, name in enumerate(shell.ids)
    ]
    assert rows[0]["last"].endswith(("Z", "+00:00"))


def test_one_failure_is_shown_without_the_customer_unless_asked_for(shell: Shell) -> None:
    masked, event_id = shell("failed", "show", shell.ids[0]), shell.ids[0].partition(":")[2]
    assert masked.exit_code == 0
    assert SECRET not in masked.output
    assert '"order_id": "o-0"' in masked.output
    assert "KeyError: (--unmask shows its text)" in masked.output
    assert "stepped_deployment.py" in masked.output, "the frames are shown"
    assert shell("failed", "show", event_id).output == masked.output, "an event that failed once needs no handler's name"
    unmasked = shell("failed", "show", shell.ids[0], "--unmask").output
    assert unmasked.count(SECRET) >= 3
    details = shell.json("failed", "show", shell.ids[0])
    assert (details["id"], details["reason"], details["note"]) == (shell.ids[0], "handler_error", None)


def test_a_body_cannot_command_the_terminal(shell: Shell) -> None:
    (bad,) = [row["id"] for row in shell.json("failed", "--each", "--reason", "malformed")]
    said = shell("failed", "show", bad, "--unmask").output
    assert "\x1b" not in said
    assert r"{\x1b[31m" in said


def test_a_failure_that_is_not_there_is_one_sentence_and_exit_code_1(shell: Shell) -> None:
    for command in (["failed", "show"], ["retry"], ["discard", "--note", "x"]):
        for name in ("refunds:1-0", "1-0", "nonsense"):
            said = shell(*command, name)
            assert (said.exit_code, said.errors.count("\n"), said.output) == (1, 1, ""), said
            assert name in said.errors


def test_a_retry_by_reason_is_asked_for_with_its_count_and_done_with_yes(shell: Shell) -> None:
    unasked = shell("retry", "--reason", "handler_error")
    assert unasked.exit_code == 1
    assert "Retry 3 failures (refunds: handler_error)? There is no terminal to ask in: --yes says so." in unasked.errors
    assert shell.states() == ["dead"] * 5
    piped = shell("retry", "--reason", "handler_error", given="y\n")
    assert (piped.exit_code, shell.states()) == (1, ["dead"] * 5), "nobody is asked in a pipe, whatever it says"
    done = shell("retry", "--reason", "handler_error", "--yes")
    assert (done.exit_code, done.output) == (0, "3 of 3 are being retried: see `curbside failed`, or Flower\n")
    assert shell.states() == ["dead"] * 2 + ["retrying"] * 3
    assert shell.stepped_deployment.client.zcard(keys.RETRIES) == 3
    assert shell.stepped_deployment.sums


def test_retry_and_discard_by_id_and_what_a_script_reads(shell: Shell) -> None:
    one, two, three = shell.ids
    assert shell.json("retry", one, two, "--yes") == {"chosen": 2, "done": 2, "refused": {}}
    assert shell.json("discard", "--note", "a test order", three, "--yes")["done"] == 1
    assert shell.json("failed", "show", three)["note"] == "a test order"
    again = shell("discard", "--note", "twice", three, "--yes", "--json")
    assert (again.exit_code, json.loads(again.output)) == (
        1,
        {"chosen": 1, "done": 0, "refused": {three: f"{three} is discarded already"}},
    )
    assert shell.json("retry", "--all", "--yes")["chosen"] == 4, "what was discarded stays so, unless it is named"
    assert shell.json("retry", three, "--yes")["done"] == 1
    nothing = shell("retry", "--order", "nobody", "--yes")
    assert (nothing.exit_code, nothing.output) == (0, "nothing to do: no failure fits\n")


@pytest.mark.parametrize(
    "wrong",
    [
        ["retry"],
        ["retry", "refunds:1-0", "--all"],
        ["retry", "--since", "soon"],
        ["discard", "--all"],
        ["discard", "--note", " ", "--all"],
        ["failed", "--since", "soon"],
        ["failed", "--reason", "no such"],
        ["replay"],
        ["replay", "--since", "soon"],
        ["replay", "--since", "1h", "--until", "2h"],
        ["replay", "--since", "1h", "--handler", "nobody"],
    ],
    ids=" ".join,
)
def test_a_wrong_question_is_exit_code_2_and_changes_nothing(shell: Shell, wrong: list[str]) -> None:
    said = shell(*wrong)
    assert said.exit_code == 2, said
    assert said.output == ""
    assert "Traceback" not in said.errors
    assert shell.states() == ["dead"] * 5


def test_replay_says_how_many_before_it_asks_and_nothing_moves_before_a_yes(shell: Shell) -> None:
    dry = shell("replay", "--since", "1h", "--dry-run")
    assert (dry.exit_code, dry.output.split(":")[0]) == (
        0,
        "4 events to timeline, replacements, refunds, late_deliveries, customer_mia",
    )
    before = shell.stepped_deployment.sums
    unasked = shell("replay", "--since", "1h")
    assert (unasked.exit_code, shell.stepped_deployment.sums) == (1, before)
    assert "Replay 4 events? There is no terminal to ask in" in unasked.errors
    assert shell.json("replay", "--since", "1h", "--dry-run") == {
        "events": 4, "handlers": list(HANDLERS), "seconds": 1
    }  # fmt: skip
    done = shell.json("replay", "--since", "1h", "--yes")
    assert (done["replayed"], done["claim_checks"]) == (4, 4), "the three failed refunds go on the timeline alone"
    shell.stepped_deployment.handle()
    assert shell.stepped_deployment.sums.is_settled
    some = shell.json(
        "replay", "--since", "1h", "--kind", "order_opened", "--provider", "afosto", "--handler", "timeline", "--dry-run"
    )
    assert some["events"] == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(command: str) -> None:
    said = in_process(*command.split(), "--help", environment={"COLUMNS": "100"})
    assert said.exit_code == 0
    text = " ".join(said.output.split())
    assert "Example" in text
    assert f"curbside {command}" in text
    assert "Exit code" in text
    assert "\x1b" not in said.output


@pytest.mark.parametrize("command", COMMANDS)
def test_without_valkey_each_command_says_so_in_a_sentence(command: str, tmp_path: Path) -> None:
    environment = environment_for_tests(REDIS_URL=NOBODY_LISTENS, DATABASE_URL=f"sqlite:///{tmp_path / 'ledger.db'}")
    said = in_process(*ASKED[command], environment=environment)
    assert (said.exit_code, said.output, said.errors.count("\n")) == (2, "", 1), said
    assert said.errors.startswith("Valkey at 127.0.0.1:1 does not answer (ConnectionError): is it running")


def test_failures_need_no_ledger(shell: Shell) -> None:
    shell.environment["DATABASE_URL"] = "postgresql://me@127.0.0.1:1/nowhere"
    assert shell("failed").exit_code == 0
    assert shell("failed", "show", shell.ids[0]).exit_code == 0
    assert shell("retry", "--all", "--yes").exit_code == 0


def test_a_pipe_that_closes_early_is_no_bug(shell: Shell) -> None:
    for _ in range(2000):
        shell.stepped_deployment.append(b"{")
    shell.stepped_deployment.dispatch()
    command = [*CURBSIDE, "failed", "--each"]
    for arguments in (command, [*command, "--json"]):
        with subprocess.Popen(
            arguments, env=only(shell.environment), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(20) in {0, 1}


def test_in_a_terminal_a_person_is_asked_and_sees_how_far_it_is(shell: Shell) -> None:
    asked = _in_a_terminal(shell, b"n\n", "retry", "--all")
    assert b"Retry 5 failures" in asked
    assert shell.states() == ["dead"] * 5
    done = _in_a_terminal(shell, b"y\n", "retry", "--all")
    assert b"100%" in done, "a progress bar"
    assert shell.states() == ["retrying"] * 5


def _in_a_terminal(shell: Shell, typed: bytes, *arguments: str) -> bytes:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [*CURBSIDE, *arguments],
            env=only({**shell.environment, "TERM": "xterm"}),
            cwd=REPOSITORY,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.write(ours, typed)
            process.wait(30)
        os.set_blocking(ours, False)
        return os.read(ours, 65_536)
    finally:
        os.close(theirs)
        os.close(ours)
