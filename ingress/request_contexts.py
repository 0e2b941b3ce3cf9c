"""Encodes request contexts: see `schemas.request_context`. On the hot path: under a microsecond a request."""

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

    def __init__(self, kept_headers: tuple[str, ...], client_addresses: ClientAddresses) -> None:
        own, self._client_addresses = kept_names(kept_headers), client_addresses
        self._headers, self._own = (*COMMON, *own), tuple(own.values())
        self._encoded = lru_cache(_REMEMBERED)(self._encode)  # most requests of a provider differ in their bodies alone

    def encode(self, client: tuple[str, int] | None, headers: Mapping[bytes, bytes]) -> bytes:
        """The encoded context, as `schemas.request_context.decode_context` reads it; empty if nothing is kept. Raises nothing.

        `client` is ASGI's. `headers` have names in lower case; of a header that came twice the last is kept.
        """
        get = headers.get
        return self._encoded(self._client_addresses.address(client, get(b"x-forwarded-for")), tuple(map(get, self._headers)))

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
    """The headers that are present, as printable ASCII of bounded length."""
    found = zip(names, values, strict=False)
    return {name: value[:MAX_VALUE_BYTES].translate(_PRINTABLE).decode() for name, value in found if value is not None}


def _bounded(kept: dict[str, Any]) -> bytes:
    """Encode within `MAX_BYTES`: drop a truncated member of `tracestate`, then the least important fields."""
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
    """Build the context encoder of each provider."""
    client_addresses = ClientAddresses(settings.trusted_proxies)
    return {name: ContextEncoder(contract.kept_headers, client_addresses) for name, contract in CONTRACTS.items()}
