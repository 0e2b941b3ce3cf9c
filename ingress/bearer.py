"""Bearer tokens of the Instacart route: signed and self-contained, so that any replica verifies them without a look-up.

`issue` makes one, `Verifier` checks one. The first key signs, all keys verify, so that keys rotate with overlap.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

import jwt

ALGORITHM = "HS256"
ISSUER = "curbside"
LEEWAY_SECONDS = 5
"""Replicas' clocks may differ by this much."""
_MAX_CACHED = 1024


def key_id(key: str) -> str:
    """Name a key in a token's header without telling the key."""
    return hashlib.sha256(b"curbside key id\0" + key.encode()).hexdigest()[:16]


def issue(key: str, client_id: str, now_seconds: float, ttl: timedelta, scope: str | None, resource: str | None) -> str:
    """Sign a token for a client, valid for `ttl`."""
    now = int(now_seconds)
    claims = {"iss": ISSUER, "sub": client_id, "iat": now, "exp": now + int(ttl.total_seconds()), "jti": secrets.token_hex(8)}
    claims |= {name: value for name, value in (("scope", scope), ("aud", resource)) if value}
    return jwt.encode(claims, key, ALGORITHM, headers={"kid": key_id(key)})


class Verifier:
    """Says whether a token is ours and not expired. A verified token is remembered until it expires."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._valid_until: dict[bytes, float] = {}

    def refusal(self, token: bytes, now_seconds: float) -> str | None:
        """None for a valid token, else what is wrong with it, for the caller to read."""
        until = self._valid_until.get(token)
        if until is not None and now_seconds < until:
            return None
        return self._verify(token, now_seconds)

    def _verify(self, token: bytes, now_seconds: float) -> str | None:
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                return "the token is not signed by a key in use"
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "require": ["exp", "sub"]},
            )
        except (jwt.PyJWTError, RecursionError):  # the latter: a header nested too deep, in releases that let it through
            return "the token is malformed or its signature is wrong"
        until = float(claims["exp"]) + LEEWAY_SECONDS
        if now_seconds >= until:
            self._valid_until.pop(token, None)
            return "the token has expired"
        if len(self._valid_until) >= _MAX_CACHED:
            self._valid_until.clear()
        self._valid_until[token] = until
        return None
