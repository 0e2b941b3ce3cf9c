"""The running deployment that a command inspects or repairs, found through the same settings as its processes use.

Slow imports happen when a deployment is opened: every command's module imports this one, and `--help` imports every command.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.errors import WRONG_SET_UP, CommandError
from deploy.generated import load_settings
from schemas.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

    from workers.failures.failure_store import FailureStore
    from workers.handler import Handler
    from workers.ledger.ledger import Ledger


@dataclass(frozen=True)
class Deployment:
    """Connections to a deployment: its settings, Valkey, ledger and handlers."""

    settings: Settings
    client: "Redis"
    ledger: "Ledger"
    handlers: "tuple[Handler, ...]"

    @property
    def failures(self) -> "FailureStore":
        """The failures on record."""
        from workers.failures.failure_store import FailureStore  # noqa: PLC0415 - quick start

        return FailureStore(self.client)


@contextmanager
def open_deployment() -> Iterator[Deployment]:
    """Connect to the deployment that the settings name. Raises `CommandError` if a dependency cannot be reached."""
    from redis import RedisError  # noqa: PLC0415 - quick start

    from workers.errors import DependencyUnavailableError, HandlerError  # noqa: PLC0415 - quick start
    from workers.handler import registered  # noqa: PLC0415 - quick start
    from workers.ledger.ledger import Ledger  # noqa: PLC0415 - quick start
    from workers.valkey.connection import connect  # noqa: PLC0415 - quick start

    settings = load_settings(os.environ)
    try:
        handlers = registered(settings.handler_modules)
    except HandlerError as error:
        raise CommandError(str(error), WRONG_SET_UP) from error
    client, ledger = connect(settings.redis_url), Ledger(settings)
    try:
        yield Deployment(settings, client, ledger, handlers)
    except RedisError as error:
        raise CommandError(
            f"Valkey at {_host_and_port(settings.redis_url)} does not answer ({type(error).__name__}): {_HINT}"
        ) from error
    except DependencyUnavailableError as error:
        raise CommandError(f"{error} is unreachable (DATABASE_URL).") from error
    finally:
        client.close()
        ledger.close()


_HINT = "is it running, and does REDIS_URL or CURBSIDE_DATA_DIR name the right one?"


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}"
