"""Where received data is split: no piece holds more than one request head."""

import pytest

from ingress.framing import cut_of_body, cut_of_head

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = [(b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    ("data", "size", "piece"),
    [
        (b"GET / HT", 8, b"GET / HT"),
        (HEAD, len(HEAD), HEAD),
        (HEAD + b"body", len(HEAD), HEAD + b"body"),
        (HEAD + HEAD, len(HEAD), HEAD),
        (HEAD + b"body\r\n\r\n", len(HEAD), HEAD),
    ],
)
def test_a_head_ends_a_piece_if_another_may_follow(data: bytes, size: int, piece: bytes) -> None:
    assert cut_of_head(data, 0) == (size, len(piece))
    assert cut_of_head(b"before" + data, 6) == (size, len(piece) + 6)


def test_a_body_of_known_length_ends_where_it_says() -> None:
    data = b"a\r\n\r\nb" + HEAD + HEAD
    assert cut_of_body(data, 0, [(b"host", b"x"), (b"content-length", b"10")], 4) == 6
    assert cut_of_body(data[:4], 0, [(b"content-length", b"10")], 4) == 4


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"0\r\n\r\n\r\n", b"0\r\n\r\n\r\n\r\n"])
def test_a_chunked_body_ends_before_the_next_request(end: bytes) -> None:
    data = b"2\r\n\r\n\r\n" + end + HEAD
    cut = cut_of_body(data + HEAD, 0, CHUNKED, 0)
    assert data.startswith(data[:cut])
    assert cut == len(data) - len(HEAD)


def test_empty_lines_within_a_chunk_are_one_piece() -> None:
    data = b"\r\n" * 100_000
    assert cut_of_body(data, 0, CHUNKED, 0) == len(data)
