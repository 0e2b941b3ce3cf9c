"""Bearer tokens: signed and self-contained, so that any replica verifies them without a lookup.

`issue` makes a token, `Verifier` checks one. The first key signs and all keys verify, so that keys rotate with overlap.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import jwt

from ingress.problems import RefusedError
from schemas.refusals import Cause

ALGORITHM = "HS256"
ISSUER = "curbside"
LEEWAY_SECONDS = 5
"""The clocks of replicas may differ by this much."""
AHEAD_SECONDS = 300
"""Other replicas accept a token whose issuer's clock is ahead by less than this."""
MAX_TOKEN_BYTES = 24 << 10
"""A longer token is not parsed. The longest that we issue holds a form of `oauth.MAX_FORM_BYTES` in Base64."""
_MAX_CACHED = 1024
_YEAR_10000 = 253_402_300_800
_CHECKED_HERE = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_sub": False}


def key_id(key: str) -> str:
    """An identifier of a key for a token's header. It does not reveal the key."""
    return hashlib.sha256(b"curbside key id\0" + key.encode()).hexdigest()[:16]


def issue(key: str, client_id: str, now_seconds: float, ttl: timedelta, scope: str | None, resource: str | None) -> str:
    """Sign a token for a client, valid for `ttl`."""
    now = int(now_seconds)
    claims = {"iss": ISSUER, "sub": client_id, "iat": now, "exp": now + int(ttl.total_seconds()), "jti": secrets.token_hex(8)}
    claims |= {name: value for name, value in (("scope", scope), ("aud", resource)) if value}
    return jwt.encode(claims, key, ALGORITHM, headers={"kid": key_id(key)})


class Verifier:
    """Verifies tokens: issued by us, to `client_id`, and valid now. A valid token is cached until it expires."""

    def __init__(self, keys: Sequence[str], client_id: str) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._client_id = client_id
        self._valid_until: dict[bytes, float] = {}

    def check(self, token: bytes, now_seconds: float) -> None:
        """Verify a token. Raises `RefusedError`, which states what is wrong with it."""
        until = self._valid_until.get(token)
        if until is None or now_seconds >= until:
            self._verify(token, now_seconds)

    def _verify(self, token: bytes, now_seconds: float) -> None:
        claims = self._claims(token)
        until = _expiry(claims, now_seconds)
        if now_seconds >= until:
            self._valid_until.pop(token, None)
            raise RefusedError("the token has expired", Cause.TOKEN_EXPIRED)
        if claims.get("sub") != self._client_id:
            raise RefusedError("the token was issued to another client than this provider has now", Cause.TOKEN_CLIENT)
        if len(self._valid_until) >= _MAX_CACHED:
            self._valid_until.clear()
        # a float, as the clock's: comparing it with a whole number is slower
        self._valid_until[token] = float(until)

    def _claims(self, token: bytes) -> dict[str, Any]:
        """The token's claims. Raises `RefusedError` if we did not issue it."""
        if len(token) > MAX_TOKEN_BYTES:
            raise RefusedError("the token is too long", Cause.TOKEN_MALFORMED)
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise RefusedError("the token is not signed by a key in use", Cause.TOKEN_WRONG)
            return jwt.decode(token, key, algorithms=[ALGORITHM], issuer=ISSUER, options=_CHECKED_HERE)  # type: ignore[arg-type]
        except jwt.InvalidSignatureError:
            raise RefusedError("the token's signature is wrong", Cause.TOKEN_WRONG) from None
        except (jwt.PyJWTError, RecursionError):  # RecursionError: nested too deep, in releases of PyJWT that do not catch it
            raise RefusedError("the token is malformed", Cause.TOKEN_MALFORMED) from None


def _expiry(claims: dict[str, Any], now_seconds: float) -> int:
    """When the token expires, leeway included, in epoch seconds. Raises `RefusedError` for times that we never issue."""
    for name in ("exp", "iat"):
        if type(claims.get(name)) is not int or claims[name] >= _YEAR_10000:
            raise RefusedError("the token is malformed: its times are not ours", Cause.TOKEN_MALFORMED)
    if "nbf" in claims or claims["iat"] > now_seconds + AHEAD_SECONDS:
        raise RefusedError("the token is malformed: it is of a time to come", Cause.TOKEN_MALFORMED)
    return int(claims["exp"]) + LEEWAY_SECONDS
