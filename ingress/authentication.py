"""Who sent a request: each provider's proof, checked in two steps.

What the headers alone can tell is checked before the body is read, so that a stranger's body costs nothing; what needs the body, after it.
Both raise `HttpProblemError` with the answer.
"""

import time
from collections.abc import Mapping
from typing import Protocol

from ingress.bearer import Verifier
from ingress.problems import HttpProblemError, unauthorized
from ingress.signatures import Signatures
from schemas.contracts import CONTRACTS, Proof
from schemas.refusals import Cause
from schemas.settings import Settings

Headers = Mapping[bytes, bytes]

_BEARER = 'Bearer realm="curbside"'
_HMAC = 'HMAC-SHA256 header="X-Afosto-Hmac-Sha256"'


class Authenticator(Protocol):
    """Checks one provider's proof."""

    def check_headers(self, headers: Headers) -> None:
        """Refuse what the headers alone show to be wrong."""

    def check_body(self, headers: Headers, body: bytes) -> None:
        """Refuse a body that the headers do not vouch for."""


class BearerAuthenticator:
    """A token that we issued."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def check_headers(self, headers: Headers) -> None:
        """Refuse a token that is missing, malformed, expired or not ours."""
        authorization = headers.get(b"authorization")
        if authorization is None:
            raise HttpProblemError(
                unauthorized("a bearer token is missing: fetch one at POST /oauth/token", _BEARER, Cause.TOKEN)
            )
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise HttpProblemError(unauthorized("expected a bearer token", _BEARER, Cause.TOKEN))
        refusal = self._verifier.refusal(token.strip(), time.time())
        if refusal is not None:
            challenge = f'{_BEARER}, error="invalid_token", error_description="{refusal}"'
            raise HttpProblemError(unauthorized(refusal, challenge, Cause.TOKEN))

    def check_body(self, headers: Headers, body: bytes) -> None:
        """The token vouches for any body."""


class SignatureAuthenticator:
    """A signature of the raw body."""

    def __init__(self, signatures: Signatures) -> None:
        self._signatures = signatures

    def check_headers(self, headers: Headers) -> None:
        """Refuse a signature that is missing."""
        if not headers.get(b"x-afosto-hmac-sha256"):
            raise HttpProblemError(unauthorized("the header X-Afosto-Hmac-Sha256 is missing", _HMAC, Cause.SIGNATURE))

    def check_body(self, headers: Headers, body: bytes) -> None:
        """Refuse a body that was not signed under a secret of ours."""
        refusal = self._signatures.refusal(body, headers.get(b"x-afosto-hmac-sha256"), headers.get(b"x-afosto-endpoint"))
        if refusal is not None:
            raise HttpProblemError(unauthorized(refusal, _HMAC, Cause.SIGNATURE))


def authenticators(settings: Settings) -> dict[str, Authenticator]:
    """One for each provider."""
    bearer = BearerAuthenticator(Verifier(settings.token_signing_keys))
    signature = SignatureAuthenticator(Signatures(settings.afosto_secrets))
    return {name: bearer if contract.proof is Proof.TOKEN else signature for name, contract in CONTRACTS.items()}
