"""A connection to Valkey that fails at a chosen command: before it is sent, or after the server has run it and its reply is lost.

The process can be killed there as well: `KilledError` goes through every handler of exceptions, as a kill does.
"""

from dataclasses import dataclass
from typing import Any

import redis


class KilledError(BaseException):
    """The process ends here."""


@dataclass
class Faults:
    """What fails, and when. `countdown`: commands until then; None if nothing fails. `is_after`: after the command has run."""

    countdown: int | None = None
    is_after: bool = False
    is_kill: bool = False

    def clear(self) -> None:
        """Let nothing fail."""
        self.countdown = None

    def count_command(self) -> None:
        """A command is about to be sent."""
        if self.countdown is not None:
            self.countdown -= 1
            if self.countdown < 0 and not self.is_after:
                self._fail()

    def count_reply(self) -> None:
        """The reply of a command has come."""
        if self.countdown is not None and self.countdown < 0 and self.is_after:
            self._fail()

    def _fail(self) -> None:
        self.countdown = None
        if self.is_kill:
            raise KilledError
        raise redis.ConnectionError("the test cut this connection")


class FaultyConnection(redis.Connection):
    """A connection that fails as `faults` says."""

    def __init__(self, *, faults: Faults, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._faults = faults

    def send_packed_command(self, command: Any, check_health: bool = True) -> Any:
        """Send a command, unless it fails before."""
        self._faults.count_command()
        return super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply, and lose it if it fails after."""
        reply = super().read_response(*arguments, **options)
        self._faults.count_reply()
        return reply


def connect_with(faults: Faults, url: str) -> redis.Redis:
    """A client whose connections fail as `faults` says. It never repeats a command by itself, as the workers' client."""
    pool = redis.ConnectionPool.from_url(
        url, protocol=2, decode_responses=False, socket_timeout=10.0, connection_class=FaultyConnection, faults=faults
    )
    return redis.Redis(connection_pool=pool)
