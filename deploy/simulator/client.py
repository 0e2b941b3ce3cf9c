"""Posts a plan in an open loop: each post is sent when it is due, whether or not earlier ones are answered.

Posts that were not accepted are repeated. Latency is counted from when a post was due. It therefore includes the delay of a
generator or a server that falls behind.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple

import aiohttp
import msgspec

from deploy.credentials import JSON, Signer, token_form
from deploy.simulator.plan import Post, PostType
from deploy.simulator.provider_events import AFOSTO
from deploy.simulator.token import Token, TokenRefusedError
from schemas.settings import Settings

TIMEOUT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.5
MAX_CONCURRENT = 500
LATE_SECONDS = 0.1
"""A first attempt that leaves later than this counts as late."""


class Attempt(NamedTuple):
    """The result of one attempt. `status` is None without a response; `event_id` is the inbox id of an accepted event."""

    status: int | None
    event_id: tuple[int, int] | None
    seconds: float

    @property
    def is_unclear(self) -> bool:
        """Whether the event may have been accepted all the same: no response, or a 5xx."""
        return self.event_id is None and (self.status is None or self.status >= 500)


class _Accepted(msgspec.Struct):
    id: str


@dataclass(slots=True)
class PostResult:
    """A post and its attempts."""

    post: Post
    attempts: list[Attempt] = field(default_factory=list)
    late_seconds: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether an attempt was answered 200."""
        return bool(self.attempts) and self.attempts[-1].event_id is not None


class Client:
    """Posts a plan to one deployment, with at most `max_attempts` per post. The first pause doubles after each attempt."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        endpoint: str | None,
        max_attempts: int,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._signer, self._form = Signer(settings, AFOSTO, endpoint), token_form(settings)
        self._url, self._max_attempts, self._first_pause_seconds = url, max_attempts, first_pause_seconds
        self.results: list[PostResult] = []

    async def run(self, posts: Sequence[Post], rate: float, on_done: Callable[[PostResult], None]) -> None:
        """Send all posts, `rate` per second, and wait for their results. Calls `on_done` with each result."""
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with (
            aiohttp.ClientSession(self._url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as self._session,
            asyncio.TaskGroup() as tasks,
        ):
            self._token = Token(self._session, self._form)
            start = time.monotonic()
            for index, post in enumerate(posts):
                due = start + index / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                result = PostResult(post)
                self.results.append(result)
                tasks.create_task(self._send(result, due, on_done))

    async def _send(self, result: PostResult, due: float, on_done: Callable[[PostResult], None]) -> None:
        """Send a post until it is accepted or has no attempts left. A forged post has one attempt."""
        pause = self._first_pause_seconds
        while True:
            async with self._slots:
                if not result.attempts:
                    result.late_seconds = time.monotonic() - due
                result.attempts.append(await self._post(result.post, due))
            limit = 1 if result.post.post_type is PostType.FORGED else self._max_attempts
            if result.is_accepted or len(result.attempts) >= limit:
                break
            due = time.monotonic() + pause
            await asyncio.sleep(pause)
            pause *= 2
        on_done(result)

    async def _post(self, post: Post, due: float) -> Attempt:
        status, event_id, token = None, None, ""
        try:
            if post.provider == AFOSTO:
                path, headers = "/webhook/afosto", self._signed(post)
            else:
                token = "forged" if post.post_type is PostType.FORGED else await self._token.get()
                path, headers = "/webhook", {**JSON, "Authorization": f"Bearer {token}"}
            async with self._session.post(path, data=post.body, headers=headers) as response:
                status, content = response.status, await response.read()
            if response.ok:
                event_id = _event_id(content)
            elif status == HTTPStatus.UNAUTHORIZED:
                self._token.drop(token)
        except TokenRefusedError as refused:
            status = refused.status
        except (aiohttp.ClientError, TimeoutError):
            pass  # no response: the caller sees status None
        return Attempt(status, event_id, time.monotonic() - due)

    def _signed(self, post: Post) -> dict[str, str]:
        headers = self._signer.headers(post.body)
        return headers | ({"X-Afosto-Hmac-Sha256": "0" * 64} if post.post_type is PostType.FORGED else {})


def _event_id(content: bytes) -> tuple[int, int] | None:
    """Parse the event's id; None if the response is not Curbside's."""
    try:
        milliseconds, _, sequence = msgspec.json.decode(content, type=_Accepted).id.partition("-")
        return int(milliseconds), int(sequence)
    except (msgspec.DecodeError, ValueError):
        return None
