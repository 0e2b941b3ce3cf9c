"""A Tornado output transform on every request and response of Flower: security headers, and credentials in any script.

Flower compares HTTP Basic credentials with `hmac.compare_digest`, which raises for non-ASCII text, so it answers 500. Therefore
the options and each request hold a keyed digest of the credentials instead. The key is random and known to this process only.
"""

import base64
import binascii
import hmac
import secrets

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_CHALLENGE = 'Basic realm="flower", charset="UTF-8"'
_KEY = secrets.token_bytes(32)


class Guard(OutputTransform):
    """One request and its response. `requires_login`: whether HTTP Basic credentials are required."""

    def __init__(self, request: HTTPServerRequest, *, requires_login: bool) -> None:
        super().__init__(request)
        self._requires_login = requires_login
        if requires_login and (given := request.headers.get("Authorization")) is not None:
            request.headers["Authorization"] = _digest_header(given)

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add the security headers."""
        for name, value in HEADERS.items():
            headers[name] = value
        if status_code == 401 and self._requires_login:
            # Flower's API sends no challenge. Without one, a browser sends no password.
            headers["WWW-Authenticate"] = _CHALLENGE
        return status_code, headers, chunk


def credential_digest(credentials: bytes) -> str:
    """Return this process' digest of `user:password`."""
    return hmac.new(_KEY, credentials, "sha256").hexdigest()


def _digest_header(authorization: str) -> str:
    """Replace the credentials of a header with their digest. An unreadable header becomes one that never matches."""
    scheme, _, encoded = authorization.strip().partition(" ")
    try:
        credentials = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        credentials = b""
    if scheme.lower() != "basic" or not credentials:
        return "Basic"
    return f"Basic {base64.b64encode(credential_digest(credentials).encode()).decode()}"
