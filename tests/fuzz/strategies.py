"""Hypothesis strategies read off the wire models: whole documents of every provider, dialect and event, that must decode.

A document is a tree of plain values. Times and quantities stay `datetime` and `Decimal` in it, so that a test can say what the
event must hold; `written` turns it into a body. Lenient fields mostly hold what is documented, and sometimes anything.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from schemas.parsing.lenient import documented
from schemas.providers.afosto import webhooks as afosto
from schemas.providers.instacart import callbacks as instacart

Document = dict[str, Any]


class Dialect(NamedTuple):
    """One form in which a provider writes its events."""

    provider: str
    model: type[msgspec.Struct]
    event: str
    """The member that names the event."""
    always: tuple[tuple[str, str], ...] = ()
    """Members that make it this dialect."""


FLAT = Dialect("instacart", instacart.Flat, "event")
ENVELOPE = Dialect("instacart", instacart.Envelope, "event_name")
ORDER = Dialect("afosto", afosto.OrderWebhook, "event", (("entity_type", "order"),))
DELIVERY = Dialect("afosto", afosto.DeliveryWebhook, "event", (("entity_type", "delivery"),))
NAMES: list[tuple[Dialect, tuple[str, ...]]] = [
    (FLAT, (*instacart.KINDS, "fulfillment.tip_adjustment")),
    (ENVELOPE, (*instacart.KINDS, "fulfillment.tip_adjustment")),
    (ORDER, (*afosto.KINDS, "ORDER_PAUSED")),
    (DELIVERY, (*afosto.KINDS, "ORDER_PAUSED")),
]
"""Every event name of each dialect, and an unknown one."""

texts = st.text(st.characters(codec="utf-8"), max_size=12)
ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12) | st.text(
    "ab-0", min_size=254, max_size=255
)
integers = st.integers(-(2**40), 2**40) | st.integers(-(10**30), 10**30)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC) | offsets)  # noqa: DTZ001 - drawn beside it
milliseconds = st.integers(-62135596800000, 253402300799999)
quantities = st.builds(
    lambda digits, power: Decimal(digits).scaleb(power), st.integers(-(10**20), 10**20), st.integers(-25, 25)
)
floats = st.floats(allow_nan=False, allow_infinity=False)
anything = st.recursive(
    st.none() | st.booleans() | integers | floats | texts | times | quantities,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.integers(2**53, 2**64) | integers | ids | st.just(""),
    "triggered_at": milliseconds,
    "timestamp": times,
    "event_timestamp": times,
    "entity_type": st.sampled_from(["order", "delivery", "parcel", ""]),
    **dict.fromkeys(("order_id", "entity_id", "message_id", "event", "event_name"), ids | st.just("")),
    **dict.fromkeys(("quantity", "qty"), quantities),
    "status": st.sampled_from(["picking", "at_store", "found", "replaced", "refunded", "pending", ""]),
}
"""Fields whose values say more than their type does."""
_BY_TYPE: dict[type[inspect.Type], st.SearchStrategy[Any]] = {
    inspect.StrType: ids | st.just(""),
    inspect.IntType: integers,
    inspect.FloatType: floats,
    inspect.DecimalType: quantities,
    inspect.BoolType: st.booleans(),
    inspect.NoneType: st.none(),
    inspect.AnyType: anything,
}


def documents(dialect: Dialect) -> st.SearchStrategy[Document]:
    """Documents of every event in one dialect, that say what happened and to which order."""
    names = next(names for each, names in NAMES if each is dialect)
    return st.builds(partial(_placed, dialect), _of(_type(dialect.model)), st.sampled_from(names), ids)


def written(document: Any, *, quoted: bool = False) -> bytes:
    """The body; its quantities as texts or as numbers."""
    return (_write_quoted if quoted else _write)(document)


_write = msgspec.json.Encoder(decimal_format="number").encode
_write_quoted = msgspec.json.Encoder(decimal_format="string").encode


def _placed(dialect: Dialect, document: Document, name: str, order_id: str) -> Document:
    placed = document | dict(dialect.always) | {dialect.event: name}
    if dialect is ENVELOPE:
        return placed | {"event_metadata": (document.get("event_metadata") or {}) | {"order_id": order_id}}
    return placed | {"order_id" if dialect is FLAT else "entity_id": order_id}


def _type(model: type[msgspec.Struct]) -> inspect.StructType:
    found = inspect.type_info(model)
    assert isinstance(found, inspect.StructType)
    return found


def _of(found: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a type, as msgspec describes it."""
    match found:
        case inspect.StructType():
            return st.fixed_dictionaries({}, optional={each.encode_name: _of_field(each) for each in found.fields})
        case inspect.UnionType():
            return st.one_of(*map(_of, found.types))
        case inspect.ListType():
            return st.lists(_of(found.item_type), max_size=3)
        case inspect.DictType():
            return st.dictionaries(texts, _of(found.value_type), max_size=3)
        case inspect.Metadata():
            if not isinstance(found.type, inspect.AnyType | inspect.RawType):
                return _of(found.type)
            lenient = documented(found)
            return _of(lenient) | _of(lenient) | anything if lenient else _of(found.type)
    return _BY_TYPE[type(found)]


def _of_field(field: inspect.Field) -> st.SearchStrategy[Any]:
    known = _BY_NAME.get(field.encode_name)
    if known is None:
        return times | anything if field.encode_name.endswith("_at") else _of(field.type)
    return known | st.none()


def _names(found: inspect.Type) -> Iterator[str]:
    """The names of all fields of a type and of all that is in it."""
    match found:
        case inspect.StructType():
            for each in found.fields:
                yield each.encode_name
                yield from _names(each.type)
        case inspect.UnionType():
            for type_ in found.types:
                yield from _names(type_)
        case inspect.ListType():
            yield from _names(found.item_type)
        case inspect.Metadata():
            yield from _names(documented(found) or found.type)


FIELDS = frozenset(name for dialect, _ in NAMES for name in _names(_type(dialect.model)))
"""The name of every field of every model."""
