"""Looking orders up by their names: the same on SQLite and PostgreSQL, whatever the ids hold, and by the index of the table's key.

A query is built once: at low load, building it for each event costs more than running it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    CollectionAggregate,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    tuple_,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import NullType

Name = tuple[str, str]
"""A provider, and the order's own id there."""

_PROVIDERS, _ORDER_IDS, _NAMES = "of_providers", "of_order_ids", "of_names"


class Lookup:
    """A query of a table with `provider` and `order_id`, about the orders it is asked for."""

    def __init__(self, table: Table, query: Select[Any]) -> None:
        self.on_sqlite, self.on_postgresql = query.where(_sqlite(table)), query.where(_postgresql(table))

    def rows(self, connection: Connection, names: Collection[Name]) -> Sequence[Any]:
        """The rows of these orders."""
        if not names:
            return []
        if connection.dialect.name != "postgresql":
            return connection.execute(self.on_sqlite, {_NAMES: sorted(set(names))}).all()
        return connection.execute(self.on_postgresql, parameters(names)).all()


def _sqlite(table: Table) -> ColumnElement[bool]:
    return tuple_(table.c.provider, table.c.order_id).in_(bindparam(_NAMES, expanding=True))


def _postgresql(table: Table) -> ColumnElement[bool]:
    """A search of the key's index and no join, under one text however many orders there are: it is prepared, and its plan is kept.

    A join planned while a table was small would go on to read all of it when it has grown: 16 ms where the index takes 0.5.
    """
    its = table.c
    return and_(
        its.provider == _any_of(_PROVIDERS),
        its.order_id == _any_of(_ORDER_IDS),
        its.provider.concat(" ").concat(its.order_id) == _any_of(_NAMES),
    )


def _any_of(parameter: str) -> CollectionAggregate[Any]:
    untyped = bindparam(parameter, type_=NullType())  # so that the server reads it once, not for each row
    return any_(cast(untyped, postgresql.ARRAY(Text)))


def parameters(names: Collection[Name]) -> dict[str, str]:
    """What `on_postgresql` asks for."""
    return {
        _PROVIDERS: _array({provider for provider, _ in names}),
        _ORDER_IDS: _array({order_id for _, order_id in names}),
        _NAMES: _array({f"{provider} {order_id}" for provider, order_id in names}),
    }


def _array(values: Iterable[str]) -> str:
    """PostgreSQL's own text of an array: the driver's takes a tenth of a timeline's time."""
    quoted = [value.replace("\\", r"\\").replace('"', r"\"") for value in sorted(values)]
    return '{"' + '","'.join(quoted) + '"}'
