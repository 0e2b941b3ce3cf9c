"""Authentication of providers: the proof of each is checked in two steps.

What the headers alone show is checked before the body is read, so that a stranger's body costs nothing. The rest is checked
after it. Both steps raise `HttpProblemError`, which holds the answer.
"""

import binascii
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from ingress.bearer import Verifier
from ingress.problems import HttpProblemError, RefusedError, unauthorized
from ingress.signatures import Signatures
from schemas.contracts import CONTRACTS
from schemas.proofs import Basic, Hmac, Proof, StandardWebhooks, Token
from schemas.refusals import Cause
from schemas.settings import Settings
from schemas.settings.credentials import Credentials
from schemas.settings.secrets import Secret

Headers = Mapping[bytes, bytes]

_BEARER = 'Bearer realm="curbside"'
_BASIC = 'Basic realm="curbside", charset="UTF-8"'


class Authenticator(Protocol):
    """Checks one provider's proof."""

    def check_headers(self, headers: Headers) -> None:
        """Check what the headers alone show. Raises `HttpProblemError`."""

    def check_body(self, headers: Headers, body: bytes) -> None:
        """Check the body against the headers. Raises `HttpProblemError`."""


class BearerAuthenticator:
    """A token that we issued to this provider's client."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def check_headers(self, headers: Headers) -> None:
        """Refuse a token that is missing, malformed, expired, not issued by us, or issued to another client."""
        authorization = headers.get(b"authorization")
        if authorization is None:
            missing = "a bearer token is missing: fetch one at POST /oauth/token"
            raise HttpProblemError(unauthorized(missing, _BEARER, Cause.TOKEN_MISSING))
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise HttpProblemError(unauthorized("expected a bearer token", _BEARER, Cause.TOKEN_MISSING))
        try:
            self._verifier.check(token.strip(), time.time())
        except RefusedError as refused:
            raise _invalid(refused) from None

    def check_body(self, headers: Headers, body: bytes) -> None:
        """Nothing to check: a token covers any body."""


def _invalid(refused: RefusedError) -> HttpProblemError:
    challenge = f'{_BEARER}, error="invalid_token", error_description="{refused}"'
    return HttpProblemError(unauthorized(str(refused), challenge, refused.cause))


class SignatureAuthenticator:
    """A signature of the raw body; `challenge` names its header."""

    def __init__(self, signatures: Signatures, challenge: str) -> None:
        self._signatures, self._challenge = signatures, challenge

    def check_headers(self, headers: Headers) -> None:
        """Refuse a signature or a signed time that is missing or malformed, and a time that is too far off."""
        try:
            self._signatures.check_headers(headers, time.time())
        except RefusedError as refused:
            raise HttpProblemError(unauthorized(str(refused), self._challenge, refused.cause)) from None

    def check_body(self, headers: Headers, body: bytes) -> None:
        """Refuse a body that is not signed under a secret of this provider."""
        try:
            self._signatures.check_body(headers, body)
        except RefusedError as refused:
            raise HttpProblemError(unauthorized(str(refused), self._challenge, refused.cause)) from None


class BasicAuthenticator:
    """A user and a password (RFC 7617)."""

    def __init__(self, logins: Sequence[Secret]) -> None:
        self._logins = [f"{each.owner}:{each.text}".encode() for each in logins]

    def check_headers(self, headers: Headers) -> None:
        """Refuse a missing or wrong login. Every known login is compared, in constant time."""
        scheme, _, encoded = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"basic":
            raise HttpProblemError(unauthorized("expected HTTP Basic authentication", _BASIC, Cause.LOGIN_MISSING))
        try:
            given = binascii.a2b_base64(encoded.strip(), strict_mode=True)
        except binascii.Error:
            given = b""
        known = False
        for each in self._logins:
            known |= hmac.compare_digest(each, given)
        if not known:
            raise HttpProblemError(unauthorized("the user or the password is wrong", _BASIC, Cause.LOGIN_WRONG))

    def check_body(self, headers: Headers, body: bytes) -> None:
        """Nothing to check: a login covers any body."""


def authenticators(settings: Settings) -> dict[str, Authenticator]:
    """The authenticator of each provider."""
    keys = settings.token_signing_keys
    return {
        provider: authenticator_of(CONTRACTS[provider].proof, credentials, keys)
        for provider, credentials in settings.credentials.items()
    }


def authenticator_of(proof: Proof, credentials: Credentials, signing_keys: Sequence[str]) -> Authenticator:
    """The authenticator for this proof and these credentials. `signing_keys` verify our bearer tokens."""
    match proof:
        case Token():
            return BearerAuthenticator(Verifier(signing_keys, credentials.client_id))
        case Basic():
            return BasicAuthenticator(credentials.secrets)
        case Hmac():
            challenge = f'HMAC-{proof.digest.upper()} header="{proof.header}"'
            return SignatureAuthenticator(Signatures(proof, credentials.secrets), challenge)
        case StandardWebhooks():
            return SignatureAuthenticator(Signatures(proof, credentials.secrets), 'HMAC-SHA256 header="webhook-signature"')
