"""HTTP/2 requests as bytes, with any header, also those that no library sends (RFC 9113, RFC 7541)."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4

Headers = list[tuple[bytes, bytes]]


def request(headers: Headers, body: bytes, *, method: bytes = b"POST", path: bytes = b"/webhook") -> bytes:
    """The first request of a connection, with its preface."""
    pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path)]
    block = b"".join(_text(b"\0", name) + _text(b"", value) for name, value in pseudo + headers)
    return (
        PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS, 1, block) + _frame(_DATA, _END_STREAM, 1, body)
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(prefix: bytes, text: bytes) -> bytes:
    """A string literal, not Huffman coded, its length in a prefix of seven bits (RFC 7541, 5.1 and 5.2)."""
    if (length := len(text)) < 127:
        return prefix + bytes([length]) + text
    coded, rest = bytes([127]), length - 127
    while rest >= 128:
        coded, rest = coded + bytes([rest % 128 + 128]), rest // 128
    return prefix + coded + bytes([rest]) + text
