"""Background jobs of the ingress end when it stops, and an early end is logged."""

import asyncio

import pytest

from ingress.background import running


def test_the_ingress_stops_even_if_a_job_misses_the_first_cancellation() -> None:
    ended: list[str] = []

    async def hard_of_hearing() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("missed")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def main() -> None:
        async with running(job=hard_of_hearing()):
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(main(), 20))

    assert ended == ["missed", "ended"]


def test_a_job_that_ends_by_a_bug_is_logged_under_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise KeyError("No such transport: carrier pigeon")

    async def main() -> None:
        async with running(notifier=broken()):
            await asyncio.sleep(0.01)

    asyncio.run(main())

    assert "the notifier job ended" in caplog.text
    assert "carrier pigeon" in caplog.text
