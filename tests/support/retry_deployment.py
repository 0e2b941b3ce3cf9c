"""A deployment of real processes with the faulty handler: a test causes failures, fixes the bug and counts retries."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from schemas import keys
from tests.support import faulty_handler
from tests.support.command_line import CommandResult, curbside
from tests.support.event_sums import BUILT_IN, Sums, failures, sums
from tests.support.live_deployment import Deployment, deployed
from tests.support.settings import environment_for_tests
from tests.support.waiting import wait_for

HANDLERS = (*BUILT_IN, "faulty")


def picking(order: str) -> bytes:
    """An event for the handlers timeline and faulty."""
    return b'{"event":"picking","order_id":"%s","timestamp":"2026-03-01T12:00:00Z"}' % order.encode()


class RetryDeployment:
    """Ingress, workers, ledger, and the file that switches the bug on."""

    def __init__(self, processes: Deployment, client: redis.Redis, environment: dict[str, str]) -> None:
        self.processes, self.client = processes, client
        self.environment = environment_for_tests(**environment)
        self.bug = Path(environment["FAULTY_HANDLER_BUG"])
        self._engine = create_engine(environment["DATABASE_URL"], poolclass=NullPool)

    def append(self, *orders: str) -> None:
        """Append events as the ingress does, but send no notification."""
        pipeline = self.client.pipeline(transaction=False)
        for order in orders:
            pipeline.xadd(keys.INBOX, {keys.FIELD_PROVIDER: "instacart", keys.FIELD_BODY: picking(order)})
        pipeline.execute()

    def sums(self) -> Sums:
        """Read the sums and check them."""
        found = sums(self.client, HANDLERS)
        found.check()
        return found

    def failed(self) -> int:
        """The number of failure records."""
        return int(self.client.hlen(keys.FAILURES))

    def wait_until(self, condition: Callable[[Sums], object], seconds: float, what: str) -> Sums:
        """Wait until the sums meet a condition. Check them at each poll."""

        def check() -> Sums | None:
            now = self.sums()
            return now if condition(now) else None

        found = wait_for(check, seconds, what)
        assert found is not None
        return found

    def wait_until_all_applied(self, seconds: float = 40) -> None:
        """Wait until no event waits and no failure is left."""
        self.wait_until(lambda now: now.is_settled and not self.failed(), seconds, "everything to be applied")

    def applied_orders(self) -> list[str]:
        """The order ids that the faulty handler has applied, sorted."""
        with self._engine.connect() as connection:
            return sorted(connection.scalars(text("SELECT order_id FROM faulty_orders")))

    def command(self, *arguments: str) -> CommandResult:
        """Run `curbside`."""
        return curbside(*arguments, environment=self.environment)

    def json(self, *arguments: str) -> Any:
        """The parsed output of a command with `--json`."""
        said = self.command(*arguments, "--json")
        assert said.exit_code == 0, said.errors
        return json.loads(said.output)

    def reasons(self) -> set[str]:
        """The reasons of all failures."""
        return {each.reason.value for each in failures(self.client).values()}

    def create_table(self) -> bool:
        """Create the faulty handler's table; False while the ledger is not migrated."""
        try:
            with self._engine.begin() as connection:
                connection.execute(text("SELECT 1 FROM orders"))
                connection.execute(text(faulty_handler.TABLE))
        except DBAPIError:
            return False
        return True

    def close(self) -> None:
        """Close connections."""
        self._engine.dispose()


@contextmanager
def open_retry_deployment(folder: Path, valkey_url: str, *, workers: int = 1, **environment: str) -> Iterator[RetryDeployment]:
    """A running deployment, its ledger migrated, the bug switched on."""
    bug = folder / "bug"
    bug.touch()
    given = {
        "REDIS_URL": valkey_url,
        "DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}",
        "HANDLER_MODULES": "tests.support.faulty_handler",
        "FAULTY_HANDLER_BUG": str(bug),
    } | environment
    with redis.Redis.from_url(valkey_url) as client, deployed(folder, workers=workers, **given) as processes:
        deployment = RetryDeployment(processes, client, given)
        try:
            migrated = deployment.command("migrate")
            assert migrated.exit_code == 0, migrated.errors
            assert deployment.create_table()
            yield deployment
        finally:
            deployment.close()
