"""`curbside failed`, `retry`, `discard`, `replay`: text and JSON output, in a terminal, in a pipe and during an outage."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from schemas import keys
from tests.contract.failure_shell import SECRET, FailureShell
from tests.support.command_line import CURBSIDE, REPOSITORY, in_process, only
from tests.support.ledger_fixture import HANDLERS
from tests.support.settings import NOBODY_LISTENS, environment_for_tests

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


def test_failures_are_grouped_by_cause_with_the_counts_first(failure_shell: FailureShell) -> None:
    first, *others = failure_shell.json("failed")
    assert (first["count"], first["handler"], first["reason"], first["state"]) == (3, "refunds", "handler_error", "dead")
    assert first["example"] == failure_shell.ids[-1]
    assert [(each["count"], each["handler"], each["reason"]) for each in others] == [
        (1, "dispatch", "malformed"),
        (1, "dispatch", "no_order"),
    ]
    assert others[1]["says"].startswith("$.order_id or $.order.id: expected the order's id")
    text = failure_shell("failed").output.splitlines()
    assert text[0].split() == ["count", "handler", "reason", "state", "first", "last", "example", "says"]
    assert text[1].split()[:4] == ["3", "refunds", "handler_error", "dead"]
    assert SECRET not in failure_shell("failed").output


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
def test_filters_choose_failures(failure_shell: FailureShell, options: list[str], count: int) -> None:
    assert len(failure_shell.json("failed", "--each", *options)) == count


def test_failures_are_listed_as_json_lines(failure_shell: FailureShell) -> None:
    rows = failure_shell.json("failed", "--each", "--handler", "refunds")
    assert [(row["id"], row["orders"], row["next"]) for row in rows] == [
        (name, [f"o-{number}"], None) for number, name in enumerate(failure_shell.ids)
    ]
    assert rows[0]["last"].endswith(("Z", "+00:00"))


def test_a_failure_is_shown_masked_unless_unmasked_is_asked_for(failure_shell: FailureShell) -> None:
    masked, event_id = failure_shell("failed", "show", failure_shell.ids[0]), failure_shell.ids[0].partition(":")[2]
    assert masked.exit_code == 0
    assert SECRET not in masked.output
    assert '"order_id": "o-0"' in masked.output
    assert "KeyError: (--unmask shows its text)" in masked.output
    assert "stepped_deployment.py" in masked.output, "the frames are shown"
    assert failure_shell("failed", "show", event_id).output == masked.output, (
        "an event that failed once needs no handler's name"
    )
    unmasked = failure_shell("failed", "show", failure_shell.ids[0], "--unmask").output
    assert unmasked.count(SECRET) >= 3
    details = failure_shell.json("failed", "show", failure_shell.ids[0])
    assert (details["id"], details["reason"], details["note"]) == (failure_shell.ids[0], "handler_error", None)


def test_a_body_cannot_send_terminal_commands(failure_shell: FailureShell) -> None:
    (bad,) = [row["id"] for row in failure_shell.json("failed", "--each", "--reason", "malformed")]
    said = failure_shell("failed", "show", bad, "--unmask").output
    assert "\x1b" not in said
    assert r"{\x1b[31m" in said


def test_an_unknown_failure_is_one_sentence_and_exit_code_1(failure_shell: FailureShell) -> None:
    for command in (["failed", "show"], ["retry"], ["discard", "--note", "x"]):
        for name in ("refunds:1-0", "1-0", "nonsense"):
            said = failure_shell(*command, name)
            assert (said.exit_code, said.errors.count("\n"), said.output) == (1, 1, ""), said
            assert name in said.errors


def test_a_retry_by_reason_asks_with_its_count_and_runs_with_yes(failure_shell: FailureShell) -> None:
    unasked = failure_shell("retry", "--reason", "handler_error")
    assert unasked.exit_code == 1
    assert "Retry 3 failures (refunds: handler_error)? There is no terminal to confirm in: use --yes." in unasked.errors
    assert failure_shell.states() == ["dead"] * 5
    piped = failure_shell("retry", "--reason", "handler_error", given="y\n")
    assert (piped.exit_code, failure_shell.states()) == (1, ["dead"] * 5), "nobody is asked in a pipe, whatever it says"
    done = failure_shell("retry", "--reason", "handler_error", "--yes")
    assert (done.exit_code, done.output) == (0, "3 of 3 are being retried: see `curbside failed`, or Flower\n")
    assert failure_shell.states() == ["dead"] * 2 + ["retrying"] * 3
    assert failure_shell.stepped_deployment.client.zcard(keys.RETRIES) == 3
    assert failure_shell.stepped_deployment.sums


def test_retry_and_discard_by_id_and_what_a_script_reads(failure_shell: FailureShell) -> None:
    one, two, three = failure_shell.ids
    assert failure_shell.json("retry", one, two, "--yes") == {"chosen": 2, "done": 2, "refused": {}}
    assert failure_shell.json("discard", "--note", "a test order", three, "--yes")["done"] == 1
    assert failure_shell.json("failed", "show", three)["note"] == "a test order"
    again = failure_shell("discard", "--note", "twice", three, "--yes", "--json")
    assert (again.exit_code, json.loads(again.output)) == (
        1,
        {"chosen": 1, "done": 0, "refused": {three: f"{three} is discarded already"}},
    )
    assert failure_shell.json("retry", "--all", "--yes")["chosen"] == 4, "what was discarded stays so, unless it is named"
    assert failure_shell.json("retry", three, "--yes")["done"] == 1
    nothing = failure_shell("retry", "--order", "nobody", "--yes")
    assert (nothing.exit_code, nothing.output) == (0, "nothing to do: no failure matches\n")


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
def test_a_wrong_option_is_exit_code_2_and_changes_nothing(failure_shell: FailureShell, wrong: list[str]) -> None:
    said = failure_shell(*wrong)
    assert said.exit_code == 2, said
    assert said.output == ""
    assert "Traceback" not in said.errors
    assert failure_shell.states() == ["dead"] * 5


def test_replay_prints_its_count_before_it_asks_and_does_nothing_before_a_yes(failure_shell: FailureShell) -> None:
    dry = failure_shell("replay", "--since", "1h", "--dry-run")
    assert (dry.exit_code, dry.output.split(":")[0]) == (
        0,
        "4 events to timeline, replacements, refunds, late_deliveries, customer_mia",
    )
    before = failure_shell.stepped_deployment.sums
    unasked = failure_shell("replay", "--since", "1h")
    assert (unasked.exit_code, failure_shell.stepped_deployment.sums) == (1, before)
    assert "Replay 4 events? There is no terminal to confirm in" in unasked.errors
    assert failure_shell.json("replay", "--since", "1h", "--dry-run") == {
        "events": 4, "handlers": list(HANDLERS), "seconds": 1,
        "left_out": {"failed": 3, "unreadable": 2}, "unknown_handlers": [],
    }  # fmt: skip
    assert "left out: 3 failed there: see `curbside failed`" in dry.output
    done = failure_shell.json("replay", "--since", "1h", "--yes")
    assert (done["replayed"], done["claim_checks"]) == (4, 4), "the three failed refunds go on the timeline alone"
    failure_shell.stepped_deployment.handle()
    assert failure_shell.stepped_deployment.sums.is_settled
    some = failure_shell.json(
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


def test_failures_need_no_ledger(failure_shell: FailureShell) -> None:
    failure_shell.environment["DATABASE_URL"] = "postgresql://me@127.0.0.1:1/nowhere"
    assert failure_shell("failed").exit_code == 0
    assert failure_shell("failed", "show", failure_shell.ids[0]).exit_code == 0
    assert failure_shell("retry", "--all", "--yes").exit_code == 0


def test_a_pipe_that_closes_early_is_no_error(failure_shell: FailureShell) -> None:
    for _ in range(2000):
        failure_shell.stepped_deployment.append(b"{")
    failure_shell.stepped_deployment.dispatch()
    command = [*CURBSIDE, "failed", "--each"]
    for arguments in (command, [*command, "--json"]):
        with subprocess.Popen(
            arguments, env=only(failure_shell.environment), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(20) in {0, 1}


def test_a_terminal_gets_a_question_and_a_progress_line(failure_shell: FailureShell) -> None:
    asked = _in_a_terminal(failure_shell, b"n\n", "retry", "--all")
    assert b"Retry 5 failures" in asked
    assert failure_shell.states() == ["dead"] * 5
    done = _in_a_terminal(failure_shell, b"y\n", "retry", "--all")
    assert b"100%" in done, "a progress bar"
    assert failure_shell.states() == ["retrying"] * 5


def _in_a_terminal(failure_shell: FailureShell, typed: bytes, *arguments: str) -> bytes:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [*CURBSIDE, *arguments],
            env=only({**failure_shell.environment, "TERM": "xterm"}),
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
