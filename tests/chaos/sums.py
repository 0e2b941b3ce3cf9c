"""Counts from outside: what waits, and whether every acknowledged event has exactly one outcome in every handler."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import redis
from sqlalchemy import text

from schemas import keys
from tests.chaos.effects import Checked
from tests.chaos.findings import Finding, Wrong
from tests.chaos.site import Extra
from tests.chaos.watch import HANDLERS, oldest
from workers.ledger.ledger import Ledger
from workers.ledger.tables import metadata

_KINDS = {"chaos_patient": "rescheduled", "chaos_urgent": "canceled"}


class Counted(NamedTuple):
    """One reading of Valkey. `received`: entries ever added to the inbox."""

    received: int
    counters: Mapping[str, int]
    pending: Mapping[str, int]

    def count(self, name: str) -> int:
        """A counter; 0 if it does not exist."""
        return self.counters.get(name, 0)


def read_counted(client: redis.Redis) -> Counted:
    """Read all counts."""
    counters: Any = client.hgetall(keys.COUNTERS)
    streams = {keys.DISPATCH: keys.INBOX} | {handler: keys.todo(handler) for handler in HANDLERS}
    pending = dict[str, int]()
    for name, stream in streams.items():
        groups: Any = client.xinfo_groups(stream) if client.exists(stream) else []
        pending[name] = sum(int(group["pending"]) for group in groups)
    received: Any = client.xinfo_stream(keys.INBOX)["entries-added"] if client.exists(keys.INBOX) else 0
    return Counted(int(received), {name.decode(): int(value) for name, value in counters.items()}, pending)


def waiting_in_outbox(ledger: Ledger) -> int:
    """How many alerts are not sent. Raises `DependencyUnavailableError`."""
    with ledger.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM outbox WHERE sent_at IS NULL")).scalar_one())


def check_sums(client: redis.Redis, checked: Checked, extras: list[Extra]) -> Iterator[Finding]:
    """Yield what waits, and the sums that do not hold."""
    for stream, since in oldest(client).items():
        yield Finding(Wrong.WAITS, f"{stream}: an event waits", since / 1000)
    now = read_counted(client)
    for name, number in now.pending.items():
        if number:
            yield Finding(Wrong.WAITS, f"{name}: {number} entries are pending", None, number)
    outcomes = {name: now.count(name) for name in ("duplicate", "routed", "undecodable")}
    if now.received != sum(outcomes.values()):
        yield Finding(Wrong.SUMS, f"{now.received} received are not the sum of {outcomes}")
    for handler in HANDLERS:
        its = {name: now.count(f"{name}:{handler}") for name in ("routed", "applied", "failed", "waiting")}
        if its["routed"] != its["applied"] + its["failed"] + its["waiting"] or its["waiting"]:
            yield Finding(Wrong.SUMS, f"the sum of {handler} does not hold: {its}")
    expected = checked.events + len(extras)
    if not checked.unclear and now.count("routed") != expected:
        difference = now.count("routed") - expected
        wrong = Wrong.LOST if difference < 0 else Wrong.DOUBLED
        yield Finding(wrong, f"{expected} events were acknowledged, {now.count('routed')} were routed", None, abs(difference))


def check_tables(ledger: Ledger, checked: Checked, extras: list[Extra]) -> Iterator[Finding]:
    """Yield what the ledger holds beside what the load and the faults asked for."""
    with ledger.read() as connection:
        for table in metadata.tables:
            if table in checked.rows:
                total = int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608 - our own names
                own = len(extras) if table in {"orders", "order_events"} else 0
                if total != checked.rows[table] + own:
                    yield Finding(
                        Wrong.DOUBLED, f"{table}: {total} rows, of which the orders have {checked.rows[table]} and faults {own}"
                    )
        found = connection.execute(text("SELECT handler, order_id, event_id FROM chaos_effects")).all()
        effects = {(handler, event_id) for handler, _, event_id in found}
        for handler, kind in _KINDS.items():
            rows = connection.execute(
                text("SELECT event_id, order_id FROM order_events WHERE kind = :kind"), {"kind": kind}
            ).all()
            events = {(handler, row.event_id) for row in rows if not row.order_id.startswith("poison-")}
            for _, event_id in events - effects:
                yield Finding(Wrong.LOST, f"{handler}: event {event_id} has no effect", int(event_id.partition("-")[0]) / 1000)
            for _, event_id in {each for each in effects if each[0] == handler} - events:
                yield Finding(Wrong.DOUBLED, f"{handler}: an effect of {event_id}, which the timeline does not have")
