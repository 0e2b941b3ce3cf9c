"""Keeps the key of a row within what an index of PostgreSQL can hold, on every database alike. Pure.

An order id, a line and a substitute have up to 255 characters each, and a character up to four bytes. Two of them always fit beside
the short ones, so only the key of `replacements` can be too long. Then its last part is cut, and a digest of all of it is added. A key
that fits stays as it is.
"""

from schemas.identity import identity_of
from workers.ledger.upsert import Row

MAX_KEY_BYTES = 2_600
"""PostgreSQL's limit is 2,704 for an index row, with its header and the lengths of its columns."""
_MAX_BYTES_OF_CHARACTER = 4
_REST = ("provider", "order_id", "line")
_LAST = ("substitute", "superseded_by")
"""Columns that hold the last part of a key."""


def fit_key(row: Row) -> None:
    """Shorten the substitutes that a row of `replacements` names where the key would be too long. Other rows are left alone."""
    if "substitute" not in row:
        return
    rest = [row[name] for name in _REST]
    if _MAX_BYTES_OF_CHARACTER * sum(map(len, (*rest, *(row[name] or "" for name in _LAST)))) <= MAX_KEY_BYTES:
        return
    left = MAX_KEY_BYTES - sum(len(each.encode()) for each in rest)
    for name in _LAST:
        if row[name] is not None and len(row[name].encode()) > left:
            row[name] = _shortened(row[name], left)


def _shortened(text: str, max_bytes: int) -> str:
    suffix = f"…{identity_of(text)}"
    return text.encode()[: max_bytes - len(suffix.encode())].decode(errors="ignore") + suffix
