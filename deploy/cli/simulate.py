"""`curbside simulate`: posts the trade of both providers, and compares the ledger with what must have become of it."""

import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from deploy.cli.output import console
from deploy.errors import NOT_DONE, CommandError

_A_LIFE = timedelta(hours=6)
_POSTS_OF_AN_ORDER = 7


def simulate(
    orders: Annotated[int, typer.Option(min=1, help="How many orders live their lives.")] = 100,
    duration: Annotated[float | None, typer.Option(min=1, help="Instead of --orders: about so many seconds of posts.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Posts a second: a fixed schedule, whatever is answered.")] = 20.0,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of posts that are sent again.")] = 0.02,
    reordering: Annotated[
        float, typer.Option(min=0, max=1, help="Share of posts overtaken by later ones of their order.")
    ] = 0.02,
    reverts: Annotated[float, typer.Option(min=0, max=1, help="Share of statuses that revert and come again.")] = 0.02,
    stale: Annotated[float, typer.Option(min=0, max=1, help="Share of Afosto's snapshots sent again when all is over.")] = 0.02,
    bad_bodies: Annotated[float, typer.Option(min=0, max=1, help="Share of further bodies that nobody can read.")] = 0.0,
    bad_signatures: Annotated[float, typer.Option(min=0, max=1, help="Share of further posts of one who has no secret.")] = 0.0,
    tries: Annotated[int, typer.Option(min=1, help="How often a post is tried, with pauses that double.")] = 6,
    seed: Annotated[int | None, typer.Option(min=0, help="With --start: the same bodies (default: another each time).")] = None,
    start: Annotated[
        str | None, typer.Option(help="The providers' time of the first order, RFC 3339 (default: today).")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare each effect with the ledger.")] = False,
    patience: Annotated[float, typer.Option(min=0, help="Seconds that --verify waits for the queues to settle.")] = 120.0,
    tell: Annotated[bool, typer.Option("--tell", help="A line for each thing worth telling.")] = False,
    url: Annotated[str | None, typer.Option(help="Where the ingress listens (default: as `curbside send`).")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Afosto's endpoint UUID, as `curbside send`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print nothing but JSON, at the end.")] = False,
) -> None:
    """Live the lives of many orders, as Instacart Connect (both dialects) and Afosto would tell them.

    Fetches tokens, signs, sends again what is not accepted. Ends with what was sent and what the ledger says. Exit code 1
    if a post was never accepted, or if --verify finds a difference.

    Examples: curbside simulate --verify   ·   curbside simulate --duration 60 --rate 200 --duplicates 0.1
    """
    from deploy.generated import load_settings  # noqa: PLC0415 - quick start
    from deploy.simulator.plan import Knobs  # noqa: PLC0415 - quick start

    try:
        from deploy.cli.simulated import report, trade  # noqa: PLC0415 - quick start, and not every installation has aiohttp
    except ModuleNotFoundError as error:
        raise CommandError(f"`curbside simulate` needs {error.name}: pip install 'curbside[simulator]'.") from error
    settings = load_settings(os.environ)
    posts = None if duration is None else round(duration * rate)
    knobs = Knobs(
        seed=secrets.randbelow(10**6) if seed is None else seed,
        start=_time(start) if start else _first_order_of(orders if posts is None else posts // _POSTS_OF_AN_ORDER),
        zone=settings.store_timezone,
        orders=orders if posts is None else None,
        posts=posts,
        duplicates=duplicates,
        reordering=reordering,
        reverts=reverts,
        stale=stale,
        bad_bodies=bad_bodies,
        bad_signatures=bad_signatures,
    )
    screen = None if as_json else console()
    plan, fates = trade(knobs, settings, url, endpoint, rate, tries, screen, tells=tell)
    if not report(plan, fates, patience if verify else None, as_json=as_json):
        raise typer.Exit(NOT_DONE)


def _first_order_of(orders: int) -> datetime:
    """So long ago that most of what happens is over by now. To the millisecond, which makes the run's ids its own."""
    from deploy.simulator.order_generator import ORDERS_EVERY  # noqa: PLC0415 - quick start

    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000) - orders * ORDERS_EVERY - _A_LIFE


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--start is wrong: expected a time such as 2026-03-01T08:00:00Z, got {text!r}.") from error
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
