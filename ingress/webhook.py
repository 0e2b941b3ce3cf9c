"""The hot path: a plain ASGI endpoint that authenticates a request, reads its body, has it committed, and answers with the event id.

Nothing is parsed. A 200 leaves only after the commit; see `ingress.inbox`.
"""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from ingress.authentication import Authenticator
from ingress.body_reader import BodyReader
from ingress.inbox import Inbox
from ingress.notifier import Notifier
from ingress.problems import UNKNOWN_CODING, HttpProblemError, Problem, unavailable
from ingress.refusals import Refusals
from ingress.request_contexts import ContextEncoder
from ingress.unavailability import InboxUnavailableError
from schemas.content_codings import codings_of

_JSON = (b"content-type", b"application/json")
_CODING = b"content-encoding"


class Webhook:
    """One endpoint for all providers. The path parameters name the provider: see `ingress.webhook_routes`."""

    def __init__(
        self,
        inbox: Inbox,
        notifier: Notifier,
        authenticators: Mapping[str, Authenticator],
        contexts: Mapping[str, ContextEncoder],
        bodies: BodyReader,
        limit_bytes: int,
        refusals: Refusals,
    ) -> None:
        self._inbox, self._notifier = inbox, notifier
        self._authenticators, self._contexts = authenticators, contexts
        self._bodies, self._limit_bytes, self._refusals = bodies, limit_bytes, refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept one event."""
        provider = scope["path_params"]["provider"]
        try:
            body, request = await self._read(provider, scope, receive)
            event_id = await self._inbox.append(provider, body, request)
        except HttpProblemError as error:
            await self._refuse(provider, error.problem, send)
            return
        except InboxUnavailableError as error:
            await self._refuse(provider, unavailable(str(error), error.cause), send)
            return
        self._notifier.notify()
        answer = b'{"id":"%b"}' % event_id.encode()
        headers = [_JSON, (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _read(self, provider: str, scope: Scope, receive: Receive) -> tuple[bytes, bytes]:
        """The body and the request context of an authenticated request."""
        authenticator = self._authenticators.get(provider)
        if authenticator is None:
            raise HTTPException(404)
        headers: dict[bytes, bytes] = dict(scope["headers"])  # of a repeated header the last one counts
        authenticator.check_headers(headers)
        body = await self._bodies.read(headers.get(b"content-length", b""), self._limit_bytes, receive)
        authenticator.check_body(headers, body)
        if _CODING in headers:
            headers[_CODING] = _checked_coding(scope)
        return body, self._contexts[provider].encode(scope["client"], headers)

    async def _refuse(self, provider: str, problem: Problem, send: Send) -> None:
        self._refusals.add(provider, problem.status, problem.cause)
        await problem.send(send)


def _checked_coding(scope: Scope) -> bytes:
    """The Content-Encoding; repeated headers are one list (RFC 9110, 5.3). Raises `HttpProblemError` if it is none that we read.

    It is checked after the proof: a stranger learns nothing of it.
    """
    joined = b", ".join(value for name, value in scope["headers"] if name == _CODING)
    if codings_of(joined.decode("latin-1")) is None:
        raise HttpProblemError(UNKNOWN_CODING)
    return joined
