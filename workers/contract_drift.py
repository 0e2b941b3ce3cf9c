"""The drift alarm: notices when a provider's bodies move away from the contract, long before anything fails for it.

Bodies are inspected at after their commit. Of an event's name the first is inspected at, then one every quarter of a second at most, and
every thirty-second: at low load that is every body, at high load some 4 %, which costs the dispatcher some 3 %. Unknown names are all
counted. What was seen is told to Valkey once a second by the worker's timer, so that all workers share one record, and a new finding is
logged once, by whoever was first. A worker that is killed, or finds Valkey away, forgets what it saw in its last second.
"""

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from redis import Redis

from schemas import keys
from schemas.contracts import CONTRACTS
from schemas.drift import Difference, DriftKind, Finding, compare
from schemas.events import Event, Kind
from workers.valkey import scripts

PERIOD_SECONDS = 0.25
EVERY = 32
MISSED = 100
"""A field that came with nine bodies of ten is missing when it has not come with so many in a row, of those inspected at."""
MAX_LOOKED_AT_BYTES = 64 << 10
"""Larger bodies are not inspected at: they are rare, and reading one whole would take milliseconds."""

log = logging.getLogger("curbside.workers")

_UNKNOWN = Difference(DriftKind.UNKNOWN_EVENT, "$", "object")
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,100}")

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Finding).decode
_document = msgspec.json.Decoder(float_hook=float).decode


@dataclass(slots=True)
class _Seen:
    """What was seen of one event's bodies since it was last told."""

    due: float = 0.0
    passed: int = 0
    inspected: int = 0
    present: Counter[str] = field(default_factory=Counter)


class DriftMonitor:
    """One worker's eyes. Threads may share it."""

    def __init__(self, client: Redis, clock: Callable[[], float] = monotonic) -> None:
        self._script, self._clock = scripts.load(client, "drift"), clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._findings: dict[tuple[str, str, Difference], list[Any]] = {}

    def observe(self, events: Sequence[tuple[Event, bytes]]) -> None:
        """Look at some of the bodies of these events."""
        now = self._clock()
        with self._lock:
            for event, body in events:
                name = event.name
                if event.kind is Kind.UNRECOGNISED:
                    self._note(event, name if _PLAIN.fullmatch(name) else "(another name)", _UNKNOWN)
                    name = event.kind.value  # of names there is no end
                seen = self._seen.get((event.provider, name))
                if seen is None:
                    seen = self._seen[event.provider, name] = _Seen()
                seen.passed += 1
                if (now >= seen.due or seen.passed % EVERY == 0) and len(body) <= MAX_LOOKED_AT_BYTES:
                    seen.due = now + PERIOD_SECONDS
                    self._inspect(event, name, body, seen)

    def _inspect(self, event: Event, name: str, body: bytes, seen: _Seen) -> None:
        try:
            document = _document(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # placed without being read in full: what was skipped is no JSON that we can hold
        differences, present = compare(document, CONTRACTS[event.provider].shape_for(document))
        seen.inspected += 1
        seen.present.update(present)
        for difference in differences:
            self._note(event, name, difference)

    def _note(self, event: Event, name: str, difference: Difference) -> None:
        noted = self._findings.setdefault((event.provider, name, difference), [event, 0])
        noted[1] += 1

    def flush(self) -> None:
        """Add what was seen to the record, and log what nobody had seen before. Raises the errors of Valkey."""
        with self._lock:
            noted, self._findings = self._findings, {}
            inspected = [(name, seen.inspected, seen.present) for name, seen in self._seen.items() if seen.inspected]
            for seen in self._seen.values():
                seen.inspected, seen.present = 0, Counter()
        findings = {_field(each): each for each in (_finding(*found, event) for found, (event, _) in noted.items())}
        counts = [count for _, count in noted.values()]
        args: list[Any] = [len(findings)]
        for (name, finding), count in zip(findings.items(), counts, strict=True):
            args += (name, _encode(finding), count)
        for (provider, event_name), bodies, present in inspected:
            args += (f"{provider}|{event_name}", bodies, len(present), *(part for pair in present.items() for part in pair))
        if len(args) > 1:
            new: Any = self._script([keys.DRIFT, keys.DRIFT_COUNTS, keys.DRIFT_FIELDS], args)
            for name in new:
                _log(findings[name.decode()])


def _finding(provider: str, name: str, difference: Difference, event: Event) -> Finding:
    return Finding(provider, name, *difference, event.event_id, int(event.received_at.timestamp() * 1000))


def _field(finding: Finding) -> str:
    return "|".join((finding.provider, finding.event, finding.what, finding.path, finding.found))


def _log(found: Finding) -> None:
    where = f", first in event {found.first_event_id}" if found.first_event_id else ""
    log.warning(
        "drift: %s %s: %s %s (%s)%s: see `curbside drift`",
        found.provider,
        found.event,
        found.what,
        found.path,
        found.found,
        where,
    )


def note_missing(client: Redis, now_ms: int) -> None:
    """Put fields on record that came with nearly every body, and then with none for long; each is logged once. Housekeeping's part."""
    kept: Any = client.hgetall(keys.DRIFT_FIELDS)
    fields = {name.decode(): int(count) for name, count in kept.items()}
    for provider, event, path, absent in _missing(fields):
        finding = Finding(provider, event, DriftKind.MISSING_FIELD, path, "nothing", "", now_ms)
        if record(client, finding, absent):
            _log(finding)


def record(client: Redis, finding: Finding, times: int) -> bool:
    """Put a finding on record as seen so many times; whether it is new."""
    client.hset(keys.DRIFT_COUNTS, _field(finding), times)
    return bool(client.hsetnx(keys.DRIFT, _field(finding), _encode(finding)))


def _missing(fields: dict[str, int]) -> Iterator[tuple[str, str, str, int]]:
    for name, last in fields.items():
        provider, event, *rest = name.split("|")
        if len(rest) == 2 and rest[1] == "last":
            absent, came = fields[f"{provider}|{event}"] - last, fields[f"{provider}|{event}|{rest[0]}|came"]
            if absent >= MISSED and came >= 0.9 * last:
                yield provider, event, rest[0], absent


class Found(NamedTuple):
    """A finding, and how often it was seen in the bodies inspected at."""

    finding: Finding
    times: int


def read_drift(client: Redis) -> list[Found]:
    """All findings; by provider, event and path."""
    pipeline = client.pipeline(transaction=True)
    pipeline.hgetall(keys.DRIFT)
    pipeline.hgetall(keys.DRIFT_COUNTS)
    findings, counts = pipeline.execute()
    found = [Found(_decode(record), int(counts.get(name, 0))) for name, record in findings.items()]
    return sorted(found, key=lambda each: (each.finding.provider, each.finding.event, each.finding.path, each.finding.what))


def forget_drift(client: Redis) -> None:
    """Forget all of it: what is still so is found, and logged, anew."""
    client.delete(keys.DRIFT, keys.DRIFT_COUNTS, keys.DRIFT_FIELDS)
