"""A real HTTP server on loopback, in the test's event loop, whose answers the test chooses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.settings import LOOPBACK


@dataclass(frozen=True)
class Request:
    """One post: header names as they came, in any case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeIngress:
    """`answer` gives the status of a post; `lifetime_seconds` is that of the tokens, which are numbered from 1."""

    answer: Callable[[Request], Awaitable[int]]
    lifetime_seconds: int = 3600
    url: str = ""
    tokens: int = 0
    requests: list[Request] = field(default_factory=list)

    async def token(self, request: web.Request) -> web.Response:
        """The token endpoint."""
        self.tokens += 1
        return web.json_response(
            {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": self.lifetime_seconds}
        )

    async def webhook(self, request: web.Request) -> web.Response:
        """Both webhooks."""
        kept = Request(request.path, dict(request.headers), await request.read())
        self.requests.append(kept)
        number = len(self.requests)
        status = await self.answer(kept)
        return web.json_response({"id": f"{number}-0"} if status == 200 else {"detail": "no"}, status=status)


async def accept(request: Request) -> int:
    """Accept everything."""
    await asyncio.sleep(0)
    return 200


@asynccontextmanager
async def serving_fake_ingress(
    answer: Callable[[Request], Awaitable[int]] = accept, lifetime_seconds: int = 3600
) -> AsyncIterator[FakeIngress]:
    """Serve until the test is done."""
    fake_ingress = FakeIngress(answer, lifetime_seconds)
    app = web.Application()
    app.router.add_post("/oauth/token", fake_ingress.token)
    app.router.add_post("/webhook", fake_ingress.webhook)
    app.router.add_post("/webhook/afosto", fake_ingress.webhook)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        fake_ingress.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        yield fake_ingress
    finally:
        await runner.cleanup()
