"""Processes are killed at any moment under load: every acknowledged event has one outcome, and no effect is duplicated."""

import itertools
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import redis

from schemas import keys
from schemas.decoding import decode
from schemas.events import Event, Kind
from schemas.failures import DecodeError
from tests.bench.bodies import mixed
from tests.support.event_sums import failures, pending, refunded_lines, sums
from tests.support.ingress_client import ProviderClient, ProviderPost
from tests.support.ledger_fixture import LedgerReader, reading_ledger
from tests.support.live_deployment import Deployment, deployed
from tests.support.waiting import wait_for
from workers.ledger.tables import customer_mia_alerts, order_events, outbox, refunds, replacements

SEED = 20261122
EVENTS, POSTERS, KILLS = 3_000, 3, 8
BAD = (
    b'{"event": "fulfillment.picking", "order_id": ',
    b'{"event": "fulfillment.picking", "timestamp": "2026-03-02T08:00:00Z"}',
    b'{"event": "fulfillment.order_item_refund", "order_id": ["fc-1"]}',
    b"\xff\xfe",
)


def test_killed_workers_and_a_killed_ingress_lose_and_duplicate_no_event(real_valkey_url: str, tmp_path: Path) -> None:
    rng = random.Random(SEED)  # noqa: S311 - the same moments in every run, as far as processes allow
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with (
        redis.Redis.from_url(real_valkey_url) as valkey,
        deployed(tmp_path, REDIS_URL=real_valkey_url, DATABASE_URL=ledger_url) as deployment,
        reading_ledger(ledger_url) as rows,
        ThreadPoolExecutor(POSTERS) as pool,
    ):
        load = _load(rng)
        posting = [pool.submit(_post, deployment.ingress.url, load[first::POSTERS]) for first in range(POSTERS)]
        killed = _kill_at_random(rng, deployment, valkey, posting)
        acknowledged = [event_id for each in posting for event_id in each.result()]
        wait_for(lambda: sums(valkey).is_settled, 60, "every event to have its outcome")
        wait_for(lambda: not _forgotten(rows), 45, "every alert to be sent")
        assert killed == KILLS
        _check_outcomes(valkey, acknowledged)
        _check_effects(valkey, rows)
        assert deployment.logs.count("ALERT ") >= len([row for row in rows.of(outbox) if row["sent_at"]])


def _load(rng: random.Random) -> list[ProviderPost]:
    """The posts of providers: good bodies, 5 % of them twice, and 1 % that cannot be decoded."""
    load = [ProviderPost(*posted) for posted in mixed(EVENTS, SEED)]
    for body, place in zip(itertools.cycle(BAD), sorted(rng.sample(range(EVENTS), EVENTS // 100)), strict=False):
        load.insert(place, ProviderPost("instacart", body))
    return load


def _post(url: str, load: list[ProviderPost]) -> list[str]:
    with ProviderClient(url) as poster:
        return [poster.post_until_acknowledged(*posted) for posted in load]


def _kill_at_random(rng: random.Random, deployment: Deployment, valkey: redis.Redis, posting: list[Future[list[str]]]) -> int:
    """Kill when so many events have come in: any worker, both, and once the ingress. What was killed is started again."""
    moments = sorted(rng.sample(range(100, EVENTS - 300), KILLS))
    of_ingress = rng.randrange(2, KILLS - 2)
    for number, moment in enumerate(moments):
        wait_for(partial(_has_received, valkey, moment, posting), 60, f"{moment} events")
        victims = [deployment.ingress] if number == of_ingress else rng.sample(deployment.workers, rng.choice((1, 1, 2)))
        for victim in victims:
            victim.kill()
        for victim in victims:
            victim.start()
    return len(moments)


def _has_received(valkey: redis.Redis, least: int, posting: list[Future[list[str]]]) -> bool:
    for each in posting:
        if each.done():
            each.result()  # raises what a poster gave up for
    return sums(valkey).received >= least


def _check_outcomes(valkey: redis.Redis, acknowledged: list[str]) -> None:
    entries = _entries(valkey)
    assert len(acknowledged) == len(set(acknowledged)) == EVENTS + EVENTS // 100
    assert set(acknowledged) <= entries.keys(), "a 200 means that it is on disk"
    looked = sums(valkey)
    looked.check()
    assert looked.received == len(entries)
    events = list(_decoded(entries))
    bad = len(entries) - len(events)
    identities = len({event.identity for event in events})
    assert {name: looked.count(name) for name in ("routed", "duplicate", "undecodable")} == {
        "routed": identities,
        "duplicate": len(events) - identities,
        "undecodable": bad,
    }
    assert len(failures(valkey)) == bad >= EVENTS // 100
    assert looked.count("applied:timeline") == identities
    assert pending(valkey) == 0


def _check_effects(valkey: redis.Redis, rows: LedgerReader) -> None:
    """The ledger holds just what the bodies in the inbox say, as a set: no less, and nothing twice."""
    events = list(_decoded(_entries(valkey)))
    assert _keys(rows.of(order_events), "order_id", "identity") == sorted(
        {(order_id, event.identity) for event in events for order_id in event.order_ids}
    )
    refunded = refunded_lines(events)
    assert _keys(rows.of(refunds), "order_id", "line") == sorted(refunded)
    replaced = {
        (order_id, line.line, line.substitute.product)
        for event in events
        if event.kind is Kind.ORDER_ITEM_REPLACEMENT
        for order_id in event.order_ids
        for line in event.lines
        if line.substitute is not None
    }
    assert _keys(rows.of(replacements), "order_id", "line", "substitute") == sorted(replaced)
    open_alerts = _keys([row for row in rows.of(customer_mia_alerts) if row["closed_at"] is None], "provider", "order_id")
    assert len(open_alerts) == len(set(open_alerts)), "one open alert an order"
    sent = _keys(rows.of(outbox), "idempotency_key", "channel")
    assert len(sent) == len(set(sent)) > 0
    assert len(refunded) > 10 < len(replaced), "the load had something to double"


def _forgotten(rows: LedgerReader) -> list[dict[str, Any]]:
    """Unsent alerts without a lease. Those that a killed worker had leased are sent a minute later."""
    return [row for row in rows.of(outbox) if row["sent_at"] is None and row["leased_until"] is None]


def _keys(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[column] for column in columns) for row in rows)


def _entries(valkey: redis.Redis) -> dict[str, dict[bytes, bytes]]:
    found: Any = valkey.xrange(keys.INBOX)
    return {entry_id.decode(): fields for entry_id, fields in found}


def _decoded(entries: dict[str, dict[bytes, bytes]]) -> Iterator[Event]:
    for entry_id, fields in entries.items():
        try:
            yield decode(fields[keys.FIELD_PROVIDER].decode(), fields[keys.FIELD_BODY], entry_id, UTC)
        except DecodeError:
            continue
