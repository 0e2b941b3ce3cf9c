"""Rows committed to a PostgreSQL ledger, ours or a rival's: counted while it grows, compared with what the bodies require."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import psycopg

from tests.bench.backlog import WrongSumError
from tests.bench.bodies import Posted

_PAUSE_SECONDS = 0.05
_COUNTING_SHARE = 0.05
"""Of the time at the most is spent on counting: a count reads the table, and the server is what is measured."""


class Rows(NamedTuple):
    """Numbers of rows."""

    orders: int
    order_events: int
    refunds: int


class _Item(msgspec.Struct):
    line_num: str
    refunded: bool


class _Metadata(msgspec.Struct):
    order_id: str
    order_items: list[_Item]


class _Envelope(msgspec.Struct):
    event_id: int
    event_name: str
    event_metadata: _Metadata


def expected(posted: Sequence[Posted]) -> Rows:
    """The rows that these envelopes ask for, each once."""
    orders, events, refunds = set[str](), set[int](), set[tuple[str, str]]()
    for each in _decoded(posted):
        order_id = each.event_metadata.order_id
        orders.add(order_id)
        events.add(each.event_id)
        if each.event_name.endswith("order_item_refund"):
            refunds |= {(order_id, item.line_num) for item in each.event_metadata.order_items if item.refunded}
    return Rows(len(orders), len(events), len(refunds))


def event_ids(posted: Sequence[Posted]) -> list[str]:
    """The provider's own ids of these envelopes."""
    return [str(each.event_id) for each in _decoded(posted)]


def _decoded(posted: Sequence[Posted]) -> list[_Envelope]:
    return msgspec.json.decode(b"[%b]" % b",".join(body for _, body in posted), type=list[_Envelope])


def count(connection: psycopg.Connection) -> Rows:
    """The rows that are there."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_events), (SELECT count(*) FROM refunds)"
    ).fetchone()
    assert row is not None
    return Rows(*row)


def history(connection: psycopg.Connection) -> int:
    """How many lines of history there are; 0 before there is a table."""
    try:
        row = connection.execute("SELECT count(*) FROM order_events").fetchone()
    except psycopg.errors.UndefinedTable:
        return 0
    return int(row[0]) if row else 0


class Progress(NamedTuple):
    """Lines of history at a moment."""

    at: float
    lines: int


def wait_for_first(connection: psycopg.Connection, seconds: float) -> Progress:
    """Wait until work has begun. Raises `WrongSumError` if it does not."""
    until = time.monotonic() + seconds
    while not (lines := history(connection)):
        if time.monotonic() > until:
            raise WrongSumError(f"nothing was committed within {seconds:.0f} seconds")
        time.sleep(_PAUSE_SECONDS)
    return Progress(time.monotonic(), lines)


def wait_for_all(connection: psycopg.Connection, wanted: Rows, seconds: float) -> Progress:
    """Wait until every row is there. Return when the last was committed. Raises `WrongSumError` if one is missing or doubled."""
    until = time.monotonic() + seconds
    while True:
        began, rows = time.monotonic(), count(connection)
        if rows == wanted:
            break
        if began > until or rows.order_events > wanted.order_events:
            raise WrongSumError(f"{rows} committed, but the events ask for {wanted}")
        time.sleep(max(_PAUSE_SECONDS, (time.monotonic() - began) / _COUNTING_SHARE))
    return Progress(time.monotonic() - _seconds_since_last(connection), wanted.order_events)


def _seconds_since_last(connection: psycopg.Connection) -> float:
    """How long ago the last line of history was committed, by the server's clock."""
    row = connection.execute(
        "SELECT extract(epoch FROM clock_timestamp() - max(pg_xact_commit_timestamp(xmin)))::float8 FROM order_events"
    ).fetchone()
    assert row is not None
    return float(row[0])
