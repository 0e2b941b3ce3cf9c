"""Counts, latencies and punctuality of a run. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from deploy.simulator.client import LATE_SECONDS, Attempt, PostResult
from deploy.simulator.plan import PostType

NO_ANSWER = "no answer"


class Sent(NamedTuple):
    """The attempts of one provider and kind, counted by status in `answers`. Duplicates and faults are kinds of their own."""

    provider: str
    kind: str
    answers: Counter[str]


class Latency(NamedTuple):
    """Milliseconds from when an attempt was due to its acknowledgement; None if nothing was acknowledged."""

    p50_ms: float | None
    p99_ms: float | None
    most_ms: float | None


class Punctuality(NamedTuple):
    """How well the schedule was kept: the number of posts that left over `LATE_SECONDS` late, and the largest delay."""

    late: int
    most_late_seconds: float


def count_sent(results: Sequence[PostResult]) -> list[Sent]:
    """Count all attempts, sorted by provider and kind."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for result in results:
        kind = result.post.kind if result.post.post_type is PostType.ORIGINAL else f"({result.post.post_type})"
        found.setdefault((result.post.provider, kind), Counter()).update(_outcome(attempt) for attempt in result.attempts)
    return [Sent(*key, found[key]) for key in sorted(found)]


def latency_of(results: Sequence[PostResult]) -> Latency:
    """Return the latency of all acknowledged attempts."""
    seconds = sorted(attempt.seconds for result in results for attempt in result.attempts if attempt.event_id)
    if not seconds:
        return Latency(None, None, None)
    last = len(seconds) - 1
    return Latency(*(round(1000 * seconds[min(last, int(share * len(seconds)))], 1) for share in (0.5, 0.99, 1.0)))


def punctuality_of(results: Sequence[PostResult]) -> Punctuality:
    """Return the punctuality of the first attempts."""
    late = [result.late_seconds for result in results]
    return Punctuality(sum(each > LATE_SECONDS for each in late), round(max(late, default=0.0), 3))


def given_up(results: Sequence[PostResult]) -> int:
    """Count the posts that should have been accepted and never were."""
    return sum(not result.is_accepted for result in results if result.post.post_type is not PostType.FORGED)


def _outcome(attempt: Attempt) -> str:
    return NO_ANSWER if attempt.status is None else str(attempt.status)
