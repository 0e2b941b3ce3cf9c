"""What a person sees of a run: a bar with live counts in a terminal, a line every few seconds in a pipe, and what is worth telling."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.simulator.client import Fate
from deploy.simulator.plan import Nature

_LINE_SECONDS = 5.0
_TOLD = {
    "canceled": "was canceled",
    "customer_mia": "waits at the door: the customer cannot be found",
    "late_delivery": "will be late",
    "order_item_refund": "has an item refunded",
    "order_item_replacement": "has an item replaced",
    "rescheduled": "was given another time",
    "in_transit": "is on its way in a parcel",
}
_TOLD_BY_NATURE = {
    Nature.BAD_BODY: "came in a body that nobody can read",
    Nature.FORGED: "was told of under a wrong signature",
    Nature.STALE: "was told of again, as it was long ago",
}


class Display:
    """Shows the ends of posts; `tells` what happens to orders, one line each. Without a console it is silent. A context."""

    def __init__(self, console: Console | None, total: int, *, tells: bool) -> None:
        self._console, self._total, self._tells = console, total, tells
        self._counts = {"accepted": 0, "refused": 0, "given up": 0, "tries": 0}
        self._ended = 0
        self._bar = _bar(console, total) if console and console.is_terminal else None
        self._next_line = time.monotonic() + _LINE_SECONDS

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        self._line()

    def notice(self, fate: Fate) -> None:
        """A post has come to its end."""
        self._ended += 1
        self._counts["tries"] += len(fate.answers)
        what = "accepted" if fate.is_accepted else "refused" if fate.post.nature is Nature.FORGED else "given up"
        self._counts[what] += 1
        if self._tells:
            self._tell(fate)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=self._ended, description=self._summary)
        elif time.monotonic() >= self._next_line:
            self._next_line += _LINE_SECONDS
            self._line()

    def _tell(self, fate: Fate) -> None:
        nature = fate.post.nature
        story = _TOLD.get(fate.post.kind) if nature is Nature.NEWS else _TOLD_BY_NATURE.get(nature)
        if story is not None and self._console:
            status = fate.answers[-1].status or "no answer"
            self._console.print(f"{status}  {fate.post.provider:9}  {fate.post.order_ids[0]} {story}", soft_wrap=True)

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
