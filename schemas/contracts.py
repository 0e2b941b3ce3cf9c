"""What the rest needs to know of each provider: how its bodies are read, what they should look like, how it proves who it is.

A new provider is one schema file and one row of `CONTRACTS`: from it follow its address, `/webhook/<name>`, its decoding and its drift alarm.
"""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from enum import Enum, auto
from typing import Any, NamedTuple

from schemas import afosto, instacart
from schemas.drift import Shape
from schemas.events import Event, Provider


class Proof(Enum):
    """How a provider proves who it is."""

    TOKEN = auto()
    """A bearer token, fetched at `/oauth/token`."""
    SIGNATURE = auto()
    """An HMAC of the raw body, in `X-Afosto-Hmac-Sha256`."""


class Contract(NamedTuple):
    """One provider's. `decode(body, event_id, zone)` raises `Undecodable` and the errors of msgspec, and nothing else.

    `kept_headers`: headers of the provider's own that are kept with each event beside those of every provider, the most important first;
    see `schemas.request_context`.
    """

    decode: Callable[[bytes, str, tzinfo], Event]
    shape_for: Callable[[Mapping[str, Any]], Shape]
    proof: Proof = Proof.TOKEN
    kept_headers: tuple[str, ...] = ()


CONTRACTS: dict[str, Contract] = {
    Provider.INSTACART: Contract(instacart.decode, instacart.shape_for),
    Provider.AFOSTO: Contract(
        afosto.decode, afosto.shape_for, Proof.SIGNATURE, kept_headers=("X-Afosto-Tenant", "X-Afosto-Endpoint")
    ),
}
