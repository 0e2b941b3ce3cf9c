"""Where data from a connection may be cut, so that what is parsed at once holds no more than one head. Pure.

A parser cannot be stopped at the end of a request: it would go on with the next one before the answer to the first.
"""

import re
from collections.abc import Iterable

END = b"\r\n\r\n"
"""Of a head, and of a chunked body."""
_NEXT = re.compile(rb"\r\n\r\n(?=[A-Z])")
"""What stands before a request that follows a chunked one."""


def cut_of_head(data: bytes, at: int) -> tuple[int, int]:
    """How many bytes from `at` on belong to a head, and up to where to parse: through its body, if no other head follows."""
    end = data.find(END, at)
    if end < 0:
        return len(data) - at, len(data)
    end += len(END)
    return end - at, len(data) if data.find(END, end) < 0 else end


def cut_of_body(data: bytes, at: int, headers: Iterable[tuple[bytes, bytes]], received_bytes: int) -> int:
    """Up to where to parse of a request with these headers, of whose body so much has been received."""
    if data.find(END, at) < 0:
        return len(data)
    for name, value in headers:
        if name == b"content-length":
            return min(len(data), at + int(value) - received_bytes)
    following = _NEXT.search(data, at)
    return following.end() if following else len(data)
