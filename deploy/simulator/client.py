"""Posts a plan in an open loop: each post leaves when it is due, whatever became of those before. Sends again what was not accepted.

What a post took is counted from when it was due, so that a generator or a server that falls behind cannot hide it.
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
from deploy.simulator.plan import Nature, Post
from deploy.simulator.provider_events import AFOSTO
from deploy.simulator.token import Token, TokenRefusedError
from schemas.settings import Settings

TIMEOUT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.5
MOST_UNDER_WAY = 500
LATE_SECONDS = 0.1
"""A first post that leaves later than this is one that the generator was late with."""


class Answer(NamedTuple):
    """What one try came to. `status` is None without an answer; `event_id` is the inbox id of what was accepted."""

    status: int | None
    event_id: tuple[int, int] | None
    seconds: float

    @property
    def is_unclear(self) -> bool:
        """Whether it may have come in all the same: nobody answered, or the ingress could not say."""
        return self.event_id is None and (self.status is None or self.status >= 500)


class _Accepted(msgspec.Struct):
    id: str


@dataclass(slots=True)
class Fate:
    """What became of a post."""

    post: Post
    answers: list[Answer] = field(default_factory=list)
    late_seconds: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether one of its tries was answered 200."""
        return bool(self.answers) and self.answers[-1].event_id is not None


class Poster:
    """One run's posts to one deployment. `tries` bounds how often one is sent; the first pause is doubled each time."""

    def __init__(
        self, settings: Settings, url: str, endpoint: str | None, tries: int, first_pause_seconds: float = FIRST_PAUSE_SECONDS
    ) -> None:
        self._signer, self._form = Signer(settings, AFOSTO, endpoint), token_form(settings)
        self._url, self._tries, self._first_pause_seconds = url, tries, first_pause_seconds
        self.fates: list[Fate] = []

    async def run(self, posts: Sequence[Post], rate: float, notice: Callable[[Fate], None]) -> None:
        """Send all posts, `rate` a second, and wait for their ends. `notice` hears of each end."""
        self._lines = asyncio.Semaphore(MOST_UNDER_WAY)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with (
            aiohttp.ClientSession(self._url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as self._client,
            asyncio.TaskGroup() as tasks,
        ):
            self._token = Token(self._client, self._form)
            start = time.monotonic()
            for place, post in enumerate(posts):
                due = start + place / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                fate = Fate(post)
                self.fates.append(fate)
                tasks.create_task(self._relay(fate, due, notice))

    async def _relay(self, fate: Fate, due: float, notice: Callable[[Fate], None]) -> None:
        """Send it until it is accepted or its tries are used up; what is forged once."""
        pause = self._first_pause_seconds
        while True:
            async with self._lines:
                if not fate.answers:
                    fate.late_seconds = time.monotonic() - due
                fate.answers.append(await self._post(fate.post, due))
            tries = 1 if fate.post.nature is Nature.FORGED else self._tries
            if fate.is_accepted or len(fate.answers) >= tries:
                break
            due = time.monotonic() + pause
            await asyncio.sleep(pause)
            pause *= 2
        notice(fate)

    async def _post(self, post: Post, due: float) -> Answer:
        status, event_id, token = None, None, ""
        try:
            if post.provider == AFOSTO:
                path, headers = "/webhook/afosto", self._signed(post)
            else:
                token = "forged" if post.nature is Nature.FORGED else await self._token.get()
                path, headers = "/webhook", {**JSON, "Authorization": f"Bearer {token}"}
            async with self._client.post(path, data=post.body, headers=headers) as response:
                status, answer = response.status, await response.read()
            if response.ok:
                event_id = _event_id(answer)
            elif status == HTTPStatus.UNAUTHORIZED:
                self._token.drop(token)
        except TokenRefusedError as refused:
            status = refused.status
        except (aiohttp.ClientError, TimeoutError):
            pass  # no answer, which the caller sees
        return Answer(status, event_id, time.monotonic() - due)

    def _signed(self, post: Post) -> dict[str, str]:
        headers = self._signer.headers(post.body)
        return headers | ({"X-Afosto-Hmac-Sha256": "0" * 64} if post.nature is Nature.FORGED else {})


def _event_id(answer: bytes) -> tuple[int, int] | None:
    """The event's id; None if the answer is not one of Curbside's."""
    try:
        milliseconds, _, sequence = msgspec.json.decode(answer, type=_Accepted).id.partition("-")
        return int(milliseconds), int(sequence)
    except (msgspec.DecodeError, ValueError):
        return None
