"""The steps of `curbside simulate`: send a plan, report the responses, read the status, compare with the ledger."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import typer
from rich.console import Console

from deploy.cli import status as status_command
from deploy.cli.output import print_error, print_json, print_table
from deploy.cli.provider import Sender
from deploy.deployment import open_deployment
from deploy.errors import CommandError
from deploy.simulator.audit import audit, wait_until_idle
from deploy.simulator.client import Client, PostResult
from deploy.simulator.comparison import Comparison
from deploy.simulator.display import Display
from deploy.simulator.plan import Plan, PlanOptions, make_plan
from deploy.simulator.stats import count_sent, given_up, latency_of, punctuality_of
from schemas.settings import Settings
from workers.monitoring.status import Status

_MAX_SHOWN_DIFFERENCES = 50


@dataclass(frozen=True)
class SendOptions:
    """Where a plan is sent, at how many posts per second, and how many attempts each post has."""

    url: str | None
    endpoint: str | None
    rate: float
    max_attempts: int


def send_plan(
    options: PlanOptions, settings: Settings, sending: SendOptions, console: Console | None, *, shows_events: bool
) -> tuple[Plan, Sequence[PostResult]]:
    """Send a plan; it and the result of each post. Raises CommandError, before anything is sent, for wrong settings."""
    with Sender(settings, sending.url, sending.endpoint) as sender:
        sender.fetch_token()
        client = Client(settings, sender.url, sending.endpoint, sending.max_attempts)
    plan = make_plan(options)
    if console:
        start, every = options.start.isoformat().replace("+00:00", "Z"), options.orders_every.total_seconds()
        repeat = f"--seed {options.seed} --start {start} --every {every:g}"
        summary = f"{plan.orders} orders, {len(plan.posts)} posts at {sending.rate:g}/s; to repeat this run: {repeat}"
        console.print(summary, soft_wrap=True)
    with Display(console, len(plan.posts), shows_events=shows_events) as display:
        asyncio.run(client.run(plan.posts, sending.rate, display.post_done))
    return plan, client.results


def report(plan: Plan, results: Sequence[PostResult], timeout_seconds: float | None, *, as_json: bool) -> bool:
    """Print the report, or JSON. Whether all posts were accepted and, with `timeout_seconds`, no difference was found."""
    if not as_json:
        _print_sent(results)
    status, comparison = _read_deployment(plan, results, timeout_seconds)
    if as_json:
        print_json(_to_builtins(plan, results, status, comparison))
    else:
        _print_found(status, comparison)
    return not given_up(results) and not (comparison and comparison.differences)


def _read_deployment(
    plan: Plan, results: Sequence[PostResult], timeout_seconds: float | None
) -> tuple[Status | None, Comparison | None]:
    """Read the status, and compare if `timeout_seconds` is given. Without it, an unreachable dependency is no error."""
    try:
        with open_deployment() as deployment:
            status = wait_until_idle(deployment, timeout_seconds or 0)
            return status, None if timeout_seconds is None else audit(deployment, plan, results, status)
    except CommandError as error:
        if timeout_seconds is not None:
            raise
        print_error(f"The deployment's status cannot be read from here: {error}")
        return None, None


def _print_sent(results: Sequence[PostResult]) -> None:
    sent = count_sent(results)
    outcomes = sorted({outcome for each in sent for outcome in each.answers})
    rows = [(each.provider, each.kind, *(str(each.answers[outcome] or "-") for outcome in outcomes)) for each in sent]
    total = ("all", "", *(str(sum(each.answers[outcome] for each in sent)) for outcome in outcomes))
    print_table(("provider", "what was sent", *outcomes), [*rows, total])
    latency, punctuality = latency_of(results), punctuality_of(results)
    if latency.p50_ms is not None:
        typer.echo(
            f"acknowledged after: p50 {latency.p50_ms} ms, p99 {latency.p99_ms} ms, max {latency.most_ms} ms"
            " (from the scheduled time)"
        )
    if punctuality.late:
        print_error(
            f"This machine could not keep the schedule: {punctuality.late} posts left late,"
            f" by up to {punctuality.most_late_seconds} s."
        )
    if unaccepted := given_up(results):
        print_error(f"{unaccepted} posts were never accepted.")


def _print_found(status: Status | None, comparison: Comparison | None) -> None:
    if status is not None:
        status_command.print_status(status)
    if comparison is None:
        return
    if comparison.unclear:
        typer.echo(
            f"{comparison.unclear} orders are not compared: a post had no response, so its event may have been accepted or not"
        )
    if not comparison.differences:
        typer.echo(
            f"verified: {comparison.orders} orders and deliveries are in the ledger as expected; no difference was found"
        )
        return
    print_table(("order", "what", "expected", "found"), comparison.differences[:_MAX_SHOWN_DIFFERENCES])
    more = len(comparison.differences) - _MAX_SHOWN_DIFFERENCES
    unshown = f", of which {more} are not shown" if more > 0 else ""
    print_error(f"{len(comparison.differences)} differences in {comparison.orders} orders{unshown}.")


def _to_builtins(plan: Plan, results: Sequence[PostResult], status: Status | None, comparison: Comparison | None) -> Any:
    return msgspec.to_builtins(
        {
            "orders": plan.orders,
            "posts": len(plan.posts),
            "sent": [each._asdict() for each in count_sent(results)],
            "given_up": given_up(results),
            "latency": latency_of(results)._asdict(),
            "punctuality": punctuality_of(results)._asdict(),
            "status": status,
            "verdict": comparison
            and {
                "orders": comparison.orders,
                "unclear": comparison.unclear,
                "differences": [each._asdict() for each in comparison.differences],
            },
        }
    )
