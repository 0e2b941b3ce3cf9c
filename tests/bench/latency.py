"""Part `latency`: from a POST's scheduled time to its committed row, beside rivals that write the same rows.

When a row was committed PostgreSQL says itself (`track_commit_timestamp`), by the same clock. It notes that just before it
flushes the commit, so one fsync, as measured at the start, is added to every latency.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from tests.bench import committed, machine, openloop
from tests.bench.backlog import WrongSumError
from tests.bench.bodies import Posted, refunding
from tests.bench.contenders import CURBSIDE, Contender, contenders, site
from tests.bench.openloop import percentile
from tests.bench.postgresql import Postgresql
from tests.bench.report import Numbers, Report

PART = "latency"
RATES = (100, 200, 300, 1000)
COMPARED = 200
_WARM_UP_PER_SECOND, _WARM_UP_SECONDS = 50, 3
_LIMIT_SECONDS = 60.0
COLUMNS = (
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("most_ms", "longest ms"),
    ("answer_p50_ms", "answered p50 ms"),
    ("answer_p99_ms", "answered p99 ms"),
    ("events", "events"),
)


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Ours at every rate, rivals at one, each once in each round."""
    cases = [(each, rate) for each in contenders() for rate in (RATES if each.is_ours else (COMPARED,))]
    fsync_seconds = machine.fsync_seconds(folder)
    with Postgresql(folder / "postgresql") as postgresql:
        for run in range(runs):
            turn = run % len(cases)
            for contender, rate in cases[turn:] + cases[:turn]:
                at = folder / f"{PART}{run}{cases.index((contender, rate))}"
                numbers = _at_rate(contender, at, postgresql, rate, 3 if quick else 15, fsync_seconds)
                report.add(PART, _name(contender.name, rate), run, numbers)


def _at_rate(
    contender: Contender, folder: Path, postgresql: Postgresql, per_second: int, seconds: int, fsync_seconds: float
) -> Numbers:
    warm_up = _WARM_UP_PER_SECOND * _WARM_UP_SECONDS
    posted = list(dict.fromkeys(refunding(2 * (warm_up + per_second * seconds))))  # each once: a duplicate commits nothing
    first, posted = posted[:warm_up], posted[warm_up : warm_up + per_second * seconds]
    with (
        site(contender, folder, postgresql) as its,
        its.workers(),
        its.server() as server,
        postgresql.connect(its.database_url) as connection,
    ):
        for part, rate in ((first, _WARM_UP_PER_SECOND), (posted, per_second)):
            sent = openloop.post(server.url, server.authorization, [each.body for each in part], rate)
            at = _committed_at(connection, part)
    answers = [(each.answered - each.due) * 1000 for each in sent]
    effects = [(when + fsync_seconds - each.due) * 1000 for when, each in zip(at, sent, strict=True)]
    return {
        "p50_ms": percentile(effects, 0.5),
        "p99_ms": percentile(effects, 0.99),
        "most_ms": max(effects),
        "answer_p50_ms": percentile(answers, 0.5),
        "answer_p99_ms": percentile(answers, 0.99),
        "events": float(len(posted)),
    }


def _committed_at(connection: psycopg.Connection, posted: Sequence[Posted]) -> list[float]:
    """When each event's line of history was committed, in seconds of the wall clock; waits until all are."""
    names, until = committed.event_ids(posted), time.monotonic() + _LIMIT_SECONDS
    while True:
        try:
            at = dict(connection.execute(_COMMITS).fetchall())
        except psycopg.errors.UndefinedTable:  # a worker makes it
            at = dict[str, float]()
        if all(name in at for name in names):
            return [at[name] for name in names]
        if time.monotonic() > until:
            raise WrongSumError(f"{sum(name not in at for name in names)} of {len(names)} events left no row")
        time.sleep(0.2)


_COMMITS = "SELECT provider_event_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM order_events"


def _name(contender: str, per_second: int) -> str:
    return f"{contender}, {per_second}/s"


def show(report: Report) -> None:
    """Print the table and the goals."""
    title = "POST to committed row, open loop, 700-byte bodies, two worker processes; median (least…most) over runs"
    report.table(PART, title, COLUMNS)
    ours = _name(CURBSIDE, COMPARED)
    report.goals_below(
        (
            (f"ms POST to committed effect at {COMPARED}/s, p50", report.median(PART, ours, "p50_ms"), 3),
            (f"ms POST to committed effect at {COMPARED}/s, p99", report.median(PART, ours, "p99_ms"), 12),
        )
    )
