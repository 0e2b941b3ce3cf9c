"""A stepped deployment whose handler records each event's request context, and the command line beside it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas import keys
from schemas.request_context import RequestContext, encode_context
from tests.support.command_line import CommandResult, in_process
from tests.support.ledger_fixture import HANDLERS
from tests.support.settings import environment_for_tests
from tests.support.stepped_deployment import SteppedDeployment, open_stepped_deployment
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
"""The request context of an event, unless a test gives another."""


class RecordingHandler:
    """A handler of every event that records the request contexts. It raises `bug` while one is set."""

    def __init__(self) -> None:
        self.seen: list[RequestContext] = []
        self.bug: Exception | None = None

    def __call__(self, work: UnitOfWork, events: Sequence[Event]) -> None:
        self.seen += [event.request for event in events]
        if self.bug is not None:
            raise self.bug

    @property
    def handler(self) -> Handler:
        """Its registration."""
        return Handler("recording", None, self, PATIENT)


class ContextDeployment:
    """A stepped deployment with a recording handler. Calling it runs `curbside`."""

    def __init__(
        self, stepped_deployment: SteppedDeployment, recording_handler: RecordingHandler, environment: dict[str, str]
    ) -> None:
        self.stepped_deployment, self.recording_handler, self._environment = (
            stepped_deployment,
            recording_handler,
            environment_for_tests(**environment),
        )

    def __call__(self, *arguments: str) -> CommandResult:
        return in_process(*arguments, environment=self._environment)

    def json(self, *arguments: str) -> Any:
        """The parsed output of a command with --json."""
        return json.loads(self(*arguments, "--json").output)

    def append(self, body: bytes, provider: str, request: RequestContext = SENT) -> str:
        """Append an event to the inbox, as the ingress does. Return its id."""
        return self.stepped_deployment.append(body, provider, encode_context(request))

    def trim_inbox(self) -> None:
        """Remove all entries, as INBOX_RETENTION does."""
        self.stepped_deployment.client.xtrim(keys.INBOX, maxlen=0, approximate=False)


@contextmanager
def open_context_deployment(url: str, migrated: Path, folder: Path) -> Iterator[ContextDeployment]:
    """A deployment with a new SQLite ledger in `folder`."""
    database = folder / "ledger.db"
    database.write_bytes(migrated.read_bytes())
    environment = {"REDIS_URL": url, "DATABASE_URL": f"sqlite:///{database}"}
    recording_handler = RecordingHandler()
    with open_stepped_deployment(
        url, environment["DATABASE_URL"], [HANDLERS["timeline"], recording_handler.handler]
    ) as stepped_deployment:
        yield ContextDeployment(stepped_deployment, recording_handler, environment)


@pytest.fixture
def context_deployment(valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[ContextDeployment]:
    """A deployment on fakeredis, and one on Valkey."""
    with open_context_deployment(valkey_url, migrated_sqlite, tmp_path) as context_deployment:
        yield context_deployment


@pytest.fixture
def real_context_deployment(real_valkey_url: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[ContextDeployment]:
    """A deployment on a real Valkey."""
    with open_context_deployment(real_valkey_url, migrated_sqlite, tmp_path) as context_deployment:
        yield context_deployment
