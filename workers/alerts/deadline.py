"""The deadline of one call to a channel, from its first connection to the answer, however slowly the answer comes."""

import socket
import threading
from contextlib import suppress
from typing import Any

from workers.errors import DeliveryError

DEADLINE_SECONDS = 10.0

_OPENED = ("connect_tcp.complete", "start_tls.complete")


class Deadline:
    """Ends one call when its time is up: it shuts the call's connections down, which wakes a thread that reads from them.

    Time-outs of a library are for one read each: a receiver that sends a byte now and then never meets them.
    """

    def __init__(self) -> None:
        self._lock, self._is_over, self._sockets = threading.Lock(), False, list[socket.socket]()

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """Be told by httpx of a connection that was opened (its `trace` extension). Raises `DeliveryError` if time is up."""
        if not event.endswith(_OPENED):
            return
        opened: socket.socket = info["return_value"].get_extra_info("socket")
        with self._lock:
            self._sockets.append(opened)
            is_over = self._is_over
        if is_over:
            raise DeliveryError(no_answer())

    def end(self) -> None:
        """The time is up."""
        with self._lock:
            self._is_over, opened = True, list(self._sockets)
        for each in opened:
            with suppress(OSError):  # closed, or replaced by its TLS socket
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # not `unwrap`, which would wait for the receiver


def no_answer() -> str:
    """What is recorded of a call that did not end in time."""
    return f"no answer within {DEADLINE_SECONDS:g} s"
