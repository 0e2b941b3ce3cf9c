"""Which lines of the services' logs `curbside run` shows in the terminal."""

from pathlib import Path

import pytest

from deploy.local.logs import Tail, WarningFilter


@pytest.mark.parametrize(
    ("line", "is_warning"),
    [
        ("2030-01-01 12:00:00,000 INFO celery.apps.worker ready.", False),
        ("2030-01-01 12:00:00,000 WARNING curbside.alerts ALERT", True),
        ("[2030-01-01 12:00:00,000: ERROR/MainProcess] no", True),
        ("[I 300101 12:00:00 mixins:228] Connected", False),
        ("[W 300101 12:00:00 inspector:98] Inspect method stats failed", False),
        ("[E 300101 12:00:00 events:228] Failed to capture events", True),
        ("12:M 01 Jan 2030 12:00:00.000 * Ready to accept connections tcp", False),
        ("12:M 01 Jan 2030 12:00:00.000 # Can't save in background: fork", True),
        ("12:M 01 Jan 2030 12:00:00.000 # WARNING Memory overcommit must be enabled! Without it, ...", False),
        (" -------------- celery@host v5", False),
    ],
)
def test_only_warnings_and_errors_are_shown(line: str, is_warning: bool) -> None:
    assert WarningFilter().is_warning(line) == is_warning


def test_a_traceback_is_shown_with_its_error() -> None:
    ear = WarningFilter()
    lines = [
        "2030-01-01 12:00:00,000 ERROR a failed",
        "Traceback:",
        "  File",
        "2030-01-01 12:00:01,000 INFO a goes on",
        "quiet",
    ]
    assert [ear.is_warning(line) for line in lines] == [True, True, True, False, False]


def test_what_was_there_before_is_not_shown_again_and_rotation_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("old\n")
    tail = Tail(log)
    with log.open("a") as file:
        file.write("one\ntw")
    assert [line for line, _ in tail.lines()] == ["one"]
    with log.open("a") as file:
        file.write("o\nthree\n")
    log.rename(tmp_path / "part.log.1")
    log.write_text("four\n")
    assert [line for line, _ in tail.lines()] == ["two", "three", "four"]
    tail.close()


def test_a_log_that_does_not_exist_yet(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "part.log")
    assert not list(tail.lines())
    (tmp_path / "part.log").write_text("first\n")
    assert [line for line, _ in tail.lines()] == ["first"]
    tail.close()
