"""Refused requests in `curbside status`: a table of all, and a warning for each recent cause."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploy.cli.output import format_age, print_error, print_table
from schemas.refusals import NOBODY, RECENT_MINUTES, explain
from schemas.sanitizing import sanitize

if TYPE_CHECKING:
    from workers.monitoring.refusals import RefusedStatus


def print_refused(refused: Sequence["RefusedStatus"]) -> None:
    """Print both. Print nothing if no request was ever refused."""
    if not refused:
        return
    print_table(
        ("refused", "status", "cause", "count", "last"),
        [
            (each.provider, str(each.status), each.cause, str(each.count), f"{format_age(each.last_age_seconds)} ago")
            for each in refused
        ],
    )
    for each in refused:
        if each.last_age_seconds < RECENT_MINUTES * 60:
            print_error(sanitize(_sentence(each)))


def _sentence(each: "RefusedStatus") -> str:
    who = "unknown senders" if each.provider == NOBODY else each.provider
    requests = "1 request" if each.recent == 1 else f"{each.recent} requests"
    what, question = explain(each.cause)
    return f"{who}: {requests} refused because of {what} in the last minutes{': ' if question else ''}{question}"
