"""What every answer of Flower carries, and every request must, whichever of its handlers answers: Tornado's own seam, a transform.

Out: headers that keep other sites from framing a page or reading where it leads. In: the credentials of HTTP
Basic in any script. Flower compares them as texts, which Python refuses for any that is not ASCII, and answers 500. So both sides are
sealed first: a keyed digest stands for the credentials, in the options and in the request. The key is this process's own.
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
    """One request and its answer. `asks`: whether credentials of HTTP Basic are asked for."""

    def __init__(self, request: HTTPServerRequest, *, asks: bool) -> None:
        super().__init__(request)
        self._asks = asks
        if asks and (given := request.headers.get("Authorization")) is not None:
            request.headers["Authorization"] = _sealed_header(given)

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add what is ours to the head of the answer."""
        for name, value in HEADERS.items():
            headers[name] = value
        if (
            status_code == 401 and self._asks
        ):  # Flower's own API forgets to ask: the browser would not send the password with a call
            headers["WWW-Authenticate"] = _CHALLENGE
        return status_code, headers, chunk


def sealed(credentials: bytes) -> str:
    """What stands for `user:password` in this process."""
    return hmac.new(_KEY, credentials, "sha256").hexdigest()


def _sealed_header(authorization: str) -> str:
    """The header with its credentials sealed. One that cannot be read becomes one that nobody is let in with."""
    scheme, _, encoded = authorization.strip().partition(" ")
    try:
        credentials = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        credentials = b""
    if scheme.lower() != "basic" or not credentials:
        return "Basic"
    return f"Basic {base64.b64encode(sealed(credentials).encode()).decode()}"
