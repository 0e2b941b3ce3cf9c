"""After a run: waits until every event has its outcome, then has the ledger compared with what was expected."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploy.simulator.client import Fate
from deploy.simulator.comparison import Difference, Verdict, judge
from deploy.simulator.ledger_reader import read_failures, read_orders
from deploy.simulator.provider_events import Fact
from deploy.simulator.received import received_of
from workers.monitoring.status import Status, read_status

if TYPE_CHECKING:
    from deploy.cli.deployment import Deployment

_LOOK_SECONDS = 0.25
_EVERYTHING = "everything"


def status_of(deployment: "Deployment") -> Status:
    """Where every event is now."""
    return read_status(deployment.client, deployment.ledger, [each.name for each in deployment.handlers])


def settle(deployment: "Deployment", limit_seconds: float) -> Status:
    """Wait until nothing waits, or the limit is over; the last look."""
    give_up = time.monotonic() + limit_seconds
    while _waiting(status := status_of(deployment)) and time.monotonic() < give_up:
        time.sleep(_LOOK_SECONDS)
    return status


def audit(deployment: "Deployment", facts: Sequence[Fact], fates: Sequence[Fate], status: Status) -> Verdict:
    """Compare. `status` is that of the settled deployment."""
    received = received_of(facts, fates)
    found = read_orders(deployment.ledger, [*received.heard, *received.forged])
    verdict = judge(received, found, read_failures(deployment.client))
    if waiting := _waiting(status):
        verdict.differences.insert(0, Difference(_EVERYTHING, "settled", "nothing waits", f"{waiting} wait"))
    if not status.balanced:
        verdict.differences.insert(0, Difference(_EVERYTHING, "the sums", "hold", "do not hold: see `curbside status`"))
    return verdict


def _waiting(status: Status) -> int:
    return status.inbox.waiting + sum(each.waiting for each in status.handlers.values())
