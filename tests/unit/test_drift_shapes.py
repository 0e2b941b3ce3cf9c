"""A difference from the contract is reported by its place and type, never by its value."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from schemas.contracts import CONTRACTS
from schemas.drift import OTHER_NAME, Difference, DriftKind, compare, shape_of
from schemas.parsing.lenient import Lenient
from tests.payloads import all_recorded, recorded


class Line(Struct):
    sku: str
    quantity: Decimal | None = None
    note: Lenient[str] = None
    tags: Lenient[list[str]] = None


class Order(Struct):
    id: str
    lines: list[Line] | None = None
    customer: Lenient[dict[str, Any]] = None
    window: Lenient[Line] = None
    anything: Any = None


SHAPE = shape_of(Order)


@pytest.mark.parametrize(
    ("document", "differences"),
    [
        ({"id": "a"}, []),
        ({"id": "a", "lines": None, "window": None}, []),
        ({"id": "a", "lines": [{"sku": "s", "quantity": 1.5, "note": "n", "tags": ["t"]}], "customer": {"name": "Jane"}}, []),
        ({"id": "a", "anything": [{"at": "all"}]}, []),
        ({"id": "a", "aisle": 7}, [(DriftKind.UNKNOWN_FIELD, "$.aisle", "number")]),
        ({"id": "a", "lines": [{"sku": "s"}, {"sku": "s", "aisle": True}]}, [(DriftKind.UNKNOWN_FIELD, "$.lines[].aisle", "boolean")]),
        ({"id": "a", "lines": [{"sku": "s", "note": 5}]}, [(DriftKind.WRONG_TYPE, "$.lines[].note", "number")]),
        ({"id": "a", "lines": [{"sku": "s", "tags": ["t", {}]}]}, [(DriftKind.WRONG_TYPE, "$.lines[].tags[]", "object")]),
        ({"id": "a", "window": "noon"}, [(DriftKind.WRONG_TYPE, "$.window", "string")]),
        ({"id": "a", "window": {"sku": [], "to": 1}}, [
            (DriftKind.WRONG_TYPE, "$.window.sku", "array"), (DriftKind.UNKNOWN_FIELD, "$.window.to", "number"),
        ]),
        ({"id": "a", "Keizersgracht 123": {}}, [(DriftKind.UNKNOWN_FIELD, f"$.{OTHER_NAME}", "object")]),
        ([1], [(DriftKind.WRONG_TYPE, "$", "array")]),
    ],
)  # fmt: skip
def test_a_document_is_compared_with_its_shape(document: Any, differences: list[Any]) -> None:
    assert compare(document, SHAPE)[0] == [Difference(*each) for each in differences]


def test_the_paths_of_expected_fields_that_came_are_returned() -> None:
    document = {"id": "a", "other": 1, "lines": [{"sku": "s"}, {"note": "n"}], "window": {"sku": "s"}}
    assert compare(document, SHAPE)[1] == {"$.id", "$.lines", "$.lines[].sku", "$.lines[].note", "$.window", "$.window.sku"}


@pytest.mark.parametrize("name", all_recorded())
def test_no_recorded_body_differs_from_the_contract(name: str) -> None:
    document = msgspec.json.decode(recorded(name))
    assert compare(document, CONTRACTS[name.partition("/")[0]].shape_for(document))[0] == []
