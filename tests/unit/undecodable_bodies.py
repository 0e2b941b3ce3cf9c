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
    (b"\xef\xbb\xbf{}", JSON, "$: expected JSON, got a byte order mark before it"),
    (LATE.decode().encode("utf-16"), JSON, "$: expected JSON, got invalid character (byte 0)"),
    (b"event=picking&order_id=o", JSON, "$: expected JSON, got invalid character (byte 0)"),
    (b"<event/>", JSON, "$: expected JSON, got invalid character (byte 0)"),
    (b"{'event':'picking'}", JSON, '$: expected JSON, got object keys must be strings (byte 1)'),
    (flat('"quantity":NaN'), JSON, "$: expected JSON, got invalid character (byte 75)"),
    (flat('"x":-Infinity'), JSON, "$: expected JSON, got invalid character (byte 69)"),
    (flat('"x":01'), JSON, "$: expected JSON, got invalid number (byte 69)"),
    (flat('"x":"a\tb"'), JSON, "$: expected JSON, got invalid character (byte 70)"),
    (flat('"x":"\\ud800"'), JSON, "$: expected JSON, got "),
    (flat('"x":"\\ud800\\u0041"'), JSON, "$: expected JSON, got invalid utf-16 surrogate pair"),
    (flat('"status":"\\udc00"'), JSON, "$: expected JSON, got invalid utf-16 surrogate pair"),
    (flat('"x":1,}'), JSON, "$: expected JSON, got trailing comma in object"),
    (b'{"event":"pick\xff"}', UTF8, "$: expected UTF-8, got another byte at 14"),
    (flat('"x":"') + b"\xc3\x28", UTF8, "$: expected"),
    (b'{"event":"picking","order_id":"\xed\xa0\x80"}', UTF8, "$: expected UTF-8, got another byte at 31"),
    (b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", JSON, "$: expected JSON, got it nested too deep"),
    (b'{"x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, JSON, "$: expected JSON, got it nested too deep"),
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
    (b'{"event":7,"order_id":"o"}', TYPE, "$.event: expected string, got integer"),
    (b'{"event":"picking","order_id":104233}', TYPE, "$.order_id: expected string, got integer"),
    (b'{"event":"picking","order_id":["o"]}', TYPE, "$.order_id: expected string, got array"),
    (b'{"event":"picking","order":{"id":1.5}}', TYPE, "$.order.id: expected string, got number"),
    (b'{"event":"picking","order":"o"}', TYPE, "$.order: expected object, got string"),
    (b'{"event_name":"picking","event_metadata":[]}', TYPE, "$.event_metadata: expected object, got array"),
    (b'{"event_name":"picking","event_metadata":{"order_id":7}}', TYPE, "$.event_metadata.order_id: expected string, got integer"),
    (flat('"event_name":"x","event_id":1201895966044343904.0'), TYPE, "$.event_id: expected integer or string, got number"),
    (flat('"event_name":"x","event_id":1.2e18'), TYPE, "$.event_id: expected integer or string, got number"),
    (flat('"event_name":"x","event_id":true'), TYPE, "$.event_id: expected integer or string, got boolean"),
    (flat(f'"event_name":"x","event_id":{BIG}'), TYPE, "$.event_id: expected a number we can hold, got a larger one"),
    (flat('"event_name":"x","event_id":1e400'), TYPE, "$.event_id: expected a number we can hold, got a larger one"),
    (flat('"timestamp":1732300000'), TYPE, "$.timestamp: expected string, got integer"),
    (flat(f'"timestamp":"{SECRET}"'), TYPE, "$.timestamp: expected a date and time (RFC 3339), got other text"),
    (flat('"timestamp":"2024-02-30T00:00:00Z"'), TYPE, "$.timestamp: expected a date and time (RFC 3339), got other text"),
    (flat('"event_name":"x","event_timestamp":"soon"'), TYPE, "$.event_timestamp: expected a date and time (RFC 3339), got"),
    (flat('"items":{}'), TYPE, "$.items: expected array, got object"),
    (flat('"items":[{},null]'), TYPE, "$.items[1]: expected object, got null"),
    (flat('"items":[{"refunded":"yes"}]'), TYPE, "$.items[0].refunded: expected boolean, got string"),
    (flat('"items":[{"refunded":1}]'), TYPE, "$.items[0].refunded: expected boolean, got integer"),
    (flat('"items":[{"replacement":true}]'), TYPE, "$.items[0].replacement: expected object, got boolean"),
    (flat('"items":[{"replacement":{"quantity":[]}}]'), TYPE, "$.items[0].replacement.quantity: expected number, got array"),
    (flat('"items":[{"replacement":{"name":"x","quantity":1e99}}]'), TYPE, "$.items[0].replacement.quantity: expected a quantity"),
    (items("", "", '"qty":[]'), TYPE, f"{ITEMS}[2].qty: expected number, got array"),
    (items("", f'"qty":"{SECRET}"'), TYPE, f"{ITEMS}[1].qty: expected a decimal number, got other text"),
    (items('"qty":"NaN"'), TYPE, f"{ITEMS}[0].qty: expected a quantity of at most 60 digits, got another number"),
    (items('"qty":"sNaN"'), TYPE, f"{ITEMS}[0].qty: expected a quantity"),
    (items('"qty":"-Infinity"'), TYPE, f"{ITEMS}[0].qty: expected a quantity"),
    (items('"qty":1e400'), TYPE, f"{ITEMS}[0].qty: expected a quantity"),
    (items('"qty":1e-400'), TYPE, f"{ITEMS}[0].qty: expected a quantity"),
    (items('"quantity":0e999999'), TYPE, f"{ITEMS}[0].quantity: expected a quantity"),
    (items(f'"qty":1.{"1" * 200}'), TYPE, f"{ITEMS}[0].qty: expected a quantity"),
    (items('"qty":1e9999999999999999999'), TYPE, f"{ITEMS}[0].qty: expected a decimal number, got other text"),
    (items('"line_num":1.0'), TYPE, f"{ITEMS}[0].line_num: expected integer or string, got number"),
    (items("", f'"line_num":"{"x" * 256}"'), TYPE, f"{ITEMS}[1] (the line's key): expected at most 255 characters, got 256"),
    (items(f'"line_num":"1","replaced":true,"item_rrc":"{"x" * 300}"'), TYPE, f"{ITEMS}[0] (the substitute): expected at most 255 characters, got 300"),
    (items('"replaced":3'), TYPE, f"{ITEMS}[0].replaced: expected boolean or object, got integer"),
    (b'{"event":"picking","order_id":"%s"}' % (b"o" * 256), TYPE, "$.order_id: expected at most 255 characters, got 256"),
    (b'{"event":"picking","order_id":"%s"}' % (b"o" * 1_000_000), TYPE, "$.order_id: expected at most 255 characters, got 1000000"),
    (b'{"event":"picking","order":{"id":"%s"}}' % (b"o" * 256), TYPE, "$.order.id: expected at most 255 characters"),
    (envelope(f'"order_id":"{"o" * 256}"'), TYPE, "$.event_metadata.order_id: expected at most 255 characters"),
    (b'{"event":"%s","order_id":"o"}' % (b"e" * 256), TYPE, "$.event: expected at most 255 characters, got 256"),
    (b'{"event_name":"%s","order_id":"o"}' % (b"e" * 256), TYPE, "$.event_name: expected at most 255 characters, got 256"),
    (flat(f'"event_name":"x","event_id":"{"7" * 256}"'), TYPE, "$.event_id: expected at most 255 characters, got 256"),
]  # fmt: skip

BAD_AFOSTO: list[tuple[bytes, str, str]] = [
    (recorded("afosto/delivered")[:200], JSON, "$: expected JSON, got a body or a text that ends too early"),
    (b"[]", TYPE, "$: expected object, got array"),
    (b"{}", NAME, "$.event: expected the name of the event, found none"),
    (b'{"event":"DELIVERED"}', ORDER, "$.entity_id: expected the id of the order or delivery, found none"),
    (b'{"event":"DELIVERED","entity_type":"delivery","data":{"parcels":[]}}', ORDER, "$.entity_id: expected the id of"),
    (afosto('"entity_id":7'), TYPE, "$.entity_id: expected string, got integer"),
    (afosto('"message_id":{}'), TYPE, "$.message_id: expected string, got object"),
    (afosto('"triggered_at":"1714050000000"'), TYPE, "$.triggered_at: expected integer, got string"),
    (afosto('"triggered_at":1714050000000.5'), TYPE, "$.triggered_at: expected integer, got number"),
    (afosto('"triggered_at":253402300800000'), TYPE, "$.triggered_at: expected milliseconds since 1970, got a number out of range"),
    (afosto('"triggered_at":-99999999999999999999'), TYPE, "$.triggered_at: expected milliseconds since 1970, got a number out"),
    (afosto(f'"triggered_at":{BIG}'), TYPE, "$.triggered_at: expected a number we can hold, got a larger one"),
    (afosto('"data":[]'), TYPE, "$.data: expected object, got array"),
    (afosto(f'"entity_id":"{"e" * 256}"'), TYPE, "$.entity_id: expected at most 255 characters, got 256"),
    (afosto(f'"message_id":"{"e" * 256}"'), TYPE, "$.message_id: expected at most 255 characters, got 256"),
    (afosto(f'"event":"{"e" * 256}"'), TYPE, "$.event: expected at most 255 characters, got 256"),
    (
        afosto(f'"entity_type":"delivery","data":{{"parcels":[{{"items":[{{"order":{{"id":"{"e" * 256}"}}}}]}}]}}'),
        TYPE,
        "$.data.parcels[].items[].order.id: expected at most 255 characters, got 256",
    ),
]  # fmt: skip

BAD = [("instacart", *row) for row in BAD_INSTACART] + [("afosto", *row) for row in BAD_AFOSTO]

GOOD = [
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
