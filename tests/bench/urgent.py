"""Part `urgent`: from POSTing that a customer is missing to the alert's arrival at its webhook, while many timeline events wait."""

import contextlib
import secrets
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import redis

from schemas import keys
from tests.bench import backlog, committed, openloop
from tests.bench.backlog import WrongSumError
from tests.bench.bodies import Posted, missing_customers, refunding
from tests.bench.contenders import Site, curbside, site
from tests.bench.openloop import percentile
from tests.bench.postgresql import Postgresql
from tests.bench.report import Numbers, Report
from tests.support.alert_worker import Post, Receiver, receiving

PART = "urgent"
WAITING, QUICK_WAITING = 300_000, 20_000
"""So many that 100,000 wait still when the last alert has been handed over."""
_PER_SECOND = 50
_SECONDS, _QUICK_SECONDS = 5, 1
_WARM_UP = 50
_BULK_WORKERS = 2
_LIMIT_SECONDS = 60.0
_NAME = "customer_mia, POST to alert handed over"


class _Data(msgspec.Struct):
    order_id: str


class _Alert(msgspec.Struct):
    data: _Data


class _Metadata(msgspec.Struct):
    order_id: str


class _Envelope(msgspec.Struct):
    event_metadata: _Metadata


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Once in each round."""
    with Postgresql(folder / "postgresql") as postgresql:
        for run in range(runs):
            with (
                receiving() as receiver,
                site(curbside(_BULK_WORKERS, urgent=True), folder / f"{PART}{run}", postgresql) as its,
            ):
                secret = b64encode(secrets.token_bytes(24)).decode()
                alerts = {"ALERT_WEBHOOK_URL": receiver.url, "ALERT_WEBHOOK_SECRET": f"whsec_{secret}"}
                told = replace(its, environment={**its.environment, **alerts})
                numbers = _while_waiting(
                    told, receiver, QUICK_WAITING if quick else WAITING, _QUICK_SECONDS if quick else _SECONDS
                )
            report.add(PART, _NAME, run, numbers)


def _while_waiting(its: Site, receiver: Receiver, waiting: int, seconds: int) -> Numbers:
    posted = missing_customers(_WARM_UP + _PER_SECOND * seconds)
    first, posted = posted[:_WARM_UP], posted[_WARM_UP:]
    at: dict[str, float] = {}

    def note(post: Post) -> None:
        at.setdefault(msgspec.json.decode(post.body, type=_Alert).data.order_id, time.time())

    receiver.on_post = note
    its.preload(refunding(waiting))
    backlog.work(keys.DISPATCH, 2, its.environment)
    with contextlib.closing(redis.Redis.from_url(its.valkey.url)) as client, its.server() as server, its.workers():
        with its.postgresql.connect(its.database_url) as connection:
            committed.wait_for_first(connection, _LIMIT_SECONDS)
        openloop.post(server.url, server.authorization, [each.body for each in first], _PER_SECOND)
        _wait_for(at, _orders(first))
        backlog.wait_for_consumers(client, "timeline", _BULK_WORKERS, _LIMIT_SECONDS)
        before = backlog.waiting(client, "timeline")
        sent = openloop.post(server.url, server.authorization, [each.body for each in posted], _PER_SECOND)
        after = backlog.waiting(client, "timeline")
        orders = _orders(posted)
        _wait_for(at, orders)
    if not after:
        raise WrongSumError(f"no timeline event waited any more when the last alert was posted, of {before} at the first")
    took = [(at[order] - each.due) * 1000 for order, each in zip(orders, sent, strict=True)]
    return {
        "p50_ms": percentile(took, 0.5),
        "p99_ms": percentile(took, 0.99),
        "most_ms": max(took),
        "before": float(before),
        "after": float(after),
        "events": float(len(posted)),
    }


def _orders(posted: Sequence[Posted]) -> list[str]:
    return [msgspec.json.decode(each.body, type=_Envelope).event_metadata.order_id for each in posted]


def _wait_for(at: dict[str, float], orders: list[str]) -> None:
    until = time.monotonic() + _LIMIT_SECONDS
    while missing := [order for order in orders if order not in at]:
        if time.monotonic() > until:
            raise WrongSumError(f"{len(missing)} of {len(orders)} alerts did not arrive")
        time.sleep(0.1)


def show(report: Report) -> None:
    """Print the table and the goal."""
    columns = (
        ("p50_ms", "p50 ms"),
        ("p99_ms", "p99 ms"),
        ("most_ms", "longest ms"),
        ("before", "timeline waiting at the first"),
        ("after", "at the last"),
        ("events", "alerts"),
    )
    report.table(
        PART,
        "Alerts past a backlog, open loop, an urgent and two bulk worker processes; median (least…most) over runs",
        columns,
    )
    report.goals_below(((f"ms {_NAME}, p99", report.median(PART, _NAME, "p99_ms"), 60),))
