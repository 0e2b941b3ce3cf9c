"""The output of a run: a progress bar in a terminal, a line every few seconds in a pipe, and one line per notable event."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.simulator.client import PostResult
from deploy.simulator.plan import PostType

_REPORT_SECONDS = 5.0
_NOTABLE = {
    "canceled": "was canceled",
    "customer_mia": "cannot be handed over: the customer is missing",
    "late_delivery": "will be late",
    "order_item_refund": "has an item refunded",
    "order_item_replacement": "has an item replaced",
    "rescheduled": "was rescheduled",
    "in_transit": "is in transit",
}
_NOTABLE_TYPES = {
    PostType.BAD_BODY: "was sent with an undecodable body",
    PostType.FORGED: "was sent with invalid credentials",
    PostType.STALE: "was sent again with an old snapshot",
}


class Display:
    """Shows the results of posts; with `shows_events`, one line per notable event. Without a console it is silent."""

    def __init__(self, console: Console | None, total: int, *, shows_events: bool) -> None:
        self._console, self._total, self._shows_events = console, total, shows_events
        self._counts = {"accepted": 0, "refused": 0, "given up": 0, "attempts": 0}
        self._ended = 0
        self._bar = _bar(console, total) if console and console.is_terminal else None
        self._next_line = time.monotonic() + _REPORT_SECONDS

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        self._line()

    def post_done(self, result: PostResult) -> None:
        """Count the result of a post, and show it."""
        self._ended += 1
        self._counts["attempts"] += len(result.attempts)
        outcome = "accepted" if result.is_accepted else "refused" if result.post.post_type is PostType.FORGED else "given up"
        self._counts[outcome] += 1
        if self._shows_events:
            self._show_event(result)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=self._ended, description=self._summary)
        elif time.monotonic() >= self._next_line:
            self._next_line += _REPORT_SECONDS
            self._line()

    def _show_event(self, result: PostResult) -> None:
        post = result.post
        text = _NOTABLE.get(post.kind) if post.post_type is PostType.ORIGINAL else _NOTABLE_TYPES.get(post.post_type)
        if text is not None and self._console:
            status = result.attempts[-1].status or "no response"
            self._console.print(f"{status}  {post.provider:9}  {post.order_ids[0]} {text}", soft_wrap=True)

    def _line(self) -> None:
        if self._console:
            self._console.print(f"sent {self._ended} of {self._total}: {self._summary}", soft_wrap=True)

    @property
    def _summary(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in self._counts.items() if count)


def _bar(console: Console, total: int) -> Progress:
    columns = (
        TextColumn("sending"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    progress = Progress(*columns, console=console, transient=True)
    progress.add_task("", total=total)
    return progress
