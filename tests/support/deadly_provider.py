"""A provider (`PROVIDER_MODULES`) whose decoder ends its process on some bodies, as a fault in a C extension does."""

import os
from datetime import tzinfo

import msgspec

from schemas.contracts import Contract
from schemas.events import Event
from tests.examples import toyshop

NAME = "deadly"
BODY = b'{"id": "%d", "type": "order.arrived", "order": "%s", "at": "2026-03-02T08:00:00Z"}'


def decode(body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Decode a notice of the toyshop; end the process on one of an order named `exit-…`."""
    event = toyshop.decode(body, event_id, zone)
    if event.order_ids[0].startswith("exit-"):
        os._exit(139)
    return msgspec.structs.replace(event, provider=NAME, identity=f"{NAME}:{event.identity}")


PROVIDERS = {NAME: Contract(decode, lambda document: toyshop._SHAPE, toyshop.SIGNATURE, models=(toyshop.Notice,))}
