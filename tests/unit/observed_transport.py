"""A transport that reports each write."""

import asyncio
from collections.abc import Callable
from typing import Any


class ObservedTransport:
    """A transport that reports each write before making it."""

    def __init__(self, transport: asyncio.WriteTransport, told: Callable[[bytes], None]) -> None:
        self._transport, self._told = transport, told

    def write(self, data: bytes) -> None:
        """Report, then write."""
        self._told(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        """Every other attribute of the transport."""
        return getattr(self._transport, name)
