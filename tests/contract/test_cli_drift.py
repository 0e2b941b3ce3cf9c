"""`curbside drift`: its text and its JSON output."""

import json
from collections.abc import Callable

import pytest
from redis import Redis

from schemas.drift import DriftKind, Finding
from tests.support.command_line import CommandResult, curbside, in_process
from tests.support.settings import environment_for_tests
from workers.contract_drift import read_drift, record

Shell = Callable[..., CommandResult]


@pytest.fixture
def shell(valkey_url: str) -> Shell:
    def run(*arguments: str) -> CommandResult:
        return in_process("drift", *arguments, environment=environment_for_tests(REDIS_URL=valkey_url))

    return run


@pytest.fixture
def two_findings(valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as client:
        at_ms = 1732230000000
        record(
            client, Finding("afosto", "DELIVERED", DriftKind.WRONG_TYPE, "$.data.method", "string", "1732230000000-0", at_ms), 3
        )
        record(
            client, Finding("instacart", "fulfillment.picking", DriftKind.UNKNOWN_FIELD, "$.aisle", "number", "1-0", at_ms), 1
        )


def test_without_findings_the_command_says_so(shell: Shell) -> None:
    assert shell().output == "No drift: all bodies match the contract.\n"
    assert json.loads(shell("--json").output) == []


@pytest.mark.usefixtures("two_findings")
def test_findings_are_one_line_each_and_can_be_filtered(shell: Shell) -> None:
    header, *lines = shell().output.splitlines()
    assert header.split()[:4] == ["provider", "event", "what", "where"]
    assert "afosto     DELIVERED" in lines[0]
    assert "wrong type" in lines[0]
    assert "2024-11-21 23:00:00" in lines[0]
    assert len(shell("--provider", "instacart").output.splitlines()) == 2
    assert shell("--event", "nothing").output.startswith("No drift")


@pytest.mark.usefixtures("two_findings")
def test_json_output_has_every_finding(shell: Shell) -> None:
    (first, _) = json.loads(shell("--json").output)
    assert first == {
        "provider": "afosto",
        "event": "DELIVERED",
        "what": "wrong_type",
        "path": "$.data.method",
        "found": "string",
        "first_event_id": "1732230000000-0",
        "first_at_ms": 1732230000000,
        "times": 3,
    }


@pytest.mark.usefixtures("two_findings")
def test_a_forgotten_finding_is_removed(shell: Shell, valkey_url: str) -> None:
    assert shell("--forget").output == "All findings are deleted.\n"
    with Redis.from_url(valkey_url) as client:
        assert read_drift(client) == []


def test_help_has_an_example() -> None:
    said = curbside("drift", "--help", environment={})
    assert said.exit_code == 0
    assert "Example: curbside drift --provider instacart" in said.output
