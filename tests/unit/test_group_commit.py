"""Group commit: the number of writes for a number of events; each caller gets its own answer."""

import asyncio

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from ingress.inbox import MAX_GROUP, pack_append
from ingress.unavailability import InboxUnavailableError
from schemas import keys
from tests.support.ingress_client import stored
from tests.support.valkey_servers import RealValkey
from tests.unit.inbox_commits import an_inbox, answers_of, numbered, run


@given(provider=st.sampled_from(["instacart", "afosto"]), body=st.binary(), request=st.binary())
def test_the_command_on_the_wire_is_the_one_a_client_library_sends(provider: str, body: bytes, request: bytes) -> None:
    connection = redis.Connection()  # type: ignore[no-untyped-call]
    kept = (keys.FIELD_REQUEST, request) if request else ()
    packed = connection.pack_command(  # type: ignore[no-untyped-call]
        "XADD", keys.INBOX, "*", keys.FIELD_PROVIDER, provider, keys.FIELD_BODY, body, *kept
    )
    assert pack_append(provider, body, request) == b"".join(packed)


@pytest.mark.parametrize(("events", "writes"), [(1, 1), (100, 1), (MAX_GROUP, 1), (MAX_GROUP + 1, 2), (3 * MAX_GROUP, 3)])
def test_concurrent_events_share_a_write_and_get_their_own_ids(valkey_url: str, events: int, writes: int) -> None:
    bodies = numbered(events)

    async def main() -> None:
        async with an_inbox(valkey_url) as (inbox, written):
            answers = await answers_of(inbox, bodies)
            assert list(zip(answers, bodies, strict=True)) == [(name, body) for name, _, body in stored(valkey_url)]
            assert len(written) == writes

    run(main)


def test_an_event_costs_one_command_and_nothing_else(real_valkey_url: str) -> None:
    async def main() -> None:
        async with an_inbox(real_valkey_url) as (inbox, _):
            with redis.Redis.from_url(real_valkey_url) as client:
                client.config_resetstat()
                await answers_of(inbox, numbered(700))
                used = {name: each["calls"] for name, each in client.info("commandstats").items()}
            assert used.pop("cmdstat_xadd") == 700
            assert used.keys() <= {"cmdstat_info", "cmdstat_config|resetstat", "cmdstat_client|setinfo", "cmdstat_hello"}

    run(main)


def test_events_that_arrive_during_a_commit_share_the_next(valkey_url: str) -> None:
    async def main() -> None:
        async with an_inbox(valkey_url) as (inbox, written):
            first = inbox.append("instacart", b"first")
            while not written:  # noqa: ASYNC110 - turn by turn, so that no reply can have come
                await asyncio.sleep(0)
            assert not first.done()
            answers = await answers_of(inbox, numbered(100))
            assert len({await first, *answers}) == 101
            assert len(written) == 2

    run(main)


def test_a_cancelled_caller_takes_no_other_answer(valkey_url: str) -> None:
    async def main() -> None:
        async with an_inbox(valkey_url) as (inbox, _):
            futures = [inbox.append("instacart", body) for body in numbered(9)]
            for left in futures[::2]:
                left.cancel()
            stayed = [await future for future in futures[1::2]]
            entries = stored(valkey_url)
            assert [body for _, _, body in entries] == numbered(9)
            assert stayed == [name for name, _, _ in entries][1::2]

    run(main)


def test_closing_finishes_the_current_commit(valkey_url: str) -> None:
    async def main() -> None:
        async with an_inbox(valkey_url) as (inbox, _):
            futures = [inbox.append("instacart", body) for body in numbered(MAX_GROUP + 1)]
        assert all(future.done() and future.exception() is None for future in futures)
        assert len(stored(valkey_url)) == MAX_GROUP + 1

    run(main)


def test_without_redis_pys_transport_the_guarantees_are_the_same_and_a_line_is_logged(
    real_valkey: RealValkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingress.pipeline.transport_of", lambda connection: None)  # as after a release that keeps it elsewhere

    async def main() -> None:
        async with an_inbox(real_valkey.url, timeout_seconds=0.5) as (inbox, _):
            ids = await answers_of(inbox, numbered(600))
            assert [(each, "instacart", body) for each, body in zip(ids, numbered(600), strict=True)] == stored(real_valkey.url)
            with redis.Redis.from_url(real_valkey.url) as client:
                client.config_set("maxmemory", 1)
            refused = await answers_of(inbox, numbered(2))
            assert {(type(each), str(each)) for each in refused} == {(InboxUnavailableError, "Valkey refused: OOM")}
            real_valkey.restore()
            real_valkey.freeze()
            assert {type(each) for each in await answers_of(inbox, numbered(3))} == {InboxUnavailableError}
            real_valkey.restore()

    run(main)
    assert "costs twice as much" in caplog.text
