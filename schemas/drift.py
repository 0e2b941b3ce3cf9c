"""Contract drift: a body differs from the contract without failing. Pure.

A `Shape`, derived from the wire models, is what the contract expects at one place of a document; `compare` walks a document
along it. Findings never contain values, only their types. They also omit keys that are not plain field names: such a key may be
personal data.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from schemas.events import Unreadable
from schemas.parsing.lenient import documented
from schemas.parsing.values import json_type

OTHER_NAME = "(a name that is no field's)"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_PYTHON_TYPES: dict[type, tuple[type, ...]] = {
    inspect.StrType: (str,),
    inspect.IntType: (int,),
    inspect.FloatType: (int, float, Decimal),
    inspect.DecimalType: (int, float, Decimal, str),
    inspect.BoolType: (bool,),
    inspect.NoneType: (type(None),),
    inspect.DictType: (dict,),
}

_ANY: frozenset[type] = frozenset({dict, list, str, int, float, Decimal, bool, type(None)})


class DriftKind(StrEnum):
    """The kinds of drift. The value is stored: never change one."""

    UNKNOWN_EVENT = "unknown_event"
    """An event whose name is not known."""
    UNKNOWN_FIELD = "unknown_field"
    """A field that the contract does not name."""
    WRONG_TYPE = "wrong_type"
    """A field that nothing depends on, with another type than documented."""
    NO_TIME = "no_time"
    """An event that names neither an id nor a time that can be read: when it is true once more, it looks like a redelivery."""
    MISSING_FIELD = "missing_field"
    """A field that came with this event and no longer does."""


class Difference(NamedTuple):
    """One difference: its kind, its path (`$.items[].aisle`), and the JSON type found there."""

    what: DriftKind
    path: str
    found: str


class Shape(NamedTuple):
    """What is expected at `path`: values of these types; of an object its `fields`, of an array its `items` (None: anything)."""

    path: str
    types: frozenset[type]
    fields: "Mapping[str, Shape] | None" = None
    items: "Shape | None" = None


def shape_of(model: Any, path: str = "$") -> Shape:
    """The shape of a document of this wire model."""
    return _shape(inspect.type_info(model), path)


def compare(document: Any, shape: Shape) -> tuple[list[Difference], set[str]]:
    """The differences of a decoded document, and the paths of all expected fields that it has."""
    differences: list[Difference] = []
    present: set[str] = set()
    _walk(document, shape, differences, present)
    return differences, present


_PLACE = re.compile(r"\[\d+\]")


def difference_of(part: Unreadable) -> Difference:
    """The difference that a part which could not be read is."""
    return Difference(DriftKind.WRONG_TYPE, _PLACE.sub("[]", part.path), part.found)


def _walk(value: Any, shape: Shape, differences: list[Difference], present: set[str]) -> None:
    kind = type(value)
    if kind not in shape.types:
        differences.append(Difference(DriftKind.WRONG_TYPE, shape.path, json_type(value)))
    elif kind is list and shape.items is not None:
        for each in value:
            _walk(each, shape.items, differences, present)
    elif kind is dict and shape.fields is not None:
        for name, each in value.items():
            field = shape.fields.get(name)
            if field is None:
                differences.append(Difference(DriftKind.UNKNOWN_FIELD, f"{shape.path}.{_told(name)}", json_type(each)))
            else:
                present.add(field.path)
                if type(each) not in field.types or field.fields is not None or field.items is not None:
                    _walk(each, field, differences, present)


def _told(name: str) -> str:
    return name if _NAME.fullmatch(name) else OTHER_NAME


def _shape(expected: inspect.Type, path: str) -> Shape:
    types: set[type] = {type(None)}  # null stands for an absent field, in every provider's bodies
    fields: dict[str, Shape] | None = None
    items: Shape | None = None
    for each in _alternatives(expected):
        if isinstance(each, inspect.AnyType):
            return Shape(path, _ANY)
        if isinstance(each, inspect.StructType):
            types.add(dict)
            fields = {field.encode_name: _shape(field.type, f"{path}.{field.encode_name}") for field in each.fields}
        elif isinstance(each, inspect.ListType):
            types.add(list)
            items = _shape(each.item_type, f"{path}[]")
        else:
            types.update(_PYTHON_TYPES[type(each)])
    return Shape(path, frozenset(types), fields, items)


def _alternatives(expected: inspect.Type) -> Iterator[inspect.Type]:
    """The plain types that a type stands for; of a lenient field, the documented ones."""
    if isinstance(expected, inspect.Metadata):
        expected_type = documented(expected)
        yield from _alternatives(expected.type if expected_type is None else expected_type)
    elif isinstance(expected, inspect.UnionType):
        for each in expected.types:
            yield from _alternatives(each)
    else:
        yield expected


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A drift finding as it is stored: the difference, the provider and event name, and the event in which it was first seen."""

    provider: str
    event: str
    what: DriftKind
    path: str
    found: str
    first_event_id: str
    first_at_ms: int
