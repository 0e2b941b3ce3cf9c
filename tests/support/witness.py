"""A deployment by hand with a handler that remembers what came with each event, and a person's shell beside it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas import keys
from schemas.request_context import RequestContext, encode_context
from tests.support.books import HANDLERS
from tests.support.command_line import Said, in_process
from tests.support.settings import environment_for_tests
from tests.support.slow_lane import SlowLane, slow_lane
from workers.failures.retry_policy import PATIENT
from workers.handler import Event, Handler, UnitOfWork

ENDPOINT = "0b9f3c1e-7d7b-4f4e-9b7a-2f6f3f1c9a10"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SENT = RequestContext(
    peer="203.0.113.9",
    user_agent="Afosto/1.0",
    traceparent=TRACEPARENT,
    headers={"x-afosto-tenant": "shop-nl", "x-afosto-endpoint": ENDPOINT},
)
"""What comes with an event unless a test says otherwise."""


class Witness:
    """A handler that wants every event and remembers the requests that it saw; it fails while `bug` is set."""

    def __init__(self) -> None:
        self.seen: list[RequestContext] = []
        self.bug: Exception | None = None

    def __call__(self, work: UnitOfWork, events: Sequence[Event]) -> None:
        self.seen += [event.request for event in events]
        if self.bug is not None:
            raise self.bug

    @property
    def handler(self) -> Handler:
        """It, as it is registered."""
        return Handler("witness", None, self, PATIENT)


class WitnessedShop:
    """A deployment by hand, with a witness among its handlers, and a person's shell beside it."""

    def __init__(self, queue: SlowLane, witness: Witness, environment: dict[str, str]) -> None:
        self.queue, self.witness, self._environment = queue, witness, environment_for_tests(**environment)

    def __call__(self, *arguments: str) -> Said:
        return in_process(*arguments, environment=self._environment)

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self(*arguments, "--json").output)

    def append(self, body: bytes, provider: str, request: RequestContext = SENT) -> str:
        """What the ingress does; the event's id."""
        return self.queue.append(body, provider, encode_context(request))

    def empty_the_inbox(self) -> None:
        """Let go of all entries, as it does after INBOX_RETENTION."""
        self.queue.client.xtrim(keys.INBOX, maxlen=0, approximate=False)


@contextmanager
def open_witnessed_shop(url: str, migrated: Path, folder: Path) -> Iterator[WitnessedShop]:
    """One on a ledger of its own."""
    database = folder / "ledger.db"
    database.write_bytes(migrated.read_bytes())
    environment = {"REDIS_URL": url, "DATABASE_URL": f"sqlite:///{database}"}
    witness = Witness()
    with slow_lane(url, environment["DATABASE_URL"], [HANDLERS["timeline"], witness.handler]) as queue:
        yield WitnessedShop(queue, witness, environment)


@pytest.fixture
def witnessed_shop(valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[WitnessedShop]:
    """On the fake and on the real Valkey."""
    with open_witnessed_shop(valkey_url, migrated_sqlite, tmp_path) as shop:
        yield shop


@pytest.fixture
def real_witnessed_shop(real_valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[WitnessedShop]:
    """On the real Valkey."""
    with open_witnessed_shop(real_valkey_url, migrated_sqlite, tmp_path) as shop:
        yield shop
