"""A TCP proxy on loopback that a test makes fail like a network: silent, cut, or leading to another server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.settings import LOOPBACK

_CHUNK = 65_536


class TcpProxy:
    """Forwards connections to the Unix socket `target`, which may be changed: it holds for new connections."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.is_silent = False
        """Accept, read and forward nothing, in neither direction. Nobody is told."""
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """Close all connections."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @property
    def connections(self) -> int:
        """How many sockets are open, on either side."""
        return len(self._open)

    def close(self) -> None:
        """Close all, and accept no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for each in self._threads:
            each.join(10)

    def _start(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, name="tcp proxy", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self.target))
            except OSError:
                client.close()
                server.close()
                continue
            self._open |= {client, server}
            self._start(self._forward, client, server)
            self._start(self._forward, server, client)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if not self.is_silent:
                    sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()


@contextmanager
def tcp_proxy(target: Path) -> Iterator[TcpProxy]:
    """A proxy to a Unix socket, closed on exit."""
    proxy = TcpProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
