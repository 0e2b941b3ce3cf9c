"""Splits received data so that the parser gets at most one request head at a time. Pure.

The parser cannot be stopped at the end of a request: it would start on the next one before the first is answered.
"""

import re
from collections.abc import Iterable

END = b"\r\n\r\n"
"""The end of a head, and of a chunked body."""
_NEXT = re.compile(rb"\r\n\r\n(?=[A-Z])")
"""The end of a chunked request that another request follows."""


def cut_of_head(data: bytes, at: int) -> tuple[int, int]:
    """The bytes from `at` that belong to a head, and where to stop parsing: after the body, if no other head follows."""
    end = data.find(END, at)
    if end < 0:
        return len(data) - at, len(data)
    end += len(END)
    return end - at, len(data) if data.find(END, end) < 0 else end


def cut_of_body(data: bytes, at: int, headers: Iterable[tuple[bytes, bytes]], received_bytes: int) -> int:
    """The end of what to parse of a request with these headers, `received_bytes` of whose body have been received."""
    if data.find(END, at) < 0:
        return len(data)
    for name, value in headers:
        if name == b"content-length":
            return min(len(data), at + int(value) - received_bytes)
    following = _NEXT.search(data, at)
    return following.end() if following else len(data)
