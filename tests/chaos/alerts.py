"""Compares what the receiver of alerts accepted with the outbox: every alert at least once, under one key, with one content."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select

from tests.chaos.findings import Finding, Wrong
from tests.chaos.receiver import Accepted
from workers.alerts.webhook import webhook_id
from workers.ledger.ledger import Ledger
from workers.ledger.outbox import WEBHOOK
from workers.ledger.tables import outbox

_COLUMNS = outbox.c.idempotency_key, outbox.c.topic, outbox.c.title, outbox.c.payload, outbox.c.created_at, outbox.c.dropped


class AlertReport(NamedTuple):
    """`sent`: alerts in the outbox; `accepted`: how often one was accepted. `waits`: begin and end of each, by the wall clock."""

    sent: int
    accepted: int
    waits: list[tuple[float, float]]
    findings: list[Finding]


def check_alerts(record: Path, ledger: Ledger) -> AlertReport:
    """Compare the record of the receiver with the outbox. Raises `DependencyUnavailableError`."""
    lines = record.read_bytes().splitlines() if record.exists() else []
    accepted: dict[str, list[Accepted]] = {}
    for line in lines:
        each = Accepted(*orjson.loads(line))
        accepted.setdefault(each.id, []).append(each)
    waits = [
        (datetime.fromisoformat(every[0].created_at).timestamp(), min(each.at for each in every)) for every in accepted.values()
    ]
    findings, sent = list[Finding](), 0
    with ledger.read() as connection:
        query = select(*_COLUMNS).where(outbox.c.channel == WEBHOOK)
        for row in connection.execute(query, execution_options={"yield_per": 500}).mappings():
            sent += 1
            findings.extend(_differences(dict(row), accepted.pop(webhook_id(row["idempotency_key"]), [])))
    for name, every in accepted.items():
        findings.append(Finding(Wrong.DOUBLED, f"alert {name}: accepted, and not in the outbox", every[0].at))
    return AlertReport(sent, len(lines), waits, findings)


def _differences(row: dict[str, Any], accepted: list[Accepted]) -> Iterator[Finding]:
    name, at = row["idempotency_key"], row["created_at"].timestamp()
    if not accepted and not row["dropped"]:
        yield Finding(Wrong.LOST, f"alert {name}: in the outbox, and never accepted", at)
    elif {each.digest for each in accepted} - {_digest(row)}:
        yield Finding(Wrong.DIFFERS, f"alert {name}: accepted with another content than the outbox has", at)


def _digest(row: dict[str, Any]) -> str:
    content = {
        "type": row["topic"],
        "timestamp": row["created_at"],
        "data": {"title": row["title"], **orjson.loads(row["payload"])},
    }
    return hashlib.sha256(orjson.dumps(content)).hexdigest()[:16]
