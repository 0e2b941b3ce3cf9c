"""A server that closes every connection."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.settings import LOOPBACK


@contextmanager
def hanging_up() -> Iterator[tuple[str, list[object]]]:
    """A broker that closes every connection, and the list of those connections."""
    came: list[object] = []

    class Closing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            came.append(self.client_address)

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Closing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"redis://{LOOPBACK}:{server.server_address[1]}/0", came
        server.shutdown()
        thread.join()
