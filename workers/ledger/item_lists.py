"""The item lists of orders, and the rows that are worked out from them.

A batch locks its orders, reads all their lists and rows, adds its own lists, works the rows out anew and writes those that
differ, in one transaction. So the rows depend on the set of lists alone. A crash before the commit leaves nothing of it.

A row whose event's list is not stored was written by release 0.1, or by a worker of it that still runs. What the row says is
stored as a list of its own, so that nothing is lost or doubled.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, Table, select

from schemas.events import Effect, Event, Line
from workers.ledger.item_effects import ItemList, list_of
from workers.ledger.key_sizes import fit_key
from workers.ledger.lookups import Lookup, Name
from workers.ledger.orders import lock_orders, names_of
from workers.ledger.tables import item_lists
from workers.ledger.upsert import Assignments, Insert, Key, Row, delete_keys, overwrite, upsert

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(tuple[Line, ...]).decode
_its = item_lists.c
_COLUMNS = (
    _its.provider,
    _its.order_id,
    _its.identity,
    _its.event_id,
    _its.occurred_at,
    _its.received_at,
    _its.news,
    _its.lines,
)

MAX_LISTS = 1_000
"""The most lists that are stored of one order and effect. Then the older half is dropped: what its rows say stays, as after 0.1.

An order has a few. A sandbox that uses one order id for ever must not make each batch read them all.
"""

Lists = dict[str, ItemList]
"""The lists of one order, by identity."""


class ItemEffect:
    """An effect that is worked out from item lists, and its table.

    `rows_of`: the rows of an order, without its name. `lists_of_row`: what a row says of lists that are not stored; it gets the
    lists that are.
    """

    def __init__(
        self,
        effect: Effect,
        table: Table,
        rows_of: Callable[[Iterable[ItemList]], list[Row]],
        lists_of_row: Callable[[Row, Collection[ItemList]], Iterator[ItemList]],
    ) -> None:
        self._effect, self._table = effect, table
        self._rows_of, self._lists_of_row = rows_of, lists_of_row
        self._lists = Lookup(item_lists, select(*_COLUMNS).where(_its.effect == effect.value))
        self._rows = Lookup(table, select(table))
        self._key = [column.name for column in table.primary_key]

    def apply(self, connection: Connection, new: Mapping[Name, Lists]) -> None:
        """Add these lists and write the rows that all lists of their orders ask for."""
        lock_orders(connection, new)
        stored, rows = self._read_lists(connection, new), self._read_rows(connection, new)
        changed: list[Row] = []
        dropped: list[Key] = []
        wanted: dict[Key, Row] = {}
        for name in sorted(new):
            lists = stored[name]
            added = self._added(lists, new[name], rows[name])
            changed += [self._list_row(name, each) for each in added]
            dropped += [(*name, self._effect.value, each.identity) for each in _too_many(lists)]
            for row in self._rows_of(lists.values()):
                full = {"provider": name[0], "order_id": name[1], **row}
                fit_key(full)
                wanted[tuple(full[column] for column in self._key)] = full
        upsert(connection, item_lists, changed, _take_lines)
        delete_keys(connection, item_lists, dropped)
        self._write(connection, {self._key_of(row): row for found in rows.values() for row in found}, wanted)

    def _read_lists(self, connection: Connection, names: Collection[Name]) -> dict[Name, Lists]:
        found: dict[Name, Lists] = defaultdict(dict)
        for provider, order_id, identity, event_id, occurred_at, received_at, news, lines in self._lists.rows(
            connection, names
        ):
            each = ItemList(identity, event_id, occurred_at, received_at, news, _decode(lines))
            found[provider, order_id][identity] = each
        return found

    def _read_rows(self, connection: Connection, names: Collection[Name]) -> dict[Name, list[Row]]:
        found: dict[Name, list[Row]] = defaultdict(list)
        for each in self._rows.rows(connection, names):
            row = dict(each._mapping)
            found[row["provider"], row["order_id"]].append(row)
        return found

    def _added(self, lists: Lists, new: Lists, rows: Sequence[Row]) -> list[ItemList]:
        """Add to the lists of an order what is new, and return it. A list that a newer decoder reads otherwise is new."""
        added = []
        for each in new.values():
            known = lists.get(each.identity, each)
            if known is each or known.lines != each.lines:
                added.append(known._replace(lines=each.lines))
        lists.update((each.identity, each) for each in added)
        of_rows = {each.identity: each for row in rows for each in self._lists_of_row(row, lists.values())}
        old = [each for each in of_rows.values() if each.identity not in lists]
        lists.update((each.identity, each) for each in old)
        return added + old

    def _list_row(self, name: Name, each: ItemList) -> Row:
        order = {"provider": name[0], "order_id": name[1], "effect": self._effect.value}
        return order | each._asdict() | {"lines": _encode(each.lines).decode()}

    def _key_of(self, row: Row) -> Key:
        return tuple(row[column] for column in self._key)

    def _write(self, connection: Connection, found: dict[Key, Row], wanted: dict[Key, Row]) -> None:
        upsert(connection, self._table, [row for key, row in wanted.items() if found.get(key) != row], overwrite)
        delete_keys(connection, self._table, sorted(found.keys() - wanted.keys()))


def _too_many(lists: Lists) -> list[ItemList]:
    """The oldest lists of an order that has more than `MAX_LISTS`."""
    if len(lists) <= MAX_LISTS:
        return []
    return sorted((each for each in lists.values() if not each.is_row), key=lambda each: each.news)[: -MAX_LISTS // 2]


def _take_lines(statement: Insert) -> Assignments:
    return {"lines": statement.excluded.lines}


def lists_by_order(events: Iterable[Event]) -> dict[Name, Lists]:
    """The lists of these events for each order. A list without lines says nothing. Pure."""
    found: dict[Name, Lists] = defaultdict(dict)
    for event in events:
        if event.lines:
            item_list = list_of(event)
            for name in names_of(event):
                found[name].setdefault(event.identity, item_list)
    return found
