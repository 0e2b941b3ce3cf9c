"""A deployment of real processes with the pantry, whose failures a test makes, mends and counts."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from schemas import keys
from tests.support import pantry
from tests.support.command_line import Said, curbside
from tests.support.outcomes import BUILT_IN, Sums, failures, sums
from tests.support.processes import Deployment, deployed
from tests.support.settings import environment_for_tests
from tests.support.waiting import wait_for

HANDLERS = (*BUILT_IN, "pantry")


def picking(order: str) -> bytes:
    """An event that goes to the timeline and to the pantry."""
    return b'{"event":"picking","order_id":"%s","timestamp":"2026-03-01T12:00:00Z"}' % order.encode()


class Shop:
    """Ingress, workers, ledger and the pantry's bug."""

    def __init__(self, deployment: Deployment, client: redis.Redis, environment: dict[str, str]) -> None:
        self.deployment, self.client = deployment, client
        self.environment = environment_for_tests(**environment)
        self.bug = Path(environment["PANTRY_BUG"])
        self._engine = create_engine(environment["DATABASE_URL"], poolclass=NullPool)

    def append(self, *orders: str) -> None:
        """What the ingress does, with every doorbell lost."""
        pipeline = self.client.pipeline(transaction=False)
        for order in orders:
            pipeline.xadd(keys.INBOX, {keys.FIELD_PROVIDER: "instacart", keys.FIELD_BODY: picking(order)})
        pipeline.execute()

    def sums(self) -> Sums:
        """Where every event is; checked."""
        found = sums(self.client, HANDLERS)
        found.check()
        return found

    def failed(self) -> int:
        """How many failures are on record."""
        return int(self.client.hlen(keys.FAILURES))

    def wait_until(self, condition: Callable[[Sums], object], seconds: float, what: str) -> Sums:
        """Wait for it; the sums hold at every look."""

        def look() -> Sums | None:
            now = self.sums()
            return now if condition(now) else None

        found = wait_for(look, seconds, what)
        assert found is not None
        return found

    def wait_until_all_is_applied(self, seconds: float = 40) -> None:
        """Wait until nothing waits and nothing failed."""
        self.wait_until(lambda now: now.is_settled and not self.failed(), seconds, "everything to be applied")

    def in_the_pantry(self) -> list[str]:
        """What the pantry holds, sorted."""
        with self._engine.connect() as connection:
            return sorted(connection.scalars(text("SELECT order_id FROM pantry")))

    def command(self, *arguments: str) -> Said:
        """Run `curbside`."""
        return curbside(*arguments, environment=self.environment)

    def json(self, *arguments: str) -> Any:
        """What a command says with `--json`."""
        said = self.command(*arguments, "--json")
        assert said.exit_code == 0, said.errors
        return json.loads(said.output)

    def reasons(self) -> set[str]:
        """The reasons of all failures on record."""
        return {each.reason.value for each in failures(self.client).values()}

    def make_table(self) -> bool:
        """Make the pantry's table, once the ledger is there."""
        try:
            with self._engine.begin() as connection:
                connection.execute(text("SELECT 1 FROM orders"))
                connection.execute(text(pantry.TABLE))
        except DBAPIError:
            return False
        return True

    def close(self) -> None:
        """Close connections."""
        self._engine.dispose()


@contextmanager
def open_shop(folder: Path, valkey_url: str, *, workers: int = 1, **environment: str) -> Iterator[Shop]:
    """A shop whose pantry has its bug."""
    bug = folder / "bug"
    bug.touch()
    given = {
        "REDIS_URL": valkey_url,
        "DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}",
        "HANDLER_MODULES": "tests.support.pantry",
        "PANTRY_BUG": str(bug),
    } | environment
    with redis.Redis.from_url(valkey_url) as client, deployed(folder, workers=workers, **given) as deployment:
        shop = Shop(deployment, client, given)
        try:
            migrated = shop.command("migrate")
            assert migrated.exit_code == 0, migrated.errors
            assert shop.make_table()
            yield shop
        finally:
            shop.close()
