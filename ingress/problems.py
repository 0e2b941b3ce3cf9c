"""The answers to requests that are not accepted: `application/problem+json` (RFC 9457)."""

from dataclasses import dataclass
from http import HTTPStatus

import orjson
from starlette.types import Send

from schemas.content_codings import KNOWN, MAX_CODINGS
from schemas.refusals import Cause

_TYPE = (b"content-type", b"application/problem+json")


@dataclass(frozen=True)
class Problem:
    """One problem: its status, a sentence for the caller, and headers such as `Retry-After`."""

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

    def as_http(self) -> bytes:
        """The whole HTTP answer, for a connection that no application serves."""
        headers = b"".join(b"%b: %b\r\n" % header for header in (_TYPE, *self.headers))
        status = f"HTTP/1.1 {self.status.value} {self.status.phrase}".encode()
        return b"%b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(self.body), self.body)

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
    """The sender of a request is not authenticated. `str()` states why, for the client, and quotes nothing of the request."""

    def __init__(self, detail: str, cause: Cause) -> None:
        super().__init__(detail)
        self.cause = cause


def unavailable(detail: str, cause: Cause) -> Problem:
    """503: not accepted, to be sent again in a second."""
    detail = f"{detail}; not accepted, send it again"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, cause, ((b"retry-after", b"1"),))


def unauthorized(detail: str, challenge: str, cause: Cause) -> Problem:
    """401: the sender is not authenticated. `challenge` states the expected scheme."""
    return Problem(HTTPStatus.UNAUTHORIZED, detail, cause, ((b"www-authenticate", challenge.encode()),))


def too_large(limit_bytes: int) -> Problem:
    """413: the body is over the limit. The connection is not closed at once: a reset would overtake the answer."""
    detail = f"the body is larger than {limit_bytes} bytes"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, Cause.TOO_LARGE)


CLOSE = (b"connection", b"close")
"""The header that closes the connection after the answer."""
_CLOSE = (CLOSE,)
EMPTY = Problem(HTTPStatus.BAD_REQUEST, "the body is empty: an event was expected", Cause.EMPTY)
UNKNOWN_CODING = Problem(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    f"the Content-Encoding is not one of {', '.join(KNOWN)}, or names more than {MAX_CODINGS}",
    Cause.CODING,
    ((b"accept-encoding", ", ".join(KNOWN).encode()),),
)
TOO_SLOW = Problem(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time", Cause.TOO_SLOW, _CLOSE)
OVERLOADED = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many requests are under way, and this one is the oldest; not accepted, send it again",
    Cause.OVERLOADED,
    ((b"retry-after", b"1"),),
)
STOPPING = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "this ingress stops; not accepted, send it again",
    Cause.STOPPING,
    ((b"retry-after", b"1"), *_CLOSE),
)
CROWDED = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "there are too many connections",
    Cause.OVERLOADED,
    ((b"retry-after", b"1"), *_CLOSE),
)
MALFORMED = Problem(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1", Cause.MALFORMED, _CLOSE)
PADDED = Problem(HTTPStatus.BAD_REQUEST, "more was sent around the body than the body", Cause.MALFORMED, _CLOSE)
HEAD_TOO_SLOW = Problem(HTTPStatus.REQUEST_TIMEOUT, "the headers did not arrive in time", Cause.TOO_SLOW, _CLOSE)
HEAD_TOO_LARGE = Problem(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "request line and headers are larger than 64 KiB, or more than 128 headers",
    Cause.HEAD_TOO_LARGE,
    _CLOSE,
)
URL_TOO_LONG = Problem(HTTPStatus.REQUEST_URI_TOO_LONG, "the URL is longer than 64 KiB", Cause.HEAD_TOO_LARGE, _CLOSE)
BUG = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours: send it again", Cause.BUG)
