"""The verdict on a run: waits until nothing waits, then compares everything, and tells what is wrong and under which faults."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import redis

from deploy.simulator.applied import EventId
from deploy.simulator.ledger_reader import read_failures
from deploy.simulator.rules import rules_of
from schemas.failures import Failure, FailureState
from schemas.processes import WRONG_SET_UP
from tests.chaos.alerts import AlertReport, check_alerts
from tests.chaos.chaos_handlers import CALLS, POISONED
from tests.chaos.effects import Checked, check_waves, unexplained
from tests.chaos.findings import NO_FAULT, Attribution, Finding, Made, Row, Wrong
from tests.chaos.site import SECRET, Site
from tests.chaos.sums import check_sums, check_tables, read_counted, waiting_in_outbox
from tests.chaos.watch import KILLED_WORKER, Watch, described, oldest
from tests.chaos.waves import read_waves
from tests.support.settings import make_settings
from workers.errors import DependencyUnavailableError
from workers.ledger.ledger import Ledger

_POLL_SECONDS = 0.5
_CALLED_WITHIN_SECONDS = 30.0


@dataclass(frozen=True)
class Verdict:
    """What a run came to. `findings`: what is wrong, each with the kinds of fault it may come from."""

    seconds: float
    settled_seconds: float
    faults: int
    checked: Checked
    received: int
    duplicates: int
    alerts: AlertReport
    rows: list[Row]
    findings: list[tuple[Finding, list[str]]]

    def total(self, wrong: Wrong) -> int:
        """How many things are wrong in this way."""
        return sum(finding.weight for finding, _ in self.findings if finding.wrong is wrong)

    @property
    def oldest_wait(self) -> float:
        """The longest wait of an event, in seconds."""
        return max((row.oldest_wait for row in self.rows), default=0.0)


def settle(site: Site, patience_seconds: float) -> float:
    """Wait until nothing waits. Returns how many seconds that took, or that it was tried."""
    begin = time.monotonic()
    ledger = Ledger(make_settings(DATABASE_URL=site.ledger_url))
    try:
        while time.monotonic() - begin < patience_seconds:
            if _is_settled(site.valkey.admin, ledger):
                break
            time.sleep(_POLL_SECONDS)
    finally:
        ledger.close()
    return time.monotonic() - begin


def _is_settled(client: redis.Redis, ledger: Ledger) -> bool:
    try:
        if oldest(client) or any(read_counted(client).pending.values()):
            return False
        retrying = (each for every in read_failures(client).values() for each in every if _must_end(each))
        return not any(retrying) and not waiting_in_outbox(ledger)
    except (redis.RedisError, DependencyUnavailableError):
        return False


def _must_end(failure: Failure) -> bool:
    """Whether a retry will apply it: all but poison, and a body of which a part cannot be read."""
    return failure.state is FailureState.RETRYING and failure.reason not in {"wrong_type", KILLED_WORKER}


def judge(site: Site, watch: Watch, made: list[Made], seconds: float, settled_seconds: float) -> Verdict:
    """Compare everything. Raises `DependencyUnavailableError` or redis' errors if a server does not answer any more."""
    settings = make_settings(DATABASE_URL=site.ledger_url, ALERT_WEBHOOK_URL="http://127.0.0.1/", ALERT_WEBHOOK_SECRET=SECRET)
    ledger, attribution = Ledger(settings), Attribution(made)
    try:
        failures = read_failures(site.valkey.admin)
        checked = check_waves(site.folder, read_waves(site.folder), ledger, failures, rules_of(settings), site.valkey.body_of)
        alerts = check_alerts(site.folder / "alerts", ledger)
        findings = [
            *checked.findings,
            *alerts.findings,
            *check_sums(site.valkey.admin, checked, site.extras),
            *check_tables(ledger, checked, site.extras),
            *_of_failures(checked, failures, site),
            *_of_processes(site, watch, attribution),
        ]
    finally:
        ledger.close()
    attributed = [(finding, attribution.add(finding)) for finding in findings]
    _add_waits(attribution, watch, alerts)
    counted = read_counted(site.valkey.admin)
    rows = sorted(attribution.rows.values(), key=lambda row: row.kind)
    return Verdict(
        seconds, settled_seconds, len(made), checked, counted.received, counted.count("duplicate"), alerts, rows, attributed
    )


def _of_failures(checked: Checked, failures: dict[EventId, list[Failure]], site: Site) -> Iterator[Finding]:
    poisoned = {f"{extra.poisons}:{extra.event_id}" for extra in site.extras if extra.poisons}
    on_record = {each.field: each for every in failures.values() for each in every}
    for field in sorted(poisoned):
        reason = on_record[field].reason if field in on_record else "nothing"
        if reason != KILLED_WORKER:
            at = int(field.partition(":")[2].partition("-")[0]) / 1000
            yield Finding(Wrong.LOST, f"poison {field}: expected on record as {KILLED_WORKER}, found {reason}", at)
    for failure in unexplained(checked, failures):
        if failure.field not in poisoned:
            yield Finding(
                Wrong.BLAMED, f"on record at the end: {failure.event_id}: {described(failure)}", failure.first_at_ms / 1000
            )


def _of_processes(site: Site, watch: Watch, attribution: Attribution) -> Iterator[Finding]:
    for blamed in watch.blamed:
        yield Finding(Wrong.BLAMED, f"was on record: {blamed.text}", blamed.at)
    yield from _repeated_calls(site, attribution)
    for death in site.supervisor.deaths:
        kinds = {row.kind for row in attribution.around(death.at, death.at)}
        may_refuse = death.exit_code == WRONG_SET_UP and "valkey-right-revoked" in kinds
        if death.exit_code != POISONED and not may_refuse:
            yield Finding(Wrong.DIED, f"{death.member} ended by itself with {death.exit_code}", death.at)
    yield from site.problems


def _repeated_calls(site: Site, attribution: Attribution) -> Iterator[Finding]:
    """Yield the calls of a slow handler that were made twice while nothing but the handler was slow."""
    calls = site.switches / CALLS
    made = Counter(calls.read_text().splitlines() if calls.exists() else ())
    for call, times in made.items():
        at = int(call.rpartition(" ")[2].partition("-")[0]) / 1000
        if times > 1 and {row.kind for row in attribution.around(at, at + _CALLED_WITHIN_SECONDS)} <= {
            "handler-slow",
            NO_FAULT,
        }:
            yield Finding(Wrong.DOUBLED, f"the slow handler made the call of {call} {times} times", at)


def _add_waits(attribution: Attribution, watch: Watch, alerts: AlertReport) -> None:
    for wait in watch.waits:
        row = attribution.most_of(wait.at - wait.seconds, wait.at)
        if wait.seconds > row.oldest_wait:
            row.oldest_wait, row.waited_for = wait.seconds, wait.stream
    for begin, end in alerts.waits:
        row = attribution.most_of(begin, end)
        row.oldest_alert = max(row.oldest_alert, end - begin)
