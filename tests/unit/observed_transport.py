"""A transport that reports each write."""

import asyncio
from collections.abc import Callable
from typing import Any


class ObservedTransport:
    """A transport that tells of each write before it is made."""

    def __init__(self, transport: asyncio.WriteTransport, told: Callable[[bytes], None]) -> None:
        self._transport, self._told = transport, told

    def write(self, data: bytes) -> None:
        """Tell, and write."""
        self._told(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a transport can do."""
        return getattr(self._transport, name)
