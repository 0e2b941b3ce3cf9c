"""Refused requests are counted for the whole deployment, also during a Valkey outage, and logged once a minute."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploy.flower.metrics import Metrics
from ingress.background import running
from ingress.refusals import Refusals
from schemas.contracts import CONTRACTS
from schemas.refusals import NOBODY, Cause, Refused, explain
from tests.support.redis_monitor import RedisMonitor
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for_async
from workers.monitoring.refusals import RefusedStatus, read_refused


@pytest.fixture(autouse=True)
def _short_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingress.refusals.PERIOD_SECONDS", 0.02)


def counting(url: str) -> Refusals:
    valkey = Redis.from_url(url, protocol=2, decode_responses=True, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
    return Refusals(valkey, CONTRACTS)


@asynccontextmanager
async def an_ingress(url: str) -> AsyncIterator[Refusals]:
    """Counts, and stops as an ingress does."""
    refusals = counting(url)
    async with running(refusals=refusals.run()):
        yield refusals
    await refusals.close()
    await refusals._valkey.aclose()


def stored(url: str) -> dict[Refused, int]:
    return {Refused(each.provider, each.status, each.cause): each.count for each in look(url)}


def look(url: str) -> list[RefusedStatus]:
    with redis.Redis.from_url(url) as client:
        return read_refused(client, datetime.now(UTC))


async def until_stored(url: str, wanted: Callable[[int], bool]) -> int:
    async def seen() -> int:
        return total if wanted(total := sum(stored(url).values())) else 0

    return await wait_for_async(seen, what="the refusals in Valkey")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.getMessage().startswith("refused ")]


def test_the_refusals_of_every_ingress_are_added_up(valkey_url: str) -> None:
    async def main() -> None:
        async with an_ingress(valkey_url) as one, an_ingress(valkey_url) as other:
            for _ in range(300):
                one.add("instacart", 401, Cause.TOKEN_WRONG)
                other.add("instacart", 401, Cause.TOKEN_WRONG)
            other.add("afosto", 503, Cause.BACKLOG)

    asyncio.run(main())

    assert stored(valkey_url) == {Refused("instacart", 401, Cause.TOKEN_WRONG): 600, Refused("afosto", 503, Cause.BACKLOG): 1}
    for each in look(valkey_url):
        assert each.recent == each.count
        assert each.last_age_seconds < 60


def test_what_is_new_is_stored_while_the_ingress_runs(valkey_url: str) -> None:
    async def main() -> None:
        async with an_ingress(valkey_url) as refusals:
            for number in range(1, 4):
                refusals.add("instacart", 401, Cause.TOKEN_WRONG)
                await until_stored(valkey_url, number.__eq__)

    asyncio.run(main())


def test_made_up_names_cannot_fill_valkey(valkey_url: str) -> None:
    async def main() -> None:
        async with an_ingress(valkey_url) as refusals:
            for number in range(100):
                refusals.add(f"shop-{number}|404|x", 404, Cause.NOT_FOUND)

    asyncio.run(main())

    assert stored(valkey_url) == {Refused(NOBODY, 404, Cause.NOT_FOUND): 100}


def test_refusals_during_a_valkey_outage_are_added_after_it(real_valkey: RealValkey) -> None:
    async def main() -> None:
        async with an_ingress(real_valkey.url) as refusals:
            refusals.add("instacart", 503, Cause.UNREACHABLE)
            await until_stored(real_valkey.url, lambda total: total == 1)
            real_valkey.kill()
            for _ in range(50):
                refusals.add("instacart", 503, Cause.UNREACHABLE)
                await asyncio.sleep(0.005)
            real_valkey.start()
            await until_stored(real_valkey.url, lambda total: total == 51)

    asyncio.run(main())

    assert stored(real_valkey.url) == {Refused("instacart", 503, Cause.UNREACHABLE): 51}


def test_a_frozen_valkey_does_not_count_every_attempt_when_it_resumes(real_valkey: RealValkey) -> None:
    async def main() -> None:
        async with an_ingress(real_valkey.url) as refusals:
            refusals.add("instacart", 401, Cause.TOKEN_WRONG)
            await until_stored(real_valkey.url, lambda total: total == 1)
            await asyncio.gather(*(refusals._valkey.ping() for _ in range(8)))  # other jobs' connections lie idle
            real_valkey.freeze()
            for _ in range(100):  # five attempts or so
                refusals.add("instacart", 503, Cause.VALKEY_SLOW)
                await asyncio.sleep(0.02)
            real_valkey.resume()
            await until_stored(real_valkey.url, lambda total: total >= 101)

    asyncio.run(main())

    counted = stored(real_valkey.url)[Refused("instacart", 503, Cause.VALKEY_SLOW)]
    assert 100 <= counted < 150, "only the attempt under way at the beginning may be counted twice"


def test_without_refusals_no_command_is_sent_to_valkey(real_valkey_url: str) -> None:
    async def main() -> None:
        async with an_ingress(real_valkey_url):
            await asyncio.sleep(0.2)

    with RedisMonitor(real_valkey_url) as monitor:
        asyncio.run(main())
    assert monitor.commands == []


def test_the_log_has_a_line_for_each_cause_and_not_for_each_request(valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with an_ingress(valkey_url) as refusals:
            for _ in range(300):
                refusals.add("instacart", 401, Cause.TOKEN_WRONG)
            refusals.add("afosto", 400, Cause.EMPTY)

            async def said() -> bool:
                return len(lines(caplog)) == 2

            await wait_for_async(said, what="two lines")
            for number in range(100):
                refusals.add(("instacart", "toyshop")[number % 2], 401, Cause.TOKEN_WRONG)
                await asyncio.sleep(0.001)
            assert len(lines(caplog)) == 2

    asyncio.run(main())

    assert sorted(lines(caplog)) == [
        "refused 1 request because of an empty body (afosto 400: 1); was a provider set up wrongly?",
        "refused 100 requests because of a token of another signing key (instacart 401: 50, - 401: 50);"
        " was TOKEN_SIGNING_KEYS changed without overlap?",
        "refused 300 requests because of a token of another signing key (instacart 401: 300);"
        " was TOKEN_SIGNING_KEYS changed without overlap?",
    ]


def test_a_continuing_cause_is_logged_once_per_interval(
    valkey_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingress.refusals.LOG_SECONDS", 0.1)

    async def main() -> None:
        async with an_ingress(valkey_url) as refusals:

            async def again() -> bool:
                refusals.add("instacart", 401, Cause.TOKEN_WRONG)
                return len(lines(caplog)) >= 3

            await wait_for_async(again, what="three lines")

    asyncio.run(main())
    told = sum(int(line.split()[1]) for line in lines(caplog))
    assert {Refused("instacart", 401, Cause.TOKEN_WRONG): told} == stored(valkey_url)


def test_refusals_are_prometheus_metrics(valkey_url: str) -> None:
    async def main() -> None:
        async with an_ingress(valkey_url) as refusals:
            refusals.add("instacart", 401, Cause.TOKEN_WRONG)
            refusals.add("nobody knows", 404, Cause.NOT_FOUND)

    asyncio.run(main())

    with redis.Redis.from_url(valkey_url) as client:
        samples = [sample for metric in Metrics(client, []).collect() for sample in metric.samples]
    seen = {tuple(each.labels.values()): each.value for each in samples if each.name == "curbside_refused_total"}
    assert seen == {("instacart", "401", "token_wrong"): 1, ("-", "404", "not_found"): 1}


def test_every_cause_has_a_description() -> None:
    for cause in Cause:
        what, question = explain(cause)
        assert what != cause.value, f"{cause!r} has no row in schemas.refusals"
        assert question
    assert explain("a cause of the next release") == ("a cause of the next release", "")
