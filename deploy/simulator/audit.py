"""After a run: waits until every event has its outcome, then compares the ledger with what it must hold."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploy.simulator.client import PostResult
from deploy.simulator.comparison import Comparison, compare
from deploy.simulator.differences import Difference
from deploy.simulator.ledger_reader import read_failures, read_run
from deploy.simulator.plan import Plan
from deploy.simulator.received import read_responses, run_of
from deploy.simulator.rules import rules_of
from workers.monitoring.status import Status, read_status

if TYPE_CHECKING:
    from deploy.deployment import Deployment

_POLL_SECONDS = 0.25
_ALL_ORDERS = "everything"


def status_of(deployment: "Deployment") -> Status:
    """Return the deployment's current status."""
    return read_status(deployment.client, deployment.ledger, [each.name for each in deployment.handlers])


def wait_until_idle(deployment: "Deployment", limit_seconds: float) -> Status:
    """Wait until no event waits and every alert is sent, or the limit has passed. Returns the last status."""
    deadline = time.monotonic() + limit_seconds
    while not _is_idle(status := status_of(deployment)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return status


def audit(deployment: "Deployment", plan: Plan, results: Sequence[PostResult], status: Status) -> Comparison:
    """Compare the ledger with what it must hold. `status` is that of the idle deployment."""
    received = read_responses(plan.events, results)
    found = read_run(deployment.ledger, run_of(plan, received))
    comparison = compare(received, found, read_failures(deployment.client), rules_of(deployment.settings))
    if waiting := _waiting(status):
        comparison.differences.insert(0, Difference(_ALL_ORDERS, "settled", "nothing waits", f"{waiting} wait"))
    if not status.balanced:
        comparison.differences.insert(0, Difference(_ALL_ORDERS, "the sums", "hold", "do not hold: see `curbside status`"))
    return comparison


def _is_idle(status: Status) -> bool:
    return not _waiting(status) and not (status.outbox and status.outbox.waiting)


def _waiting(status: Status) -> int:
    return status.inbox.waiting + sum(each.waiting for each in status.handlers.values())
