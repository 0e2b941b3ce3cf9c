"""The hot path: a plain ASGI endpoint that reads a body, checks who sent it, has it committed and answers its event id.

Nothing is parsed. A 200 leaves only after the commit; see `ingress.inbox`.
"""

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from ingress.bearer import Verifier
from ingress.doorbell import Doorbell
from ingress.inbox import Inbox, Unavailable
from ingress.patience import Patience
from ingress.problems import EMPTY, TOO_SLOW, Problem, too_large, unauthorized, unavailable
from ingress.signatures import Signatures
from schemas.contracts import CONTRACTS, Proof
from schemas.events import Provider

_JSON = (b"content-type", b"application/json")
_BEARER = 'Bearer realm="curbside"'
_HMAC = 'HMAC-SHA256 header="X-Afosto-Hmac-Sha256"'


class Refused(Exception):  # noqa: N818 - reads as what it says
    """The request ends with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Webhook:
    """One endpoint for every provider; `provider` is in the path, Instacart without one."""

    def __init__(self, inbox: Inbox, doorbell: Doorbell, verifier: Verifier, signatures: Signatures, limit_bytes: int) -> None:
        self._inbox, self._doorbell = inbox, doorbell
        self._verifier, self._signatures = verifier, signatures
        self._limit_bytes, self._patience = limit_bytes, Patience()
        self._proofs = {provider: contract.proof for provider, contract in CONTRACTS.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept one event."""
        try:
            provider, body = await self._accept(scope, receive)
            event_id = await self._inbox.append(provider, body)
        except Refused as refused:
            await refused.problem.send(send)
            return
        except Unavailable as error:
            await unavailable(str(error)).send(send)
            return
        self._doorbell.ring()
        answer = b'{"id":"%b"}' % event_id.encode()
        headers = [_JSON, (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _accept(self, scope: Scope, receive: Receive) -> tuple[str, bytes]:
        provider = scope["path_params"].get("provider", Provider.INSTACART)
        proof = self._proofs.get(provider)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if proof is Proof.TOKEN:
            self._check_token(headers.get(b"authorization"))
            return provider, await self._body(headers, receive)
        if proof is None:
            raise HTTPException(404)
        body = await self._body(headers, receive)
        refusal = self._signatures.refusal(body, headers.get(b"x-afosto-hmac-sha256"), headers.get(b"x-afosto-endpoint"))
        if refusal is not None:
            raise Refused(unauthorized(refusal, _HMAC))
        return provider, body

    def _check_token(self, authorization: bytes | None) -> None:
        if authorization is None:
            raise Refused(unauthorized("a bearer token is missing: fetch one at POST /oauth/token", _BEARER))
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise Refused(unauthorized("expected a bearer token", _BEARER))
        refusal = self._verifier.refusal(token.strip(), time.time())
        if refusal is not None:
            raise Refused(unauthorized(refusal, f'{_BEARER}, error="invalid_token", error_description="{refusal}"'))

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Read the body under the limit while it streams."""
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._limit_bytes:
            raise Refused(too_large(self._limit_bytes))
        waiting = self._patience.begin()
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body", False):
                body = await self._rest(body, receive)
        except asyncio.CancelledError:
            if self._patience.was_late(waiting):
                raise Refused(TOO_SLOW) from None
            raise
        finally:
            self._patience.end(waiting)
        if len(body) > self._limit_bytes:
            raise Refused(too_large(self._limit_bytes))
        if not body:  # or nobody is there any more to read what becomes of it
            raise Refused(EMPTY)
        return body

    async def _rest(self, body: bytes, receive: Receive) -> bytes:
        """A body that comes in more than one message."""
        chunks, size, more = [body], len(body), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(EMPTY)  # nobody reads it
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._limit_bytes:
                raise Refused(too_large(self._limit_bytes))
            more = message.get("more_body", False)
        return b"".join(chunks)
