"""Queries for the rows of many orders, on SQLite and PostgreSQL. They take any id, and use the index of the primary key.

A query is built once: at low load, building it for each event costs more than running it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
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
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import NullType

Name = tuple[str, str]
"""A provider, and its id of the order."""

_PROVIDERS, _ORDER_IDS, _NAMES = "of_providers", "of_order_ids", "of_names"


class Lookup:
    """A query on a table with the columns `provider` and `order_id`, for the orders given to `rows`."""

    def __init__(self, table: Table, query: Select[Any]) -> None:
        self.on_sqlite, self.on_postgresql = query.where(_sqlite(table)), query.where(_postgresql(table))

    def rows(self, connection: Connection, names: Collection[Name]) -> Sequence[Any]:
        """The rows of these orders."""
        if not names:
            return []
        if connection.dialect.name != "postgresql":
            return connection.execute(self.on_sqlite, {_NAMES: orjson.dumps(sorted(set(names))).decode()}).all()
        return connection.execute(self.on_postgresql, parameters(names)).all()


def _sqlite(table: Table) -> ColumnElement[bool]:
    """An index condition whose names are one parameter: a list of parameters would be compiled anew for each batch."""
    name = func.json_each(bindparam(_NAMES, type_=Text)).table_valued("value").c.value
    names = select(func.json_extract(name, "$[0]"), func.json_extract(name, "$[1]"))
    return tuple_(table.c.provider, table.c.order_id).in_(names)


def _postgresql(table: Table) -> ColumnElement[bool]:
    """An index condition without a join. Its text is the same for any number of orders, so it is prepared and its plan is kept.

    A join that was planned while the table was small would still read the whole table after it has grown: 16 ms, not 0.5.
    """
    its = table.c
    return and_(
        its.provider == _any_of(_PROVIDERS),
        its.order_id == _any_of(_ORDER_IDS),
        its.provider.concat(" ").concat(its.order_id) == _any_of(_NAMES),
    )


def _any_of(parameter: str) -> CollectionAggregate[Any]:
    untyped = bindparam(parameter, type_=NullType())  # the server parses it once, not for each row
    return any_(cast(untyped, postgresql.ARRAY(Text)))


def parameters(names: Collection[Name]) -> dict[str, str]:
    """The parameters of `on_postgresql`."""
    return {
        _PROVIDERS: _array({provider for provider, _ in names}),
        _ORDER_IDS: _array({order_id for _, order_id in names}),
        _NAMES: _array({f"{provider} {order_id}" for provider, order_id in names}),
    }


def _array(values: Iterable[str]) -> str:
    """An array as PostgreSQL's text. The driver's own conversion takes a tenth of the timeline handler's time."""
    quoted = [value.replace("\\", r"\\").replace('"', r"\"") for value in sorted(values)]
    return '{"' + '","'.join(quoted) + '"}'
