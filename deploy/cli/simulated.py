"""What `curbside simulate` does and says: the plan on its way, what was sent and answered, what the ledger says, and the verdict."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import typer
from rich.console import Console

from deploy.cli import status as status_command
from deploy.cli.deployment import open_deployment
from deploy.cli.output import complain, print_json, print_table
from deploy.cli.provider import Sender
from deploy.errors import CommandError
from deploy.simulator.audit import audit, settle
from deploy.simulator.client import Fate, Poster
from deploy.simulator.comparison import Verdict
from deploy.simulator.display import Display
from deploy.simulator.plan import Knobs, Plan, make_plan
from deploy.simulator.stats import count_sent, given_up, latency_of, punctuality_of
from schemas.settings import Settings
from workers.monitoring.status import Status

_MOST_DIFFERENCES = 50


def trade(
    knobs: Knobs,
    settings: Settings,
    url: str | None,
    endpoint: str | None,
    rate: float,
    tries: int,
    screen: Console | None,
    *,
    tells: bool,
) -> tuple[Plan, Sequence[Fate]]:
    """Send a plan; it, and what became of its posts. Raises CommandError, before anything is sent, for what is set up wrong."""
    with Sender(settings, url, endpoint) as sender:
        sender.fetch_token()
        poster = Poster(settings, sender.url, endpoint, tries)
    plan = make_plan(knobs)
    if screen:
        again = f"--seed {knobs.seed} --start {knobs.start.isoformat().replace('+00:00', 'Z')}"
        screen.print(f"{plan.orders} orders, {len(plan.posts)} posts at {rate:g}/s; the same again: {again}", soft_wrap=True)
    with Display(screen, len(plan.posts), tells=tells) as display:
        asyncio.run(poster.run(plan.posts, rate, display.notice))
    return plan, poster.fates


def report(plan: Plan, fates: Sequence[Fate], patience_seconds: float | None, *, as_json: bool) -> bool:
    """Say it all, for people or as JSON. Whether all was accepted and, where asked (`patience_seconds`), as expected."""
    if not as_json:
        _show_sent(fates)
    status, verdict = _ask(plan, fates, patience_seconds)
    if as_json:
        print_json(_plain(plan, fates, status, verdict))
    else:
        _show_found(status, verdict)
    return not given_up(fates) and not (verdict and verdict.differences)


def _ask(plan: Plan, fates: Sequence[Fate], patience_seconds: float | None) -> tuple[Status | None, Verdict | None]:
    """What the deployment says. One that can be posted to, but not looked into, is no error unless it is to be verified."""
    try:
        with open_deployment() as deployment:
            status = settle(deployment, patience_seconds or 0)
            return status, None if patience_seconds is None else audit(deployment, plan.facts, fates, status)
    except CommandError as error:
        if patience_seconds is not None:
            raise
        complain(f"What became of it is not known here: {error}")
        return None, None


def _show_sent(fates: Sequence[Fate]) -> None:
    sent = count_sent(fates)
    outcomes = sorted({outcome for each in sent for outcome in each.answers})
    rows = [(each.provider, each.kind, *(str(each.answers[outcome] or "-") for outcome in outcomes)) for each in sent]
    total = ("all", "", *(str(sum(each.answers[outcome] for each in sent)) for outcome in outcomes))
    print_table(("provider", "what was sent", *outcomes), [*rows, total])
    latency, punctuality = latency_of(fates), punctuality_of(fates)
    if latency.p50_ms is not None:
        typer.echo(
            f"acknowledged within: p50 {latency.p50_ms} ms, p99 {latency.p99_ms} ms, all {latency.most_ms} ms (from when due)"
        )
    if punctuality.late:
        complain(
            f"This machine could not keep to the schedule: {punctuality.late} posts left late, by up to {punctuality.most_late_seconds} s."
        )
    if unaccepted := given_up(fates):
        complain(f"{unaccepted} posts were never accepted.")


def _show_found(status: Status | None, verdict: Verdict | None) -> None:
    if status is not None:
        status_command.show(status)
    if verdict is None:
        return
    if verdict.unclear:
        typer.echo(f"{verdict.unclear} orders are not compared: whether one of their posts came in, nobody was told")
    if not verdict.differences:
        typer.echo(
            f"verified: {verdict.orders} orders and deliveries are in the ledger as they must be, no difference was found"
        )
        return
    print_table(("order", "what", "expected", "found"), verdict.differences[:_MOST_DIFFERENCES])
    more = len(verdict.differences) - _MOST_DIFFERENCES
    complain(
        f"{len(verdict.differences)} differences in {verdict.orders} orders{f', of which {more} are not shown' if more > 0 else ''}."
    )


def _plain(plan: Plan, fates: Sequence[Fate], status: Status | None, verdict: Verdict | None) -> Any:
    return msgspec.to_builtins(
        {
            "orders": plan.orders,
            "posts": len(plan.posts),
            "sent": [each._asdict() for each in count_sent(fates)],
            "given_up": given_up(fates),
            "latency": latency_of(fates)._asdict(),
            "punctuality": punctuality_of(fates)._asdict(),
            "status": status,
            "verdict": verdict
            and {
                "orders": verdict.orders,
                "unclear": verdict.unclear,
                "differences": [each._asdict() for each in verdict.differences],
            },
        }
    )
