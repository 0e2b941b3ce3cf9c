"""A provider's credentials as headers: the client's side of `ingress.authentication`.

A provider with a token fetches it with `token_form`. All other proofs are headers of the request itself.
"""

import base64
import hmac
import secrets
import time
from collections.abc import Mapping

from deploy.errors import CommandError
from schemas.contracts import CONTRACTS
from schemas.events import Provider
from schemas.proofs import BODY, TIMESTAMP, Basic, Hmac, StandardWebhooks
from schemas.settings import Settings
from schemas.settings.credentials import variables_of
from schemas.settings.secrets import Secret, endpoint_id, key_of

JSON = {"Content-Type": "application/json"}
_AFOSTO = {"User-Agent": "Afosto/1.0 (+https://afosto.com/docs/webhooks)", "X-Afosto-Tenant": "curbside-send"}
_ANY_ENDPOINT = "00000000-0000-4000-8000-000000000000"


def token_form(settings: Settings, provider: str = Provider.INSTACART) -> dict[str, str]:
    """The form that a provider with a token posts to `/oauth/token`."""
    credentials = settings.credentials[provider]
    return {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": credentials.secrets[0].text,
    }


class Signer:
    """Makes the headers of a provider's requests, with its first secret, or the first secret of `endpoint`.

    Raises CommandError if the endpoint has no secret.
    """

    def __init__(self, settings: Settings, provider: str, endpoint: str | None = None) -> None:
        self._proof = CONTRACTS[provider].proof
        owner = endpoint_id(endpoint) if endpoint else None
        fitting = [each for each in settings.credentials[provider].secrets if endpoint is None or each.owner in (owner, None)]
        if not fitting:
            (variable,) = variables_of(provider, self._proof)
            raise CommandError(f"{variable.name} holds no secret for the endpoint {endpoint}.")
        self._secret = fitting[0]
        self._headers = JSON | (_AFOSTO if provider == Provider.AFOSTO else {})
        if isinstance(self._proof, Hmac) and self._proof.endpoint_header:
            self._headers[self._proof.endpoint_header] = endpoint or self._secret.owner or _ANY_ENDPOINT

    def headers(self, body: bytes) -> dict[str, str]:
        """Return all headers of a webhook with this body, except the token of a provider that uses one."""
        match self._proof:
            case Hmac() as proof:
                return self._headers | signed(proof, self._secret.text, body, int(time.time()))
            case StandardWebhooks():
                return self._headers | _standard(self._secret.text, body)
            case Basic():
                return self._headers | {"Authorization": _basic(self._secret)}
        return dict(self._headers)


def signed(proof: Hmac, secret: str, body: bytes, now_seconds: int) -> dict[str, str]:
    """Return the signature's headers, with the timestamp header if the proof has one."""
    before, _, after = (part.replace(TIMESTAMP, str(now_seconds)).encode() for part in proof.signed.partition(BODY))
    digest = hmac.digest(secret.encode(), before + body + after, proof.digest)
    signature = proof.prefix + (digest.hex() if proof.encoding == "hex" else base64.b64encode(digest).decode())
    if (fields := proof.fields) is not None:
        signature = f"{fields.timestamp}={now_seconds}{fields.separator}{fields.signature}={signature}"
    timestamp: Mapping[str, str] = {proof.timestamp_header: str(now_seconds)} if proof.timestamp_header else {}
    return {proof.header: signature, **timestamp}


def _standard(secret: str, body: bytes) -> dict[str, str]:
    """Compute the signature here: the standardwebhooks library signs text only, and a body is bytes."""
    name, now = f"msg_{secrets.token_hex(12)}", str(int(time.time()))
    digest = hmac.digest(key_of(secret), f"{name}.{now}.".encode() + body, "sha256")
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": name, "webhook-timestamp": now, "webhook-signature": signature}


def _basic(login: Secret) -> str:
    return f"Basic {base64.b64encode(f'{login.owner}:{login.text}'.encode()).decode()}"
