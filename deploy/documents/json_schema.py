"""JSON Schema of the wire models. A lenient field has its documented type. Pure.

No property is required, and others are allowed: providers promise no more, and Curbside accepts all of it. The description of a
strict field, another type of which fails the event, states that it is strict: only providers of a user's own have such fields.
"""

from inspect import cleandoc
from typing import Any

from msgspec import inspect

from schemas.parsing.lenient import documented

Schema = dict[str, Any]

STRICT = "Strict: another type fails the event."
_SCALARS: dict[type, str] = {
    inspect.StrType: "string",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.DecimalType: "number",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
    inspect.DictType: "object",
}


class Components:
    """Collects the schemas of models, by name. `where` begins each reference, `prefix` each name."""

    def __init__(self, where: str = "#/components/schemas/", prefix: str = "") -> None:
        self._where, self._prefix = where, prefix
        self.schemas: dict[str, Schema] = {}

    def ref(self, model: type) -> Schema:
        """Return a reference to a model's schema, and add it to `schemas` with all schemas that it refers to."""
        return self._of(inspect.type_info(model))

    def _of(self, expected: inspect.Type) -> Schema:
        if isinstance(expected, inspect.UnionType):
            return self._any_of(list(expected.types))
        if isinstance(expected, inspect.StructType):
            self._add(expected)
            return {"$ref": f"{self._where}{self._prefix}{expected.cls.__name__}"}
        if isinstance(expected, inspect.ListType):
            return {"type": "array", "items": self._of(expected.item_type)}
        if isinstance(expected, inspect.AnyType):
            return {}
        return {"type": _SCALARS[type(expected)]}

    def _any_of(self, types: list[inspect.Type]) -> Schema:
        """Combine several types: a list of type names if all are scalar, else `anyOf`."""
        schemas = [self._of(each) for each in types]
        if all(schema.keys() == {"type"} for schema in schemas):
            names = [schema["type"] for schema in schemas]
            return {"type": names if len(names) > 1 else names[0]}
        return {"anyOf": schemas}

    def _add(self, struct: inspect.StructType) -> None:
        name = f"{self._prefix}{struct.cls.__name__}"
        if name not in self.schemas:
            self.schemas[name] = {}  # a model may refer to itself
            self.schemas[name] = {
                "type": "object",
                "description": cleandoc(struct.cls.__doc__ or ""),
                "properties": {field.encode_name: self._field(field.type) for field in struct.fields},
            }

    def _field(self, expected: inspect.Type) -> Schema:
        known = documented(expected) if isinstance(expected, inspect.Metadata) else None
        if known is None:
            schema = self._of(expected)
            return schema if "$ref" in schema else {**schema, "description": STRICT}
        return self._any_of([*(known.types if isinstance(known, inspect.UnionType) else (known,)), inspect.NoneType()])
