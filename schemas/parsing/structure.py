"""Brings a document into the form of its wire model, where a strict decoder found another: the slow path of decoding.

- One object where a list is expected is a list of one. An object keyed by numbers, as PHP writes a list, is that list.
- A list of one object where an object is expected is that object.
- An empty text, an empty list and `false` are nothing.

A part of any other form is left out and named. Scalars are not looked at: the models decode them as they come.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct, inspect

from schemas.events import Effect, Unreadable
from schemas.parsing.values import Problem, json_type, list_of, object_of

Model = TypeVar("Model", bound=Struct)
ALL_EFFECTS = tuple(Effect)


class Form(NamedTuple):
    """What stands in a member of a model: an object of another model, or a list of them. None of a scalar."""

    model: type[Struct]
    is_list: bool


def straightened(document: Mapping[str, Any], model: type[Model], odd: list[Unreadable], path: str = "$") -> Model:
    """The document as its model. Adds to `odd` what had to be left out: with all effects, unless it stands for nothing."""
    members: dict[str, Any] = {}
    for name, (attribute, form) in _fields(model).items():
        if name in document:
            value = document[name]
            members[attribute] = value if form is None else _formed(value, form, f"{path}.{name}", odd)
    return model(**members)


def _formed(value: Any, form: Form, path: str, odd: list[Unreadable]) -> Any:
    if value is None:
        return None
    if form.is_list:
        entries = list_of(value)
        if isinstance(value, dict) and entries == [value] and value and not value.keys() & _fields(form.model).keys():
            entries = Problem("expected array, got object")
        if isinstance(entries, Problem):
            odd.append(Unreadable(path, str(entries), json_type(value), ALL_EFFECTS))
            return None
        return [_object(each, form.model, f"{path}[{number}]", odd, in_list=True) for number, each in enumerate(entries)]
    return _object(value, form.model, path, odd)


def _object(value: Any, model: type[Struct], path: str, odd: list[Unreadable], *, in_list: bool = False) -> Struct | None:
    found = object_of(value)
    if isinstance(found, dict):
        return straightened(found, model, odd, path)
    if isinstance(found, Problem):
        odd.append(Unreadable(path, str(found), json_type(value), ALL_EFFECTS))
    elif in_list:
        odd.append(Unreadable(path, f"expected object, got {json_type(value)}", json_type(value)))
    return None


@cache
def _fields(model: type[Struct]) -> Mapping[str, tuple[str, Form | None]]:
    """The members of a model that are read, by their names in a document: the attribute of each, and its form."""
    described = inspect.type_info(model)
    fields = described.fields if isinstance(described, inspect.StructType) else ()
    plain = ((field, _plain(field.type)) for field in fields)
    return {field.encode_name: (field.name, _form(type_)) for field, type_ in plain if not isinstance(type_, inspect.RawType)}


def _form(type_: inspect.Type) -> Form | None:
    if isinstance(type_, inspect.StructType):
        return Form(type_.cls, is_list=False)
    if isinstance(type_, inspect.ListType):
        item = _plain(type_.item_type)
        return Form(item.cls, is_list=True) if isinstance(item, inspect.StructType) else None
    return None


def _plain(type_: inspect.Type) -> inspect.Type:
    """The type that is decoded, without its description and without null."""
    if isinstance(type_, inspect.Metadata):
        return _plain(type_.type)
    if isinstance(type_, inspect.UnionType):
        return next((_plain(each) for each in type_.types if not isinstance(each, inspect.NoneType)), type_)
    return type_
