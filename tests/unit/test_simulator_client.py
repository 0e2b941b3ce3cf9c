"""The simulator's posts leave on schedule whatever the answers, and are resent as providers resend."""

import asyncio
import hashlib
import hmac
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from deploy.simulator.client import Client, PostResult
from deploy.simulator.plan import PlanOptions, Post, PostType, make_plan
from deploy.simulator.stats import count_sent, given_up, latency_of, punctuality_of
from tests.support.settings import AFOSTO_SECRET, make_settings
from tests.unit.fake_ingress import FakeIngress, Request, accept, serving_fake_ingress

PLAN = make_plan(PlanOptions(seed=5, start=datetime(2026, 3, 1, tzinfo=UTC), zone=UTC, orders=20))
AFOSTO = [post for post in PLAN.posts if post.provider == "afosto"]
INSTACART = [post for post in PLAN.posts if post.provider == "instacart"]
FAST = 5_000.0


async def send(fake_ingress: FakeIngress, posts: list[Post], tries: int = 3, endpoint: str | None = None) -> list[PostResult]:
    """Post them at once; the results, in sending order."""
    client = Client(make_settings(), fake_ingress.url, endpoint, tries, first_pause_seconds=0.001)
    ended: list[PostResult] = []
    await client.run(posts, FAST, ended.append)
    assert len(ended) == len(client.results) == len(posts)
    return client.results


def statuses(result: PostResult) -> list[int | None]:
    return [attempt.status for attempt in result.attempts]


def test_no_post_waits_for_the_answer_to_another() -> None:
    async def scenario() -> None:
        all_have_come = asyncio.Event()

        async def withhold(request: Request) -> int:
            """Answer nobody before everybody has come: whoever waits for an answer first never gets one."""
            if len(fake_ingress.requests) == len(PLAN.posts):
                all_have_come.set()
            await all_have_come.wait()
            return 200

        async with serving_fake_ingress(withhold) as fake_ingress:
            results = await send(fake_ingress, PLAN.posts)
        assert Counter(request.body for request in fake_ingress.requests) == Counter(post.body for post in PLAN.posts)
        assert [statuses(result) for result in results] == [[200]] * len(PLAN.posts)

    asyncio.run(scenario())


def test_each_provider_proves_itself_as_it_does() -> None:
    async def scenario() -> None:
        endpoint = "7a3d0c55-93a1-4c0b-8f0e-7b2f5a1d9c42"
        async with serving_fake_ingress() as fake_ingress:
            await send(fake_ingress, PLAN.posts, endpoint=endpoint)
        assert fake_ingress.tokens == 1
        for request in fake_ingress.requests:
            assert request.headers["Content-Type"] == "application/json"
            if request.path == "/webhook":
                assert request.headers["Authorization"] == "Bearer token-1"
            else:
                mac = hmac.digest(AFOSTO_SECRET.encode(), request.body, hashlib.sha256).hex()
                assert request.headers["X-Afosto-Hmac-Sha256"] == mac
                assert request.headers["X-Afosto-Endpoint"] == endpoint
                assert request.headers["User-Agent"] == "Afosto/1.0 (+https://afosto.com/docs/webhooks)"
        assert Counter(request.path for request in fake_ingress.requests) == {
            "/webhook": len(INSTACART),
            "/webhook/afosto": len(AFOSTO),
        }

    asyncio.run(scenario())


def test_a_post_that_is_not_accepted_is_resent_unchanged_until_its_attempts_are_used_up() -> None:
    async def scenario() -> None:
        seen: Counter[bytes] = Counter()
        hopeless = PLAN.posts[0].body

        async def refuse(request: Request) -> int:
            seen[request.body] += 1
            return 503 if seen[request.body] < 3 or request.body == hopeless else 200

        async with serving_fake_ingress(refuse) as fake_ingress:
            results = await send(fake_ingress, PLAN.posts, tries=4)
        assert statuses(results[0]) == [503] * 4
        assert not results[0].is_accepted
        assert [statuses(result) for result in results[1:]] == [[503, 503, 200]] * (len(results) - 1)
        assert given_up(results) == 1
        answers = sum((each.answers for each in count_sent(results)), Counter[str]())
        assert answers == {"503": 2 * len(results) + 2, "200": len(results) - 1}

    asyncio.run(scenario())


def test_a_refused_token_is_replaced() -> None:
    async def scenario() -> None:
        async def revoke_the_first(request: Request) -> int:
            return 401 if request.headers["Authorization"] == "Bearer token-1" else 200

        async with serving_fake_ingress(revoke_the_first) as fake_ingress:
            results = await send(fake_ingress, INSTACART)
        assert {result.is_accepted for result in results} == {True}
        assert fake_ingress.tokens == 2, "however many were refused, one new token does for all"

    asyncio.run(scenario())


def test_an_expiring_token_is_replaced_before_it_is_refused() -> None:
    async def scenario() -> None:
        async with serving_fake_ingress(lifetime_seconds=0) as fake_ingress:
            results = await send(fake_ingress, INSTACART[:5])
        assert [statuses(result) for result in results] == [[200]] * 5
        assert fake_ingress.tokens == 5

    asyncio.run(scenario())


def test_the_forger_is_refused_once_and_knows_no_secret() -> None:
    async def scenario() -> None:
        forged = [replace(post, post_type=PostType.FORGED) for post in (INSTACART[0], AFOSTO[0])]

        async def refuse(request: Request) -> int:
            return 401

        async with serving_fake_ingress(refuse) as fake_ingress:
            results = await send(fake_ingress, forged)
        assert [statuses(result) for result in results] == [[401], [401]]
        assert given_up(results) == 0
        (instacart,) = (request for request in fake_ingress.requests if request.path == "/webhook")
        assert instacart.headers["Authorization"] == "Bearer forged"
        assert fake_ingress.tokens == 0

    asyncio.run(scenario())


def test_an_unreachable_server_is_no_answer_and_no_refusal() -> None:
    async def scenario() -> None:
        async with serving_fake_ingress() as fake_ingress:
            pass
        (result,) = await send(fake_ingress, AFOSTO[:1], tries=2)
        assert statuses(result) == [None, None]
        assert result.attempts[0].is_unclear
        assert latency_of([result]).p50_ms is None

    asyncio.run(scenario())


def test_another_servers_200_is_no_acknowledgement() -> None:
    async def scenario() -> None:
        async def without_content(request: Request) -> int:
            return 204

        async with serving_fake_ingress(without_content) as fake_ingress:
            (result,) = await send(fake_ingress, AFOSTO[:1], tries=1)
        assert not result.is_accepted

    asyncio.run(scenario())


def test_a_generator_that_falls_behind_says_so() -> None:
    results = [PostResult(post, late_seconds=late) for post, late in zip(PLAN.posts, (0.0, 0.05, 0.2, 1.5), strict=False)]
    assert punctuality_of(results) == (2, 1.5)


def test_acceptance_is_reported_with_the_inbox_id() -> None:
    async def scenario() -> None:
        async with serving_fake_ingress(accept) as fake_ingress:
            (result,) = await send(fake_ingress, AFOSTO[:1])
        assert result.attempts[0].event_id == (1, 0)

    asyncio.run(scenario())
