"""HTTP/1.1 for untrusted clients: uvicorn's protocol over httptools, with limits to what a connection may send, hold and leave open.

No request is parsed before the one in front of it is answered. An upgrade is declined by parsing the head again without it (RFC 9110, 7.8).
"""

import asyncio
import logging
from enum import Enum, auto
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ingress.connections import Connections, Pool
from ingress.framing import cut_of_body, cut_of_head
from ingress.joined_writes import JoinedWrites
from ingress.problems import HEAD_TOO_LARGE, HEAD_TOO_SLOW, MALFORMED, PADDED, STOPPING, URL_TOO_LONG, HttpProblemError, Problem

HEAD_BYTES, HEADERS = 64 << 10, 128
SMALL_HEAD_BYTES = 8 << 10
"""A head of less is not counted: as many as there may be connections fit into memory."""
DISCARDED_BYTES = 4 << 20
"""How much of a body is discarded after its answer. Closing at once would reset the connection before the answer is read."""
STOP_SECONDS = 1.0
"""How long an incomplete body, or a client that does not read, may delay a stop."""
HELD_BYTES = 1 << 20
"""How much is held of later requests on a connection while one is answered."""
_log = logging.getLogger("curbside.ingress.http")
_log.addFilter(lambda record: record.msg != "Invalid HTTP request received.")  # the refusal is counted


class RequestPart(Enum):
    """Which part of a request is arriving."""

    NONE, HEAD, BODY = auto(), auto(), auto()


class Parser(HttpRequestParser):
    """httptools' parser, declining upgrades, and without the leniencies that uvicorn gives it."""

    def __init__(self, protocol: "Protocol") -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        """Parse. Raises `HttpParserError`."""
        try:
            HttpRequestParser.feed_data(self, data)
        except HttpParserUpgrade as offer:
            if self.get_method() == b"CONNECT":
                raise HttpParserError from None
            self._protocol.parser = again = Parser(self._protocol)
            again.feed_data(self._head_without_offer() + data[offer.args[0] :])

    def _head_without_offer(self) -> bytes:
        url, headers = self._protocol.url, self._protocol.headers
        lines = b"".join(b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade")
        return b"%b %b HTTP/%b\r\n%b\r\n" % (self.get_method(), url, self.get_http_version().encode(), lines)


class Protocol(HttpToolsProtocol):
    """One connection. On every request's path its base is called by name: `super()` would cost a twentieth of a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser, self.part, self.logger = Parser(self), RequestPart.NONE, _log
        self.shared: Connections = self.app_state["connections"]
        self.head_bytes, self.body_bytes, self.raw_bytes, self.held, self.held_at, self.kept = 0, 0, 0, b"", 0, 0
        self.discarded_bytes, self.is_at_end = 0, False
        self.idle, self.pool = self.shared.idle, cast("Pool | None", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; past the limit of connections, the one that has waited for the longest makes room."""
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport, self.loop)))
        if len(self.connections) > self.shared.most and not self.shared.make_room():
            self.transport.abort()
        self.pool = self.shared.move(self, None, self.shared.awaited)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.shared.forget(self)
        self._stop_keep_alive()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what was held, then the new data."""
        self.idle.pop(self, None)
        if self.held:
            data, self.held = self.held[self.held_at :] + data, b""
        self._parse(data, 0)

    def _parse(self, data: bytes, at: int) -> None:
        """Parse up to a request that has to wait for the answer to the one before it."""
        while at < len(data) and not self.transport.is_closing():
            was_body = self.part is RequestPart.BODY
            if self._is_answering() and not was_body:
                self.held, self.held_at = data, at
                self.flow.pause_reading()
                break
            cut = (
                cut_of_body(data, at, self.cycle.scope["headers"], self.body_bytes) if was_body else self._cut_of_head(data, at)
            )
            HttpToolsProtocol.data_received(self, data[at:cut] if cut - at < len(data) else data)
            if was_body:
                self._count_body(cut - at)
            elif self.part is RequestPart.HEAD and len(self.headers) > HEADERS:
                self.refuse(HEAD_TOO_LARGE)
            at = cut
        self._update_limits()

    def _count_body(self, n_bytes: int) -> None:
        self.raw_bytes += n_bytes
        if self.raw_bytes > HEAD_BYTES + 9 * self.body_bytes:
            self.refuse(PADDED)
        elif not self._is_answering():
            self.discarded_bytes += n_bytes
            if self.discarded_bytes > DISCARDED_BYTES:
                self.transport.close()

    def _cut_of_head(self, data: bytes, at: int) -> int:
        size, cut = cut_of_head(data, at)
        self.head_bytes += size
        if self.head_bytes > HEAD_BYTES:
            self.refuse(HEAD_TOO_LARGE if self.headers or b"\r\n" in data[at : at + HEAD_BYTES] else URL_TOO_LONG)
            return at
        return cut

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _update_limits(self) -> None:
        """Account for the memory that is held, and put the connection into its pool."""
        if (kept := len(self.held) + (self.head_bytes if self.head_bytes > SMALL_HEAD_BYTES else 0)) != self.kept:
            self.kept = kept
            if kept > HELD_BYTES or not self.shared.memory.hold(self, kept):
                self.transport.abort()
        pool: Pool | None = None
        if self._is_answering():
            pool = self.shared.bodies if self.part is RequestPart.BODY else None
        elif self.timeout_keep_alive_task is None:
            pool = self.shared.awaited
        if pool is not self.pool:
            self.pool = self.shared.move(self, self.pool, pool)

    def on_message_begin(self) -> None:
        """A request line begins."""
        HttpToolsProtocol.on_message_begin(self)
        self.part = RequestPart.HEAD

    def on_headers_complete(self) -> None:
        """Start the application, unless the head is going to be parsed again."""
        if len(self.headers) > HEADERS:
            raise HttpProblemError(HEAD_TOO_LARGE)
        if not self.parser.should_upgrade():
            HttpToolsProtocol.on_headers_complete(self)
            self.headers = []  # for the trailers
            self.part, self.body_bytes, self.raw_bytes, self.discarded_bytes = RequestPart.BODY, 0, 0, 0

    def on_body(self, body: bytes) -> None:
        """A part of the body arrived. Framing, such as chunk sizes and trailers, must not be much larger than the body."""
        self.body_bytes += len(body)
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        """The request is complete. If it is answered already, the connection is kept from now on."""
        if not self.parser.should_upgrade():
            HttpToolsProtocol.on_message_complete(self)
            self.part = RequestPart.NONE
            if self.cycle.response_complete:
                self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
                self._release_request()

    def on_response_complete(self) -> None:
        """Parse what arrived meanwhile."""
        HttpToolsProtocol.on_response_complete(self)
        if self.transport.is_closing():
            return
        if self.part is RequestPart.NONE:
            self._release_request()
            if not self.held:
                if self.is_at_end:
                    self.transport.close()
                if self.kept:
                    self._update_limits()
                return
        else:  # the rest of this request is expected, not the next one
            self._stop_keep_alive()
        held, self.held = self.held, b""
        self._parse(held, self.held_at)

    def _release_request(self) -> None:
        """The connection is idle: forget the last request's head and the application's state."""
        if not self._is_answering():  # or a pipelined request comes next
            self.head_bytes, self.cycle, self.idle[self] = 0, None, None  # type: ignore[assignment]

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. It may still read the answers to its requests."""
        self.is_at_end = True
        return self._is_answering() and self.part is RequestPart.NONE

    def shutdown(self) -> None:
        """The ingress stops: requests under way are answered, but clients that neither send nor read are not waited for."""
        super().shutdown()
        self.loop.call_later(STOP_SECONDS, self._stop)

    def _stop(self) -> None:
        if self.flow.write_paused or self.transport.is_closing():  # closing, and unread answers still wait
            self.transport.abort()
        elif self._is_answering() and self.part is RequestPart.BODY:
            self.refuse(STOPPING)
        else:
            self.loop.call_later(STOP_SECONDS, self._stop)

    def _stop_keep_alive(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def expire(self) -> None:
        """Close the connection: what the client was to send or read is overdue."""
        if self.part is RequestPart.HEAD:
            self.refuse(HEAD_TOO_SLOW)
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed. uvicorn calls this."""
        self.refuse(HEAD_TOO_LARGE if self.headers and len(self.headers) > HEADERS else MALFORMED)

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem, unless an answer is under way, and close."""
        self.shared.refused(problem)
        if self._is_answering():
            if self.part is not RequestPart.BODY:  # a later request is at fault: the answer under way is the last one
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not (self.pipeline or (self._is_answering() and self.cycle.response_started)):
            self.transport.write(problem.as_http())
        self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read its answers."""
        super().pause_writing()
        self.shared.unread.begin(self)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self.shared.unread.end(self)
