"""Encodes request contexts, which are kept beside bodies: see `schemas.request_context`. Hot path: under a microsecond a request."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from ingress.client_addresses import UNKNOWN, ClientAddresses
from schemas.contracts import CONTRACTS
from schemas.request_context import COMMON, LEAST_FIRST, MAX_BYTES, MAX_VALUE_BYTES, kept_names
from schemas.settings import Settings

_PRINTABLE = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))
_REMEMBERED = 1024


class ContextEncoder:
    """Encodes the request contexts of one provider. Raises `KeptHeaderError` if its contract names a credential."""

    def __init__(self, kept_headers: tuple[str, ...], peers: ClientAddresses) -> None:
        own, self._peers = kept_names(kept_headers), peers
        self._headers, self._own = (*COMMON, *own), tuple(own.values())
        self._encoded = lru_cache(_REMEMBERED)(self._encode)  # most requests of a provider differ only in their bodies

    def encode(self, client: tuple[str, int] | None, headers: Mapping[bytes, bytes]) -> bytes:
        """The encoded context, for `schemas.request_context.decode_context`; empty if nothing is kept. Raises nothing.

        `client` is ASGI's. `headers` have names in lower case; of a repeated header the last is kept.
        """
        get = headers.get
        return self._encoded(self._peers.address(client, get(b"x-forwarded-for")), tuple(map(get, self._headers)))

    def _encode(self, peer: str, values: tuple[bytes | None, ...]) -> bytes:
        kept: dict[str, Any] = {"peer": peer} if peer != UNKNOWN else {}
        kept |= _texts(COMMON.values(), values)
        if headers := _texts(self._own, values[len(COMMON) :]):
            kept["headers"] = headers
        encoded = orjson.dumps(kept) if kept else b""
        if len(encoded) <= MAX_BYTES and len(kept.get("tracestate", "")) < MAX_VALUE_BYTES:
            return encoded
        return _bounded(kept)


def _texts(names: Iterable[str], values: Iterable[bytes | None]) -> dict[str, str]:
    """The headers that are present, printable ASCII, and not too long."""
    found = zip(names, values, strict=False)
    return {name: value[:MAX_VALUE_BYTES].translate(_PRINTABLE).decode() for name, value in found if value is not None}


def _bounded(kept: dict[str, Any]) -> bytes:
    """Drop incomplete members of `tracestate`, then the least important headers, until the context fits."""
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
    """The encoder of each provider."""
    peers = ClientAddresses(settings.trusted_proxies)
    return {name: ContextEncoder(contract.kept_headers, peers) for name, contract in CONTRACTS.items()}
