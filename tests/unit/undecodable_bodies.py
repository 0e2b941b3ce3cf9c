"""Bodies that cannot be decoded, with the error of each; and odd bodies that can."""

from zoneinfo import ZoneInfo

from schemas.decoding import decode
from schemas.events import Event
from tests.payloads import recorded

ZONE = ZoneInfo("Europe/Amsterdam")

RECEIVED = "1732300000123-4"

SECRET = "jane.doe@example.com"

"""Stands for personal data in a body; no message may quote it."""


def read(provider: str, body: bytes) -> Event:
    return decode(provider, body, RECEIVED, ZONE)


def flat(field: str) -> bytes:
    return b'{"event":"picking","order_id":"o","user":"%s",%s}' % (SECRET.encode(), field.encode())


def envelope(field: str) -> bytes:
    return b'{"event_name":"picking","event_metadata":{"order_id":"o","user":"%s",%s}}' % (SECRET.encode(), field.encode())


def items(*fields: str) -> bytes:
    return envelope(f'"order_items":[{",".join("{" + field + "}" for field in fields)}]')


def afosto(field: str) -> bytes:
    return b'{"event":"DELIVERED","entity_id":"e","message_id":"m","user":"%s",%s}' % (SECRET.encode(), field.encode())


JSON, UTF8, TYPE, NAME, ORDER = "MALFORMED", "MALFORMED", "WRONG_TYPE", "NO_EVENT", "NO_ORDER"

BIG = "9" * 5000

LATE = recorded("instacart/envelope/late_delivery")

ITEMS = "$.event_metadata.order_items"

BAD_INSTACART: list[tuple[bytes, str, str]] = [
    (b"", JSON, "$: expected JSON, got a body or a text that ends too early"),
    (b" \n", JSON, "$: expected JSON, got a body or a text that ends too early"),
    (LATE[:1], JSON, "$: expected JSON, got a body or a text that ends too early"),
    (LATE[:60], JSON, "$: expected JSON, got a body or a text that ends too early"),
    (LATE[: len(LATE) // 2], JSON, "$: expected JSON, got a body or a text that ends too early"),
    (LATE[:-3], JSON, "$: expected JSON, got a body or a text that ends too early"),
    (LATE[LATE.index(b'"') :], TYPE, "$: expected object, got string"),
    (LATE + LATE, JSON, f"$: expected JSON, got trailing characters (byte {len(LATE) + 1})"),
    (b"\0", JSON, "$: expected JSON, got invalid character (byte 0)"),
    (b"\xef\xbb\xbf{}", NAME, "$.event or $.event_name: expected the name of the event, found none"),
    (LATE.decode().encode("utf-16"), JSON, "$: expected JSON, got invalid character (byte 0)"),
    (b"event=picking&order_id=o", JSON, "$: expected JSON, got invalid character (byte 0)"),
    (b"<event/>", JSON, "$: expected JSON, got invalid character (byte 0)"),
    (b"{'event':'picking'}", JSON, '$: expected JSON, got object keys must be strings (byte 1)'),
    (flat('"x":01'), JSON, "$: expected JSON, got invalid number (byte 69)"),
    (flat('"x":1,}'), JSON, "$: expected JSON, got trailing comma in object"),
    (b'{"event":"pick\xff"}', ORDER, "$.order_id or $.order.id: expected the order's id, found none"),
    (flat('"x":"') + b"\xc3\x28", UTF8, "$: expected"),
    (b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", NAME, "$.event or $.event_name: expected the name of the event, found none"),
    (b'{"x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, NAME, "$.event or $.event_name: expected the name of the event, found none"),
    (b"null", TYPE, "$: expected object, got null"),
    (b"[]", TYPE, "$: expected object, got array"),
    (b"[" * 10_000, TYPE, "$: expected object, got array"),
    (b'"picking"', TYPE, "$: expected object, got string"),
    (b"42", TYPE, "$: expected object, got integer"),
    (b"-0.5", TYPE, "$: expected object, got number"),
    (b"true", TYPE, "$: expected object, got boolean"),
    (b"{}", NAME, "$.event or $.event_name: expected the name of the event, found none"),
    (b'{"event":null}', NAME, "$.event or $.event_name: expected"),
    (b'{"event":"","order_id":"o"}', NAME, "$.event or $.event_name: expected"),
    (b'{"Event":"picking","order_id":"o"}', NAME, "$.event or $.event_name: expected"),
    (b'{"event":"a","event":"","order_id":"o"}', NAME, "$.event or $.event_name: expected"),
    (b'{"event":"picking"}', ORDER, "$.order_id or $.order.id: expected the order's id, found none"),
    (b'{"event":"picking","order_id":"","order":{"id":null}}', ORDER, "$.order_id or $.order.id: expected"),
    (b'{"event_name":"picking","event_metadata":{}}', ORDER, "$.event_metadata.order_id or $.order_id: expected"),
    (b'{"event":7,"order_id":"o"}', TYPE, "$.event: expected string, got number"),
    (b'{"event":"picking","order_id":["o"]}', TYPE, "$.order_id: expected string, got array"),
    (b'{"event":"picking","order":{"id":1.5}}', TYPE, "$.order.id: expected string, got number"),
    (b'{"event":"picking","order":"o"}', ORDER, "$.order_id or $.order.id: expected the order's id, found none"),
    (b'{"event_name":"picking","event_metadata":[]}', ORDER, "$.event_metadata.order_id or $.order_id: expected the order's id, found none"),
    (b'{"event":"picking","order_id":"%s"}' % (b"o" * 256), TYPE, "$.order_id: expected at most 255 characters, got 256"),
    (b'{"event":"picking","order_id":"%s"}' % (b"o" * 1_000_000), TYPE, "$.order_id: expected at most 255 characters, got 1000000"),
    (b'{"event":"picking","order":{"id":"%s"}}' % (b"o" * 256), TYPE, "$.order.id: expected at most 255 characters"),
    (envelope(f'"order_id":"{"o" * 256}"'), TYPE, "$.event_metadata.order_id: expected at most 255 characters"),
    (b'{"event":"%s","order_id":"o"}' % (b"e" * 256), TYPE, "$.event: expected at most 255 characters, got 256"),
    (b'{"event_name":"%s","order_id":"o"}' % (b"e" * 256), TYPE, "$.event_name: expected at most 255 characters, got 256"),
]  # fmt: skip

BAD_AFOSTO: list[tuple[bytes, str, str]] = [
    (recorded("afosto/delivered")[:200], JSON, "$: expected JSON, got a body or a text that ends too early"),
    (b"[]", TYPE, "$: expected object, got array"),
    (b"{}", NAME, "$.event: expected the name of the event, found none"),
    (b'{"event":"DELIVERED"}', ORDER, "$.entity_id: expected the id of the order or delivery, found none"),
    (b'{"event":"DELIVERED","entity_type":"delivery","data":{"parcels":[]}}', ORDER, "$.entity_id: expected the id of"),
    (afosto(f'"entity_id":"{"e" * 256}"'), TYPE, "$.entity_id: expected at most 255 characters, got 256"),
    (afosto(f'"event":"{"e" * 256}"'), TYPE, "$.event: expected at most 255 characters, got 256"),
]  # fmt: skip

BAD = [("instacart", *row) for row in BAD_INSTACART] + [("afosto", *row) for row in BAD_AFOSTO]

GOOD = [
    b"[" + flat('"x":1') + b"]",
    envelope('"status":1e400'),
    items('"name":-1e999,"item_upc":1e400'),
    flat(f'"x":{BIG}'),
    flat('"event_id":1e400'),
    flat('"x":1e400'),
    flat('"x":-0'),
    flat('"x":1e-9999999999999999999'),
    flat('"order_id":"other"'),
    flat('"items":[]'),
    flat('"items":[{"quantity":-0}]'),
    flat('"items":[{"quantity":1e60},{"quantity":1e-60},{"quantity":0}]'),
    flat(f'"x":"{"y" * 1_000_000}"'),
    flat(f'"x":{"[" * 500}{"]" * 500}'),
    flat('"x":"\\ud83d\\ude00"'),
    flat(f'"order":{{"id":"{"o" * 256}"}}'),
    b'{"event":"picking","order_id":"%s"}' % (b"o" * 255),
    items('"name":[],"item_upc":{},"qty_unit":0'),
]

ODD_INSTACART: list[bytes] = [
    flat('"quantity":NaN'),
    flat('"x":-Infinity'),
    flat('"x":"a\tb"'),
    flat('"x":"\\ud800"'),
    flat('"x":"\\ud800\\u0041"'),
    flat('"status":"\\udc00"'),
    b'{"event":"picking","order_id":"\xed\xa0\x80"}',
    b'{"event":"picking","order_id":104233}',
    b'{"event_name":"picking","event_metadata":{"order_id":7}}',
    flat('"event_name":"x","event_id":1201895966044343904.0'),
    flat('"event_name":"x","event_id":1.2e18'),
    flat('"event_name":"x","event_id":true'),
    flat(f'"event_name":"x","event_id":{BIG}'),
    flat('"event_name":"x","event_id":1e400'),
    flat('"timestamp":1732300000'),
    flat(f'"timestamp":"{SECRET}"'),
    flat('"timestamp":"2024-02-30T00:00:00Z"'),
    flat('"event_name":"x","event_timestamp":"soon"'),
    flat('"items":{}'),
    flat('"items":[{},null]'),
    flat('"items":[{"refunded":"yes"}]'),
    flat('"items":[{"refunded":1}]'),
    flat('"items":[{"replacement":true}]'),
    flat('"items":[{"replacement":{"quantity":[]}}]'),
    flat('"items":[{"replacement":{"name":"x","quantity":1e99}}]'),
    items("", "", '"qty":[]'),
    items("", f'"qty":"{SECRET}"'),
    items('"qty":"NaN"'),
    items('"qty":"sNaN"'),
    items('"qty":"-Infinity"'),
    items('"qty":1e400'),
    items('"qty":1e-400'),
    items('"quantity":0e999999'),
    items(f'"qty":1.{"1" * 200}'),
    items('"qty":1e9999999999999999999'),
    items('"line_num":1.0'),
    items("", f'"line_num":"{"x" * 256}"'),
    items(f'"line_num":"1","replaced":true,"item_rrc":"{"x" * 300}"'),
    items('"replaced":3'),
    flat(f'"event_name":"x","event_id":"{"7" * 256}"'),
]  # fmt: skip

ODD_AFOSTO: list[bytes] = [
    afosto('"entity_id":7'),
    afosto('"message_id":{}'),
    afosto('"triggered_at":"1714050000000"'),
    afosto('"triggered_at":1714050000000.5'),
    afosto('"triggered_at":253402300800000'),
    afosto('"triggered_at":-99999999999999999999'),
    afosto(f'"triggered_at":{BIG}'),
    afosto('"data":[]'),
    afosto(f'"message_id":"{"e" * 256}"'),
]  # fmt: skip

ODD = [("instacart", body) for body in ODD_INSTACART] + [("afosto", body) for body in ODD_AFOSTO]
"""Bodies of which a part is odd, and that are read all the same."""
