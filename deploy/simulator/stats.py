"""What was sent and how it was answered, in figures. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from deploy.simulator.client import LATE_SECONDS, Answer, Fate
from deploy.simulator.plan import Nature

NO_ANSWER = "no answer"


class Sent(NamedTuple):
    """Tries of one provider and kind; what is no news is a kind of its own. `answers` counts them by status."""

    provider: str
    kind: str
    answers: Counter[str]


class Latency(NamedTuple):
    """Milliseconds from when a try was due to its acknowledgement; None where there was none."""

    p50_ms: float | None
    p99_ms: float | None
    most_ms: float | None


class Punctuality(NamedTuple):
    """How the generator kept its schedule: posts that left more than `LATE_SECONDS` late, and the latest."""

    late: int
    most_late_seconds: float


def count_sent(fates: Sequence[Fate]) -> list[Sent]:
    """All tries, sorted by provider and kind."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for fate in fates:
        kind = fate.post.kind if fate.post.nature is Nature.NEWS else f"({fate.post.nature})"
        found.setdefault((fate.post.provider, kind), Counter()).update(_outcome(answer) for answer in fate.answers)
    return [Sent(*key, found[key]) for key in sorted(found)]


def latency_of(fates: Sequence[Fate]) -> Latency:
    """Of all that was acknowledged."""
    taken = sorted(answer.seconds for fate in fates for answer in fate.answers if answer.event_id)
    if not taken:
        return Latency(None, None, None)
    return Latency(*(round(1000 * taken[min(len(taken) - 1, int(share * len(taken)))], 1) for share in (0.5, 0.99, 1.0)))


def punctuality_of(fates: Sequence[Fate]) -> Punctuality:
    """Of the first tries."""
    late = [fate.late_seconds for fate in fates]
    return Punctuality(sum(each > LATE_SECONDS for each in late), round(max(late, default=0.0), 3))


def given_up(fates: Sequence[Fate]) -> int:
    """Posts that were to be accepted and never were."""
    return sum(not fate.is_accepted for fate in fates if fate.post.nature is not Nature.FORGED)


def _outcome(answer: Answer) -> str:
    return NO_ANSWER if answer.status is None else str(answer.status)
