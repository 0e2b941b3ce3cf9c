"""`curbside simulate`: send simulated orders of both providers, and compare the ledger with what it must hold."""

import os
import secrets
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Annotated

import typer

from deploy.cli.output import console
from deploy.errors import NOT_DONE, CommandError

_LIFETIME = timedelta(minutes=100)
_POSTS_PER_ORDER = 7

Orders = Annotated[int, typer.Option(min=1, help="Number of orders.")]
Duration = Annotated[float | None, typer.Option(min=1, help="Instead of --orders: send for about this many seconds.")]
Rate = Annotated[float, typer.Option(min=0.1, help="Posts per second, on a fixed schedule that does not wait for responses.")]
Duplicates = Annotated[float, typer.Option(min=0, max=1, help="Share of posts that are sent twice.")]
Reordering = Annotated[float, typer.Option(min=0, max=1, help="Share of posts sent after a later one of their order.")]
Reverts = Annotated[float, typer.Option(min=0, max=1, help="Share of statuses that are reverted and then set again.")]
Stale = Annotated[float, typer.Option(min=0, max=1, help="Share of Afosto's snapshots sent again after the order's last one.")]
BadBodies = Annotated[float, typer.Option(min=0, max=1, help="Share of additional posts with an undecodable body.")]
BadSignatures = Annotated[float, typer.Option(min=0, max=1, help="Share of additional posts without valid credentials.")]
Oddities = Annotated[float, typer.Option(min=0, max=1, help="Share of Instacart's orders that are odd in some ways.")]
Tries = Annotated[int, typer.Option(min=1, help="Attempts per post, with pauses that double.")]
Seed = Annotated[
    int | None, typer.Option(min=0, help="With --start and --every: repeats the bodies of a run (default: random).")
]
Start = Annotated[str | None, typer.Option(help="The providers' time of the first order, RFC 3339 (default: 100 minutes ago).")]
Every = Annotated[
    float | None,
    typer.Option(min=0.001, help="Seconds between two orders, by the providers' clocks (default: as they are sent)."),
]
Verify = Annotated[bool, typer.Option("--verify", help="Compare each effect with the ledger.")]
Patience = Annotated[float, typer.Option(min=0, help="Seconds that --verify waits for events to be handled.")]
Tell = Annotated[bool, typer.Option("--tell", help="Print a line for each notable event.")]
Url = Annotated[str | None, typer.Option(help="Where the ingress listens (default: as `curbside send`).")]
Endpoint = Annotated[str | None, typer.Option(help="Afosto's endpoint UUID, as in `curbside send`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only one JSON document, at the end.")]


def simulate(
    orders: Orders = 100,
    duration: Duration = None,
    rate: Rate = 20.0,
    duplicates: Duplicates = 0.02,
    reordering: Reordering = 0.02,
    reverts: Reverts = 0.02,
    stale: Stale = 0.02,
    bad_bodies: BadBodies = 0.0,
    bad_signatures: BadSignatures = 0.0,
    oddities: Oddities = 0.05,
    tries: Tries = 6,
    seed: Seed = None,
    start: Start = None,
    every: Every = None,
    verify: Verify = False,
    patience: Patience = 120.0,
    tell: Tell = False,
    url: Url = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Simulate any number of orders: send their events as Instacart Connect (both dialects) and Afosto would.

    Fetches tokens, signs, and repeats posts that are not accepted. Prints what was sent and the deployment's status. Exit
    code 1 if a post was never accepted, or if --verify finds a difference.

    Examples: curbside simulate --verify   ·   curbside simulate --duration 60 --rate 200 --duplicates 0.1
    """
    from deploy.generated import load_settings  # noqa: PLC0415 - quick start
    from deploy.simulator.plan import Faults, PlanOptions  # noqa: PLC0415 - quick start

    simulated, settings = _import_simulated(), load_settings(os.environ)
    posts = None if duration is None else round(duration * rate)
    faults = Faults(duplicates, reordering, reverts, stale, bad_bodies, bad_signatures, oddities)
    options = PlanOptions(
        seed=secrets.randbelow(10**6) if seed is None else seed,
        start=_time(start) if start else _default_start(),
        zone=settings.store_timezone,
        orders=None if posts is not None else orders,
        posts=posts,
        faults=faults,
        orders_every=timedelta(seconds=_POSTS_PER_ORDER / rate if every is None else every),
    )
    sending = simulated.SendOptions(url, endpoint, rate, tries)
    plan, results = simulated.send_plan(options, settings, sending, None if as_json else console(), shows_events=tell)
    if not simulated.report(plan, results, patience if verify else None, as_json=as_json):
        raise typer.Exit(NOT_DONE)


def _import_simulated() -> ModuleType:
    try:
        from deploy.cli import simulated  # noqa: PLC0415 - quick start, and not every installation has aiohttp
    except ModuleNotFoundError as error:
        raise CommandError(f"`curbside simulate` needs {error.name}: pip install 'curbside[simulator]'.") from error
    return simulated


def _default_start() -> datetime:
    """A start so early that most events are in the past, and so late that few alerts are too old to be sent.

    Its milliseconds make the ids unique to the run.
    """
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000) - _LIFETIME


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--start is wrong: expected a time such as 2026-03-01T08:00:00Z, got {text!r}.") from error
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
