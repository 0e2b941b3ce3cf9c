"""Notices acknowledged events that Valkey has lost: after `FLUSHALL`, or when a replica took over that lagged behind.

The ledger remembers how far the inbox was (`inbox_marks`), a few seconds ago at the most. A history that does not contain that is
another one, or an older one. What was acknowledged after the last mark cannot be counted: every number is "at least".
"""

from datetime import datetime

import redis

from schemas.events import received_at
from schemas.stream_groups import stream_id
from workers.ledger.inbox_marks import Loss, Mark, read_marks
from workers.ledger.ledger import Ledger
from workers.valkey.history import InboxHistory, count_after, holds, neighbours, read_history

OTHER_HISTORY = "other history"
"""Valkey was emptied, or it is another one: all that had no outcome is gone."""
OLDER_HISTORY = "older history"
"""Valkey went back: what was appended last is gone."""


def find_loss(
    client: redis.Redis, mark: Mark | None, history: InboxHistory, now: datetime, *, counts: bool = True
) -> Loss | None:
    """The loss since the mark, if there is one. `history` was read after the mark was.

    `counts`: also count whether entries before the last one of the mark are missing. An ingress appends the last ones again, under
    their ids, and so hides that it could not append those before them.
    """
    if mark is None or not mark.added:
        return None
    is_held = holds(client, mark.last_id)
    if history.epoch != mark.epoch:
        return None if is_held and history.added >= mark.added else _other(mark, history, now)
    if is_held:
        return _before(client, mark, history, now) if counts else None
    return _older(client, mark, history, now)


def read_losses(client: redis.Redis, ledger: Ledger, now: datetime) -> list[Loss]:
    """Every loss on record, newest first, and before them one that no worker has noticed yet. Changes nothing.

    Raises `DependencyUnavailableError`.
    """
    mark, losses = read_marks(ledger)  # before the history, so that this is never the older of the two
    found = find_loss(client, mark, read_history(client), now)
    return [*([found] if found else []), *losses]


def mark_of(history: InboxHistory, now: datetime) -> Mark | None:
    """The mark to be kept; None if the history has no name."""
    if history.epoch is None:
        return None
    its = history
    return Mark(history.epoch, its.last_id, its.added, its.unfinished, its.failures, its.oldest_at, now)


def text_of(loss: Loss) -> str:
    """A loss in words."""
    span = f"between {loss.from_at:%Y-%m-%d %H:%M:%S} and {loss.until_at:%Y-%m-%d %H:%M:%S} UTC"
    if loss.kind == OLDER_HISTORY:
        return f"Valkey has lost at least {loss.events} acknowledged events, received {span}: it went back to an older state"
    failures = f", and {loss.failures} failures" if loss.failures else ""
    return (
        f"Valkey was emptied or replaced: at least {loss.events} acknowledged events without an outcome{failures} are gone, and "
        f"what came last ({span})"
    )


def _other(mark: Mark, history: InboxHistory, now: datetime) -> Loss:
    until = min(now, received_at(history.first_id)) if history.first_id else now
    loss_id = f"{mark.epoch}>{history.epoch or mark.last_id}"
    start = min(mark.oldest_at or mark.marked_at, until)
    return Loss(loss_id, OTHER_HISTORY, mark.unfinished, mark.failures, start, until, now)


def _before(client: redis.Redis, mark: Mark, history: InboxHistory, now: datetime) -> Loss | None:
    """Entries after the mark that are more than were appended since: so many of those before it are missing."""
    lost = count_after(client, mark.last_id, history.last_id) - (history.added - mark.added)
    if lost <= 0:
        return None
    start = received_at(history.first_id) if history.first_id else mark.marked_at
    return Loss(f"{mark.epoch}<{mark.last_id}", OLDER_HISTORY, lost, 0, min(start, mark.marked_at), mark.marked_at, now)


def _older(client: redis.Redis, mark: Mark, history: InboxHistory, now: datetime) -> Loss | None:
    """Entries after the mark that are more than were appended since took the place of lost ones.

    An entry of the mark that is older than all others may have been trimmed: then that difference alone tells.
    """
    is_trimmed = stream_id(history.last_id) >= stream_id(mark.last_id) and (
        history.first_id is None or stream_id(history.first_id) > stream_id(mark.last_id)
    )
    after = history.length if is_trimmed else count_after(client, mark.last_id)
    lost = after - (history.added - mark.added)
    if is_trimmed and lost <= 0:
        return None
    before, next_one = neighbours(client, mark.last_id)
    until = next_one or now
    start = min(before or mark.marked_at, until)
    return Loss(f"{mark.epoch}@{mark.last_id}", OLDER_HISTORY, max(1, lost), 0, start, until, now)
