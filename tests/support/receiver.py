"""Somebody who receives alerts: a real HTTP server on loopback that keeps what is posted to it, and answers as it is told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.ports import LOOPBACK


@dataclass(frozen=True)
class Post:
    """One request: header names in lower case."""

    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Receiver:
    """`answers` gives the status for a path (default 204); `on_post` is called before the answer."""

    url: str
    posts: list[Post] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    on_post: Callable[[Post], None] = lambda post: None

    def at(self, path: str) -> list[Post]:
        """What was posted to this path, in order of arrival."""
        return [post for post in self.posts if post.path == path]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve in a thread."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            post = Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            with lock:
                kept.posts.append(post)
            kept.on_post(post)
            self.send_response(kept.answers.get(self.path, 204))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    kept = Receiver(f"http://{LOOPBACK}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="receiver")
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who receives alerts."""
    with receiving() as receiver:
        yield receiver
