"""What we answer when we do not accept: `application/problem+json` (RFC 9457)."""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

import orjson
from starlette.types import Send

_TYPE = (b"content-type", b"application/problem+json")


class Cause(StrEnum):
    """Why a request was refused, for those who count. The value is stored: never change one."""

    TOKEN_MISSING = "token_missing"  # noqa: S105 - the name of a cause, as those below
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105
    """No bearer token, or one that we would never have issued."""
    TOKEN_WRONG = "token_wrong"  # noqa: S105
    """Not signed by a key in use."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_CLIENT = "token_client"  # noqa: S105
    """Issued to a client that is not this provider's, or no longer."""
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_WRONG = "signature_wrong"
    TIMESTAMP_MISSING = "timestamp_missing"
    TIMESTAMP_MALFORMED = "timestamp_malformed"
    TIMESTAMP_OUT_OF_TOLERANCE = "timestamp_out_of_tolerance"
    LOGIN_MISSING = "login_missing"
    LOGIN_WRONG = "login_wrong"
    """HTTP Basic with another user or password, or malformed."""
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    UNAVAILABLE = "unavailable"
    """Valkey is away, full or too slow."""
    BUG = "bug"


@dataclass(frozen=True)
class Problem:
    """One answer: status, the sentence for the caller, and headers such as `Retry-After`."""

    status: HTTPStatus
    detail: str
    cause: Cause
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def body(self) -> bytes:
        """The JSON document."""
        return orjson.dumps(
            {"type": "about:blank", "title": self.status.phrase, "status": self.status.value, "detail": self.detail}
        )

    async def send(self, send: Send) -> None:
        """Answer with it."""
        body = self.body
        headers = [_TYPE, (b"content-length", b"%d" % len(body)), *self.headers]
        await send({"type": "http.response.start", "status": self.status.value, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class HttpProblemError(Exception):
    """The request ends with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class RefusedError(Exception):
    """Who sent a request is not known. `str()` says why, for the caller to read: it quotes nothing of the request."""

    def __init__(self, detail: str, cause: Cause) -> None:
        super().__init__(detail)
        self.cause = cause


def unavailable(detail: str) -> Problem:
    """Not acknowledged; worth sending again in a second."""
    detail = f"{detail}; not accepted, send it again"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, Cause.UNAVAILABLE, ((b"retry-after", b"1"),))


def unauthorized(detail: str, challenge: str, cause: Cause) -> Problem:
    """Who sent this is not known; `challenge` says how to show it."""
    return Problem(HTTPStatus.UNAUTHORIZED, detail, cause, ((b"www-authenticate", challenge.encode()),))


def too_large(limit_bytes: int) -> Problem:
    """The body is over the limit. The connection is closed, since the rest of the body is not read."""
    detail = f"the body is larger than {limit_bytes} bytes (MAX_BODY_BYTES)"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, Cause.TOO_LARGE, _CLOSE)


_CLOSE = ((b"connection", b"close"),)
EMPTY = Problem(HTTPStatus.BAD_REQUEST, "the body is empty: an event was expected", Cause.EMPTY)
TOO_SLOW = Problem(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time", Cause.TOO_SLOW, _CLOSE)
BUG = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours: send it again", Cause.BUG)
