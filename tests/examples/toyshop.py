"""A third provider, as somebody adds one: the wire model, how a body becomes an `Event`, how it signs, and its row.

PROVIDER_MODULES=toyshop TOYSHOP_SECRETS=... curbside ingress
"""

from datetime import tzinfo

import msgspec
from msgspec import Struct

from schemas.contracts import Contract
from schemas.drift import shape_of
from schemas.events import Event, Kind, received_at
from schemas.failures import DecodeError, Reason
from schemas.identity import identity_of
from schemas.parsing.lenient import Lenient
from schemas.parsing.texts import key
from schemas.parsing.times import read_time
from schemas.proofs import Hmac

NAME = "toyshop"
KINDS = {"order.placed": Kind.ORDER_CREATED, "order.arrived": Kind.DELIVERED}


class Notice(Struct, gc=False):
    """A body. Strict: the id, the type and the order; lenient: the gift note."""

    id: str
    type: str
    order: str
    at: str
    gift_note: Lenient[str] = None


_decode, _SHAPE = msgspec.json.Decoder(Notice).decode, shape_of(Notice)


def decode(body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Decode a notice."""
    notice, received = _decode(body), received_at(event_id)
    occurred_at = read_time(notice.at, zone)
    if occurred_at is None:
        raise DecodeError(Reason.WRONG_TYPE, "$.at: expected a date and time (RFC 3339), got other text")
    kind = KINDS.get(notice.type, Kind.UNRECOGNISED)
    return Event(
        event_id=event_id,
        identity=identity_of(NAME, notice.id),
        provider=NAME,
        name=key(notice.type, "$.type"),
        kind=kind,
        order_ids=(key(notice.order, "$.order"),),
        occurred_at=occurred_at,
        received_at=received,
        provider_event_id=key(notice.id, "$.id"),
        status="delivered" if kind is Kind.DELIVERED else "placed" if kind is Kind.ORDER_CREATED else None,
    )


SIGNATURE = Hmac(header="X-Toyshop-Signature", prefix="sha256=")
PROVIDERS = {
    NAME: Contract(decode, lambda document: _SHAPE, SIGNATURE, models=(Notice,), kept_headers=("X-Toyshop-Branch",)),
}
