"""`curbside` on a deployment with failures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.payloads import recorded
from tests.support.command_line import CommandResult, in_process
from tests.support.ledger_fixture import HANDLERS
from tests.support.settings import environment_for_tests
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment, open_stepped_deployment
from workers.failures.retry_policy import NO_RETRY

SECRET = "jane.roe@example.org"


class FailureShell:
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
def failure_shell(real_valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[FailureShell]:
    """Three refunds that failed for good, and two bodies that nobody can decode."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    environment = {"REDIS_URL": real_valkey_url, "DATABASE_URL": f"sqlite:///{database}"}
    bug = FailingHandler("refunds", KeyError(SECRET), frozenset({"o-0", "o-1", "o-2"}))
    handlers = [bug.handler(NO_RETRY) if name == "refunds" else HANDLERS[name] for name in HANDLERS]
    with open_stepped_deployment(real_valkey_url, environment["DATABASE_URL"], handlers) as stepped_deployment:
        failure_shell = FailureShell(stepped_deployment, environment)
        failure_shell.ids = [f"refunds:{stepped_deployment.append(refund(f'o-{number}'))}" for number in range(3)]
        stepped_deployment.append(recorded("afosto/order_opened"), "afosto")
        stepped_deployment.append(b'{"event":"picking"}')
        stepped_deployment.append(b"{\x1b[31m")
        stepped_deployment.work()
        yield failure_shell
