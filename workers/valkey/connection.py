"""The workers' connection to Valkey, and which of its errors are an outage.

It uses RESP2: redis-py returns stream replies in another shape under RESP3. redis-py has no types for some replies that say that
Valkey is at fault and not the command; `connect` gives them one.
"""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from workers.errors import ValkeyRefusesError

SOCKET_TIMEOUT_SECONDS = 10.0
"""Longer than any blocking read of the workers."""
UNAVAILABLE = (
    redis.ConnectionError,  # also LOADING, NOAUTH and WRONGPASS
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.ClusterDownError,  # also MASTERDOWN
    redis.exceptions.TryAgainError,
    ValkeyRefusesError,
)
"""Valkey is unavailable, does not answer, or refuses commands: a dependency outage. No event fails for it."""
_REFUSALS = {
    "MISCONF": "MISCONF",
    "NOREPLICAS": "NOREPLICAS",
    "BUSY": "BUSY",
    "UNBLOCKED": "UNBLOCKED",
    "Protocol error: unauthenticated": "NOAUTH",
    "ACL failure in script": "NOPERM",
    "The user executing the script can't": "NOPERM",
}
"""How the replies without a type begin, and the code of each. In a script, Valkey and Redis say NOPERM in words of their own."""
_CODES = {
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
}


def cause_of(error: Exception) -> str:
    """The code of Valkey's refusal, or else the name of the error's type."""
    return error.code if isinstance(error, ValkeyRefusesError) else _CODES.get(type(error), type(error).__name__)


class _Client(redis.Redis):
    """A client that raises `ValkeyRefusesError`."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """Read a reply."""
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            raise _typed(error) from None

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """A pipeline that raises `ValkeyRefusesError`."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            raise _typed(error) from None


def _typed(error: redis.ResponseError) -> redis.ResponseError:
    if type(error) is not redis.ResponseError:
        return error
    text = str(error)
    return next((ValkeyRefusesError(code, text) for start, code in _REFUSALS.items() if text.startswith(start)), error)


def connect(redis_url: str) -> redis.Redis:
    """Create the workers' client. It never repeats a command by itself: the command may have been committed."""
    return _Client.from_url(
        redis_url,
        protocol=2,
        decode_responses=False,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=2.0,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
