"""The ledger's memory of the inbox: how far it was, and which losses were found. It survives what happens to Valkey."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, delete, inspect, select, update

from workers.ledger.ledger import Ledger
from workers.ledger.tables import inbox_losses, inbox_marks
from workers.ledger.upsert import Assignments, Insert, inserted, upsert


class Mark(NamedTuple):
    """A row of `inbox_marks`."""

    epoch: str
    last_id: str
    added: int
    unfinished: int
    failures: int
    oldest_at: datetime | None
    marked_at: datetime


class Loss(msgspec.Struct, frozen=True):
    """A row of `inbox_losses`. `events`: at least so many, by what was known at the last mark."""

    loss_id: str
    kind: str
    events: int
    failures: int
    from_at: datetime
    until_at: datetime
    found_at: datetime
    confirmed_at: datetime | None = None
    confirmed_by: str | None = None
    note: str | None = None


def read_marks(ledger: Ledger) -> tuple[Mark | None, Sequence[Loss]]:
    """The mark, and every loss, newest first. None and none of a ledger of an older release. Raises
    `DependencyUnavailableError`.
    """
    with ledger.read() as connection:
        if not inspect(connection).has_table(inbox_losses.name):
            return None, ()
        row = connection.execute(select(inbox_marks).order_by(inbox_marks.c.marked_at.desc()).limit(1)).one_or_none()
        losses = connection.execute(select(inbox_losses).order_by(inbox_losses.c.found_at.desc()))
        return None if row is None else Mark(*row), [Loss(*each) for each in losses]


def write_mark(connection: Connection, mark: Mark) -> None:
    """Replace the mark."""
    upsert(connection, inbox_marks, [mark._asdict()], _replace)
    connection.execute(delete(inbox_marks).where(inbox_marks.c.epoch != mark.epoch))


def write_loss(connection: Connection, loss: Loss) -> bool:
    """Record a loss. False if it is on record."""
    return bool(inserted(connection, inbox_losses, [msgspec.structs.asdict(loss)]))


def confirm_losses(ledger: Ledger, at: datetime, by: str, note: str) -> int:
    """Confirm every loss that is not confirmed. Returns how many. Raises `DependencyUnavailableError`."""
    values = {"confirmed_at": at, "confirmed_by": by, "note": note}
    with ledger.begin() as connection:
        return connection.execute(update(inbox_losses).where(inbox_losses.c.confirmed_at.is_(None)).values(values)).rowcount


def _replace(new: Insert) -> Assignments:
    return {name: new.excluded[name] for name in Mark._fields if name != "epoch"}
