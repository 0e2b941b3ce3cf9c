"""The bearer token, handled as Connect does: fetched when there is none, when it has expired, and when it was refused."""

import asyncio
import time
from collections.abc import Mapping

import aiohttp


class TokenRefusedError(Exception):
    """The token endpoint returned no token. `status` is the HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"no token ({status})")
        self.status = status


class Token:
    """The token of a run, shared by all posts: concurrent posts that need a new one fetch it once."""

    def __init__(self, client: aiohttp.ClientSession, form: Mapping[str, str]) -> None:
        self._client, self._form, self._lock = client, dict(form), asyncio.Lock()
        self._value, self._expires_at = "", 0.0
        self.fetched = 0

    async def get(self) -> str:
        """Return a token that has not expired. Raises `TokenRefusedError`, aiohttp's errors or TimeoutError."""
        async with self._lock:
            if not self._value or time.monotonic() >= self._expires_at:
                await self._fetch()
            return self._value

    def drop(self, refused: str) -> None:
        """Forget the token that was refused. One that was fetched meanwhile is kept."""
        if self._value == refused:
            self._value = ""

    async def _fetch(self) -> None:
        async with self._client.post("/oauth/token", data=self._form) as response:
            if not response.ok:
                raise TokenRefusedError(response.status)
            answer = await response.json()
        self._value, self.fetched = str(answer["access_token"]), self.fetched + 1
        self._expires_at = time.monotonic() + float(answer["expires_in"])
