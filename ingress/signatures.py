"""Signatures of the Afosto route: hexadecimal HMAC-SHA256 of the raw body under a secret of the endpoint.

While a secret is being rotated two are valid. There is no signed time, so a replay is met by the memory of identities.
"""

import hashlib
import hmac
import uuid
from collections.abc import Sequence

_HEX_CHARS = 64


class Signatures:
    """Checks signatures. `secrets` are valid for every endpoint, or `endpoint-uuid=secret` for one."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._shared: list[bytes] = []
        self._of_endpoint: dict[str, list[bytes]] = {}
        for each in secrets:
            endpoint, equals, secret = each.partition("=")
            if equals:
                self._of_endpoint.setdefault(endpoint.strip().lower(), []).append(secret.strip().encode())
            if not equals or not _is_uuid(endpoint.strip()):  # a secret may have an equals sign in it, as Base64 does
                self._shared.append(each.encode())

    def refusal(self, body: bytes, signature: bytes | None, endpoint: bytes | None) -> str | None:
        """None for a valid signature, else what is wrong with it. Every candidate secret is tried, in constant time."""
        if not signature:
            return "the header X-Afosto-Hmac-Sha256 is missing"
        if len(signature) != _HEX_CHARS:
            return "the signature is not 64 hexadecimal digits"
        name = (endpoint or b"").decode("latin-1").strip().lower()
        given = signature.lower()
        valid = False
        for secret in [*self._of_endpoint.get(name, ()), *self._shared]:
            expected = hmac.digest(secret, body, hashlib.sha256).hex().encode()
            valid |= hmac.compare_digest(expected, given)
        return None if valid else "the signature does not match the body under a secret of this endpoint"


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
