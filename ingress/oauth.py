"""The OAuth 2.0 token endpoint for client credentials (RFC 6749, 4.4): Instacart Connect fetches its bearer tokens here.

The client authenticates by form fields or HTTP Basic (2.3.1). Errors follow 5.2; nothing is cached (5.1). Too many failed
attempts are answered 429, but a right secret always gets its token: see `ingress.limiter`.
"""

import base64
import binascii
import hmac
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ingress.bearer import issue
from ingress.body_reader import BodyReader
from ingress.client_addresses import ClientAddresses
from ingress.limiter import Limiter
from ingress.problems import CLOSE, HttpProblemError
from ingress.refusals import Refusals
from schemas.refusals import NOBODY, Cause
from schemas.settings import Settings

MAX_FORM_BYTES = 16 << 10
_MAX_FIELDS = 32
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*")
"""RFC 6749, 3.3."""
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(Exception):
    """An answer after RFC 6749 section 5.2."""

    def __init__(
        self,
        code: str,
        description: str,
        status: int = 400,
        *,
        challenge: bool = False,
        client_id: str = "",
        cause: Cause | None = None,
        is_last: bool = False,
    ) -> None:
        super().__init__(description)
        self.code, self.status, self.challenge, self.client_id = code, status, challenge, client_id
        self.cause = cause or (Cause.CLIENT if challenge else Cause.FORM)
        self.is_last = is_last
        """Whether the answer closes the connection, because the rest of the form is not read."""


class TokenEndpoint:
    """`POST /oauth/token`."""

    def __init__(
        self, settings: Settings, bodies: BodyReader, refusals: Refusals, limiter: Limiter, peers: ClientAddresses
    ) -> None:
        self._settings, self._bodies = settings, bodies
        self._refusals, self._limiter, self._peers = refusals, limiter, peers

    async def __call__(self, request: Request) -> Response:
        """Answer a token request."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": "OPTIONS, POST"})
        try:
            return _json(200, self._grant(await self._form(request), request.headers.get("authorization")))
        except OAuthError as error:
            return await self._refuse(error, request)

    async def _form(self, request: Request) -> dict[str, str]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise OAuthError("invalid_request", "expected a body of application/x-www-form-urlencoded")
        announced = request.headers.get("content-length", "").encode("latin-1")
        try:
            return _fields(await self._bodies.read(announced, MAX_FORM_BYTES, request.receive))
        except HttpProblemError as error:
            problem = error.problem
            if problem.cause is Cause.EMPTY:
                return {}
            raise OAuthError(
                "invalid_request", problem.detail, problem.status, cause=problem.cause, is_last=CLOSE in problem.headers
            ) from error

    async def _refuse(self, error: OAuthError, request: Request) -> Response:
        """Answer with the error, or with 429 after too many wrong credentials."""
        provider = self._provider_of(error.client_id)
        if error.challenge and (wait := await self._limiter.failed(error.client_id, self._address_of(request))):
            self._refusals.add(provider, 429, Cause.LIMITED)
            text = f"too many failed attempts: wait {wait} seconds before the next"
            return _json(429, {"error": "slow_down", "error_description": text}, {"Retry-After": str(wait)})
        self._refusals.add(provider, error.status, error.cause)
        headers = {"WWW-Authenticate": 'Basic realm="curbside", charset="UTF-8"'} if error.challenge else {}
        headers |= {"Connection": "close"} if error.is_last else {}
        return _json(error.status, {"error": error.code, "error_description": str(error)}, headers)

    def _address_of(self, request: Request) -> str:
        forwarded = request.headers.getlist("x-forwarded-for")
        return self._peers.address(request.scope["client"], forwarded[-1].encode("latin-1") if forwarded else None)

    def _grant(self, form: dict[str, str], authorization: str | None) -> dict[str, Any]:
        if "grant_type" not in form:
            raise OAuthError("invalid_request", "grant_type is missing")
        client_id, client_secret = self._client(form, authorization)
        if not self._is_client(client_id, client_secret):
            raise OAuthError(
                "invalid_client", "the client id or the client secret is wrong", 401, challenge=True, client_id=client_id
            )
        if form["grant_type"] != "client_credentials":
            raise OAuthError("unsupported_grant_type", "grant_type must be client_credentials")
        scope, ttl = form.get("scope"), self._settings.token_ttl
        if scope is not None and not _SCOPE.fullmatch(scope):
            raise OAuthError("invalid_scope", "scope must be printable ASCII words with one space between two")
        key = self._settings.token_signing_keys[0]
        token = issue(key, client_id, time.time(), ttl, scope, form.get("resource"))
        granted: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": int(ttl.total_seconds())}
        return granted | ({"scope": scope} if scope else {})

    def _client(self, form: dict[str, str], authorization: str | None) -> tuple[str, str]:
        """The client's id and secret, in the reading whose id is known; else in the first."""
        readings = _readings(form, authorization)
        return ([each for each in readings if self._is_client(*each)] or readings)[0]

    def _provider_of(self, client_id: str) -> str:
        """The provider that this client id belongs to, if any."""
        ids = {name: each.client_id for name, each in self._settings.credentials.items() if each.client_id}
        return next((name for name, known in ids.items() if _equal(client_id, (known,))), NOBODY)

    def _is_client(self, client_id: str, client_secret: str) -> bool:
        """Whether a provider has this client. Every candidate is compared with both, so that timing reveals nothing."""
        known = False
        for each in self._settings.credentials.values():
            if each.client_id:
                secrets = [secret.text for secret in each.secrets]
                known |= _equal(client_secret, secrets) & _equal(client_id, (each.client_id,))
        return known


def _equal(given: str, accepted: Sequence[str]) -> bool:
    """Whether the text equals one of the candidates. All are compared, in constant time."""
    equal = False
    for each in accepted:
        equal |= hmac.compare_digest(each.encode(), given.encode())
    return equal


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise OAuthError("invalid_request", "the form cannot be read") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "a parameter is repeated")
    return {name: value for name, value in form.items() if value}


def _readings(form: dict[str, str], authorization: str | None) -> list[tuple[str, str]]:
    """The client's id and secret, from exactly one of the two places.

    In HTTP Basic both should be encoded as in a form (RFC 6749, 2.3.1). Some clients do that and some do not: an id or a secret
    that holds `+` or `%` has two readings.
    """
    if authorization is None:
        if "client_id" not in form or "client_secret" not in form:
            raise OAuthError("invalid_client", "client_id and client_secret are missing", 401, challenge=True)
        return [(form["client_id"], form["client_secret"])]
    if "client_secret" in form:
        raise OAuthError("invalid_request", "the client authenticates in two ways: use the form or HTTP Basic")
    scheme, _, encoded = authorization.partition(" ")
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise OAuthError("invalid_client", "the Authorization header cannot be read", 401, challenge=True) from error
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_client", "expected HTTP Basic authentication", 401, challenge=True)
    return [(unquote_plus(name), unquote_plus(secret)), (name, secret)]


def _json(status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, _NO_STORE | (headers or {}), "application/json")
