"""Encodes what is kept of a request beside its body: see `schemas.request_context`. On the hot path: about a microsecond a request."""

from collections.abc import Mapping
from typing import Any

import orjson

from ingress.peer import UNKNOWN, Peers
from schemas.contracts import CONTRACTS
from schemas.request_context import COMMON, LEAST_FIRST, MAX_BYTES, MAX_VALUE_BYTES, kept_names
from schemas.settings import Settings

_PRINTABLE = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))
_COMMON = tuple(COMMON.items())


class ContextEncoder:
    """Encodes the request contexts of one provider. Raises `KeptHeaderError` if its contract names a credential."""

    def __init__(self, kept_headers: tuple[str, ...], peers: Peers) -> None:
        self._own, self._peers = tuple(kept_names(kept_headers).items()), peers

    def encode(self, client: tuple[str, int] | None, headers: Mapping[bytes, bytes]) -> bytes:
        """What is kept, as `schemas.request_context.decode_context` reads it; empty if nothing is. Raises nothing.

        `client` is ASGI's. `headers` have names in lower case; of a header that came twice the last is kept.
        """
        get = headers.get
        kept: dict[str, Any] = {}
        if (peer := self._peers.address(client, get(b"x-forwarded-for"))) != UNKNOWN:
            kept["peer"] = peer
        for header, name in _COMMON:
            if (value := get(header)) is not None:
                kept[name] = value[:MAX_VALUE_BYTES].translate(_PRINTABLE).decode()
        own = {}
        for header, name in self._own:
            if (value := get(header)) is not None:
                own[name] = value[:MAX_VALUE_BYTES].translate(_PRINTABLE).decode()
        if own:
            kept["headers"] = own
        encoded = orjson.dumps(kept) if kept else b""
        if len(encoded) <= MAX_BYTES and len(kept.get("tracestate", "")) < MAX_VALUE_BYTES:
            return encoded
        return _bounded(kept)


def _bounded(kept: dict[str, Any]) -> bytes:
    """Without half a member of `tracestate`, and without what matters least, until it fits."""
    if len(state := kept.get("tracestate", "")) == MAX_VALUE_BYTES:
        kept["tracestate"] = state.rpartition(",")[0]
    for name in LEAST_FIRST:
        if len(encoded := orjson.dumps(kept)) <= MAX_BYTES:
            return encoded
        kept.pop(name, None)
    while len(encoded := orjson.dumps(kept)) > MAX_BYTES:
        kept["headers"].popitem()
    return encoded


def context_encoders(settings: Settings) -> dict[str, ContextEncoder]:
    """One for each provider."""
    peers = Peers(settings.trusted_proxies)
    return {name: ContextEncoder(contract.kept_headers, peers) for name, contract in CONTRACTS.items()}
