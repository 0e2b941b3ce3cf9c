"""Posts bodies as the providers do: Instacart with a token that it fetches, Afosto signed; both send again what was refused."""

from typing import NamedTuple, Self

import httpx

from schemas.events import Provider
from tests.support.ingress import signed
from tests.support.settings import CLIENT_ID, CLIENT_SECRET
from tests.support.waiting import wait_for

PATIENCE_SECONDS = 60.0


class Posted(NamedTuple):
    """What a provider posts."""

    provider: str
    body: bytes


class Poster:
    """A provider's sending end, for one thread. `token` is what Instacart was given last."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)
        self.token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def post(self, provider: str, body: bytes) -> str:
        """Post one body; the event id that the ingress answered."""
        response = self._send(provider, body)
        assert response.status_code == 200, f"{response.status_code} {response.text}"
        return str(response.json()["id"])

    def post_until_acknowledged(self, provider: str, body: bytes) -> str:
        """Post one body until it is acknowledged, as a provider does; the event id. What was not answered may be kept all the same."""
        return wait_for(lambda: self._acknowledged(provider, body) or "", PATIENCE_SECONDS, "an acknowledgement")

    def _acknowledged(self, provider: str, body: bytes) -> str | None:
        try:
            response = self._send(provider, body)
        except httpx.TransportError:
            return None
        assert response.status_code in {200, 503}, f"{response.status_code} {response.text}"
        return str(response.json()["id"]) if response.status_code == 200 else None

    def _send(self, provider: str, body: bytes) -> httpx.Response:
        if provider == Provider.INSTACART and not self.token:
            self._fetch_token()
        headers = signed(body) if provider == Provider.AFOSTO else {"Authorization": f"Bearer {self.token}"}
        return self._client.post(f"/webhook/{provider}", content=body, headers=headers)

    def _fetch_token(self) -> None:
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        response = self._client.post("/oauth/token", data=form)
        assert response.status_code == 200, f"{response.status_code} {response.text}"
        self.token = str(response.json()["access_token"])
