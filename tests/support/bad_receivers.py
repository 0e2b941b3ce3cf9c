"""Receivers of alerts that hang, drip or lead astray, on real sockets."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.support.settings import LOOPBACK

_DRIP_SECONDS = 0.05
_OK = b"HTTP/1.1 200 OK\r\n"


class BadReceiver:
    """A server whose every connection misbehaves in one way until it is closed."""

    def __init__(self, behaviour: str) -> None:
        self._closed = threading.Event()
        self._server = socket.socket()
        self._server.bind((LOOPBACK, 0))
        self.connections: list[socket.socket] = []
        self.port: int = self._server.getsockname()[1]
        self._serve: Callable[[socket.socket], None] = getattr(self, f"_{behaviour}")
        if behaviour == "never_accepts":
            self._fill_backlog()
            return
        self._server.listen(64)
        threading.Thread(target=self._accept, name="bad receiver", daemon=True).start()

    def close(self) -> None:
        """Close everything: whoever still waits gets an error."""
        self._closed.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in self.connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._one, args=(connection,), name="bad connection", daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(65536)
            self._serve(connection)

    def _drip(self, connection: socket.socket, what: bytes) -> None:
        while not self._closed.wait(_DRIP_SECONDS):
            connection.sendall(what)

    def _drips_head(self, connection: socket.socket) -> None:
        connection.sendall(_OK + b"x-long: ")
        self._drip(connection, b"x")

    def _drips_interim_answers(self, connection: socket.socket) -> None:
        self._drip(connection, b"HTTP/1.1 102 Processing\r\n\r\n")

    def _drips_body(self, connection: socket.socket) -> None:
        connection.sendall(_OK + b"content-length: 100000\r\n\r\n")
        self._drip(connection, b"x")

    def _endless_body(self, connection: socket.socket) -> None:
        connection.sendall(_OK + b"transfer-encoding: chunked\r\n\r\n")
        self._drip(connection, b"10000\r\n" + b"x" * 65536 + b"\r\n")

    def _redirects(self, connection: socket.socket) -> None:
        where = f"http://{LOOPBACK}:{self.port}/again"
        connection.sendall(f"HTTP/1.1 307 Again\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n".encode())
        while connection.recv(65536):
            connection.sendall(f"HTTP/1.1 307 Again\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n".encode())

    def _never_answers(self, _: socket.socket) -> None:
        self._closed.wait()

    def _refuses(self, connection: socket.socket) -> None:
        connection.close()

    def _never_accepts(self, _: socket.socket) -> None:
        raise AssertionError

    def _fill_backlog(self) -> None:
        self._server.listen(0)
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect((LOOPBACK, self.port))
            self.connections.append(waiting)


@contextmanager
def bad_receiver(behaviour: str) -> Iterator[BadReceiver]:
    """A receiver that behaves like this, closed on exit."""
    receiver = BadReceiver(behaviour)
    try:
        yield receiver
    finally:
        receiver.close()
