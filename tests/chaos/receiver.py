"""The receiver of the alerts' webhook, a process of its own: checks signatures, records what it accepted, and misbehaves on command.

It records an alert when it has answered 200: when it arrived, its id, a digest of its content, and when it was created.
"""

import asyncio
import hashlib
import sys
import time
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple

import orjson
import standardwebhooks

from tests.chaos.child import Answer, serve_commands

LOOPBACK = "127.0.0.1"
_DRIP_SECONDS = 2.0
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_REFUSED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
_ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"


class Behaviour(StrEnum):
    """How it answers."""

    OK = "ok"
    REFUSE = "refuse"
    HANG = "hang"
    DRIP = "drip"


class Accepted(NamedTuple):
    """One line of the record. `created_at` is as the alert states it."""

    at: float
    id: str
    digest: str
    created_at: str


class _Receiver:
    def __init__(self, secret: str, record: BinaryIO) -> None:
        self._signer, self._record = standardwebhooks.Webhook(secret), record
        self.behaviour, self.wrong = Behaviour.OK, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = (line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:] if line)
                headers = {name.lower(): value for name, _, value in lines}
                body = await reader.readexactly(int(headers["content-length"]))
                await self._answer(headers, body, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        if self.behaviour is Behaviour.HANG:
            while self.behaviour is Behaviour.HANG:  # noqa: ASYNC110 - it is set from anywhere
                await asyncio.sleep(0.1)
            raise ConnectionResetError
        if self.behaviour is Behaviour.REFUSE:
            writer.write(_REFUSED)
            return
        self._accept(headers, body)
        if self.behaviour is Behaviour.OK:
            writer.write(_OK)
            return
        writer.write(_ENDLESS)
        while self.behaviour is Behaviour.DRIP:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(_DRIP_SECONDS)
        raise ConnectionResetError

    def _accept(self, headers: dict[str, str], body: bytes) -> None:
        try:
            self._signer.verify(body, headers)
        except standardwebhooks.WebhookVerificationError:
            self.wrong += 1
            return
        digest = hashlib.sha256(body).hexdigest()[:16]
        accepted = Accepted(time.time(), headers["webhook-id"], digest, orjson.loads(body)["timestamp"])
        self._record.write(orjson.dumps([*accepted]) + b"\n")
        self._record.flush()


async def _main(secret: str, record: str) -> None:
    with open(record, "ab") as output:  # noqa: ASYNC230 - before anything is served
        receiver = _Receiver(secret, output)
        server = await asyncio.start_server(receiver.serve, LOOPBACK)

        async def act(command: str, arguments: Answer) -> Answer:
            if command == "behave":
                receiver.behaviour = Behaviour(arguments["as"])
            return {"wrong": receiver.wrong}

        async with server:
            await serve_commands({"port": server.sockets[0].getsockname()[1]}, act)


if __name__ == "__main__":
    given: dict[str, Any] = orjson.loads(sys.argv[1])
    asyncio.run(_main(given["secret"], given["record"]))
