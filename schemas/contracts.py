"""The contract of each provider: how its bodies are decoded, their expected shape, and how it authenticates.

A new provider is one schema file and one row: a built-in one's in `CONTRACTS`, a user's own in `PROVIDERS` of a module that the
setting `PROVIDER_MODULES` names (`schemas.provider_modules`). From it follow its address, `/webhook/<name>`, its credentials,
its decoding, its drift alarm and its place in the published documents.
"""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, NamedTuple

from schemas.drift import Shape
from schemas.events import Event, Provider
from schemas.proofs import Hmac, Proof, Token
from schemas.providers.afosto import webhooks as afosto
from schemas.providers.instacart import callbacks as instacart


class Contract(NamedTuple):
    """The contract of one provider. `decode(body, event_id, zone)` raises only `DecodeError` and the errors of msgspec.

    `kept_headers`: the provider's own headers that are kept with each event, the most important first;
    see `schemas.request_context`.
    `models` are the wire models that the published documents show as its bodies.
    """

    decode: Callable[[bytes, str, tzinfo], Event]
    shape_for: Callable[[Mapping[str, Any]], Shape]
    proof: Proof = Token()
    models: tuple[type, ...] = ()
    kept_headers: tuple[str, ...] = ()


CONTRACTS: dict[str, Contract] = {
    Provider.INSTACART: Contract(instacart.decode, instacart.shape_for, Token(), (instacart.Flat, instacart.Envelope)),
    Provider.AFOSTO: Contract(
        afosto.decode,
        afosto.shape_for,
        Hmac(header="X-Afosto-Hmac-Sha256", endpoint_header="X-Afosto-Endpoint"),
        (afosto.OrderWebhook, afosto.DeliveryWebhook),
        kept_headers=("X-Afosto-Tenant", "X-Afosto-Endpoint"),
    ),
}
"""All providers of this process: the built-in ones, and a user's own once the settings are read."""
BUILT_IN: Mapping[str, Contract] = dict(CONTRACTS)
