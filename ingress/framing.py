"""Cuts data from a connection so that the parser never gets more than one head at once. Pure.

A parser cannot be stopped at the end of a request: it would parse the next one before the first is answered.
"""

import re
from collections.abc import Iterable

END = b"\r\n\r\n"
"""The end of a head, and of a chunked body."""
_NEXT = re.compile(rb"\r\n\r\n(?=[A-Z])")
"""What precedes a request that follows a chunked one."""


def cut_of_head(data: bytes, at: int) -> tuple[int, int]:
    """How many bytes from `at` on belong to a head, and the offset up to which to parse: through its body if no other head follows."""
    end = data.find(END, at)
    if end < 0:
        return len(data) - at, len(data)
    end += len(END)
    return end - at, len(data) if data.find(END, end) < 0 else end


def cut_of_body(data: bytes, at: int, headers: Iterable[tuple[bytes, bytes]], received_bytes: int) -> int:
    """The offset up to which to parse a request with these headers, given how much of its body has been received."""
    if data.find(END, at) < 0:
        return len(data)
    for name, value in headers:
        if name == b"content-length":
            return min(len(data), at + int(value) - received_bytes)
    following = _NEXT.search(data, at)
    return following.end() if following else len(data)
