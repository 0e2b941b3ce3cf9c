"""Contract drift: detects when a provider's bodies deviate from its contract, before any handler fails on them.

Bodies are inspected after their batch is committed. For each event name, a body is inspected if none was within the last
quarter of a second; every thirty-second body is inspected as well. At low load that is every body. At high load it is about 4 %
of the bodies and takes about 3 % of the dispatcher's time. Counted without exception are unknown event names, parts that could
not be read, and events with neither an id nor a time. A body that had to be mended to be read is always inspected.

The worker's timer writes the findings to Valkey once a second. All workers share that record, and a new finding is logged once.
A worker that is killed, or that cannot reach Valkey, loses the findings of its last second.
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
from schemas.drift import Difference, DriftKind, Finding, Shape, compare, difference_of
from schemas.events import Event, Kind
from schemas.parsing.tolerant import CANNOT_READ, read_document
from schemas.parsing.values import object_of
from workers.valkey import scripts

PERIOD_SECONDS = 0.25
SAMPLE_EVERY = 32
MIN_ABSENT = 100
"""A field that nine of ten bodies had is missing once so many inspected bodies in a row have not had it."""
MAX_INSPECTED_BYTES = 64 << 10
"""Larger bodies are not inspected: they are rare, and parsing one takes milliseconds."""

log = logging.getLogger("curbside.workers")

_UNKNOWN = Difference(DriftKind.UNKNOWN_EVENT, "$", "object")
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,100}")

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Finding).decode
_TIMES = ("timestamp", "event_timestamp", "triggered_at")


@dataclass(slots=True)
class _Sample:
    """What was inspected of one event's bodies since the last flush."""

    due: float = 0.0
    passed: int = 0
    inspected: int = 0
    present: Counter[str] = field(default_factory=Counter)


class DriftMonitor:
    """One worker's inspection of bodies. Safe to share between threads."""

    def __init__(self, client: Redis, clock: Callable[[], float] = monotonic) -> None:
        self._script, self._clock = scripts.load(client, "drift"), clock
        self._lock = threading.Lock()
        self._samples: dict[tuple[str, str], _Sample] = {}
        self._findings: dict[tuple[str, str, Difference], list[Any]] = {}

    def observe(self, events: Sequence[tuple[Event, bytes]]) -> None:
        """Inspect some of the bodies of these events."""
        now = self._clock()
        with self._lock:
            for event, body in events:
                name = event.name
                if event.kind is Kind.UNRECOGNISED:
                    self._note(event, name if _PLAIN.fullmatch(name) else "(another name)", _UNKNOWN)
                    name = event.kind.value  # the number of names has no bound
                sample = self._samples.get((event.provider, name))
                if sample is None:
                    sample = self._samples[event.provider, name] = _Sample()
                sample.passed += 1
                is_due = now >= sample.due or sample.passed % SAMPLE_EVERY == 0
                if is_due or event.mended or event.unreadable or not event.has_time:
                    sample.due = now + PERIOD_SECONDS if is_due else sample.due
                    self._inspect(event, name, body, sample)

    def _inspect(self, event: Event, name: str, body: bytes, sample: _Sample) -> None:
        differences = dict.fromkeys(map(difference_of, event.unreadable))
        document, shape = _document(body) if len(body) <= MAX_INSPECTED_BYTES else None, None
        if document is not None:
            shape = CONTRACTS[event.provider].shape_for(document)
            found, present = compare(document, shape)
            differences |= dict.fromkeys(found)
            sample.inspected += 1
            sample.present.update(present)
        if not event.has_time and event.provider_event_id is None:
            differences[_no_time(shape)] = None
        for difference in differences:
            self._note(event, name, difference)

    def _note(self, event: Event, name: str, difference: Difference) -> None:
        noted = self._findings.setdefault((event.provider, name, difference), [event, 0])
        noted[1] += 1

    def flush(self) -> None:
        """Add the findings to the shared record, and log the new ones. Raises the errors of Valkey."""
        with self._lock:
            noted, self._findings = self._findings, {}
            inspected = [(name, sample.inspected, sample.present) for name, sample in self._samples.items() if sample.inspected]
            for sample in self._samples.values():
                sample.inspected, sample.present = 0, Counter()
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


def _document(body: bytes) -> dict[str, Any] | None:
    """The document; None of a body of a user's own provider whose decoder reads what is no JSON, or no object."""
    try:
        document = object_of(read_document(body))
    except CANNOT_READ:
        return None
    return document if isinstance(document, dict) else None


def _no_time(shape: Shape | None) -> Difference:
    """An event with neither an id nor a time, at the place where the time should be."""
    fields = (shape and shape.fields) or {}
    return Difference(DriftKind.NO_TIME, next((fields[name].path for name in _TIMES if name in fields), "$"), "nothing")


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
    """Record fields that nearly every body had and that are now absent. Each is logged once. Housekeeping calls this."""
    kept: Any = client.hgetall(keys.DRIFT_FIELDS)
    fields = {name.decode(): int(count) for name, count in kept.items()}
    for provider, event, path, absent in _missing(fields):
        finding = Finding(provider, event, DriftKind.MISSING_FIELD, path, "nothing", "", now_ms)
        if record(client, finding, absent):
            _log(finding)


def record(client: Redis, finding: Finding, times: int) -> bool:
    """Record a finding with its count. Returns whether it is new."""
    client.hset(keys.DRIFT_COUNTS, _field(finding), times)
    return bool(client.hsetnx(keys.DRIFT, _field(finding), _encode(finding)))


def _missing(fields: dict[str, int]) -> Iterator[tuple[str, str, str, int]]:
    for name, last in fields.items():
        provider, event, *rest = name.split("|")
        if len(rest) == 2 and rest[1] == "last":
            absent, came = fields[f"{provider}|{event}"] - last, fields[f"{provider}|{event}|{rest[0]}|came"]
            if absent >= MIN_ABSENT and came >= 0.9 * last:
                yield provider, event, rest[0], absent


class CountedFinding(NamedTuple):
    """A finding, and in how many inspected bodies it occurred."""

    finding: Finding
    times: int


def read_drift(client: Redis) -> list[CountedFinding]:
    """All findings, sorted by provider, event and path."""
    pipeline = client.pipeline(transaction=True)
    pipeline.hgetall(keys.DRIFT)
    pipeline.hgetall(keys.DRIFT_COUNTS)
    findings, counts = pipeline.execute()
    found = [CountedFinding(_decode(record), int(counts.get(name, 0))) for name, record in findings.items()]
    return sorted(found, key=lambda each: (each.finding.provider, each.finding.event, each.finding.path, each.finding.what))


def reset_drift(client: Redis) -> None:
    """Delete the record. Drift that persists is found and logged again."""
    client.delete(keys.DRIFT, keys.DRIFT_COUNTS, keys.DRIFT_FIELDS)
