"""What the providers prove themselves with: Instacart a token that it fetches, Afosto a signature of the raw body.

Both as in the providers' own documentation: OAuth 2.0 client credentials, and hexadecimal HMAC-SHA256 in `X-Afosto-Hmac-Sha256`.
"""

import hashlib
import hmac

from deploy.errors import CommandError
from schemas.settings import Settings

JSON = {"Content-Type": "application/json"}
_AFOSTO = {**JSON, "User-Agent": "Afosto/1.0 (+https://afosto.com/docs/webhooks)", "X-Afosto-Tenant": "curbside-send"}
_ANY_ENDPOINT = "00000000-0000-4000-8000-000000000000"


def token_form(settings: Settings) -> dict[str, str]:
    """What Instacart Connect posts to `/oauth/token`."""
    return {
        "grant_type": "client_credentials",
        "client_id": settings.instacart_client_id,
        "client_secret": settings.instacart_client_secret[0],
    }


class AfostoSigner:
    """Signs with the endpoint's secret, or with the first. Raises CommandError if there is none for the endpoint."""

    def __init__(self, settings: Settings, endpoint: str | None) -> None:
        pairs = [_endpoint_and_secret(each) for each in settings.afosto_secrets]
        fitting = [pair for pair in pairs if endpoint in (None, pair[0]) or pair[0] is None]
        if not fitting:
            raise CommandError(f"AFOSTO_SECRETS holds no secret for the endpoint {endpoint}.")
        named, secret = fitting[0]
        self._secret = secret.encode()
        self._headers = {**_AFOSTO, "X-Afosto-Endpoint": endpoint or named or _ANY_ENDPOINT}

    def headers(self, body: bytes) -> dict[str, str]:
        """All headers of a webhook with this body."""
        return {**self._headers, "X-Afosto-Hmac-Sha256": hmac.digest(self._secret, body, hashlib.sha256).hex()}


def _endpoint_and_secret(text: str) -> tuple[str | None, str]:
    endpoint, equals, secret = text.partition("=")
    return (endpoint.strip(), secret.strip()) if equals else (None, text)
