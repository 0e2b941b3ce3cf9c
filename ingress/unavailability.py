"""Why no event is accepted now, as Valkey's errors tell: each code of an error has its cause.

An error of the server concerns one command, and is over when Valkey says so: nothing is closed and nothing started anew for it.
The exceptions are `READONLY` and `MASTERDOWN`: this server is no primary any more, and its address may lead to another by now.
"""

from typing import NamedTuple

import hiredis
from redis import exceptions

from schemas.keys import INBOX
from schemas.refusals import Cause

PROBE = ("XADD", INBOX, "NOMKSTREAM", "0-0", "p", "-")
"""An append that never adds anything: Valkey refuses the id, after it has checked all else that it might refuse an append for."""
NOT_THE_PRIMARY = {"READONLY", "MASTERDOWN"}
"""Codes after which a new connection may lead to another server."""
_CAUSES = {
    "OOM": Cause.MEMORY,
    "READONLY": Cause.READ_ONLY,
    "MASTERDOWN": Cause.READ_ONLY,
    "MISCONF": Cause.NOT_PERSISTING,
    "NOREPLICAS": Cause.REPLICAS,
    "NOPERM": Cause.PERMISSION,
    "NOAUTH": Cause.PERMISSION,
    "WRONGPASS": Cause.PERMISSION,
    "LOADING": Cause.LOADING,
}
_CODES = (
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.AuthenticationError, "NOAUTH"),
    (exceptions.BusyLoadingError, "LOADING"),
)
"""The codes of server errors that redis-py turns into exception types and drops from the text."""


class Refusal(NamedTuple):
    """Why no event is accepted now."""

    detail: str
    cause: Cause


class InboxUnavailableError(Exception):
    """The event was not accepted: Valkey is unavailable, full or too slow. The provider should send it again."""

    def __init__(self, detail: str, cause: Cause) -> None:
        super().__init__(detail)
        self.cause = cause


def code_of(error: Exception) -> str:
    """The code of a server's error: `OOM`, `READONLY`, `MISCONF`; empty if it is none of a server."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    if not isinstance(error, hiredis.ReplyError | exceptions.ResponseError):
        return ""
    word = str(error).partition(" ")[0]
    return word if word.isupper() else "ERR"  # redis-py drops this code


def refusal_of_probe(reply: object) -> Refusal | None:
    """Why Valkey takes no appends, as its reply to `PROBE` tells; None if it does."""
    return refusal_of(reply) if isinstance(reply, Exception) and code_of(reply) != "ERR" else None


def refusal_of(error: Exception) -> Refusal:
    """Why nothing is accepted, as an error reply of Valkey or an error on the way to it tells."""
    if code := code_of(error):
        return Refusal(f"Valkey refused: {code}", _CAUSES.get(code, Cause.VALKEY_REFUSED))
    return Refusal(f"Valkey is unreachable: {type(error).__name__}", Cause.UNREACHABLE)
