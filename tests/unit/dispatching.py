"""A dispatcher over the components of a worker."""

from collections.abc import Callable, Sequence
from datetime import UTC

from tests.support.event_sums import BUILT_IN
from tests.support.worker_parts import WorkerParts
from workers.dispatcher import Dispatcher, Router
from workers.event_decoder import EventDecoder
from workers.handler import registered
from workers.valkey.entries import Entry

HOUR_MS = 3_600_000

CUT_OFF = b'{"event": "fulfillment.picking", "order_id": '


def dispatcher_of(worker_parts: WorkerParts, seen_ms: int = HOUR_MS) -> Callable[[Sequence[Entry]], None]:
    handlers = [each for each in registered() if each.name in BUILT_IN]
    return Dispatcher(
        worker_parts.store, worker_parts.notifier, Router(handlers), decoder=EventDecoder(UTC), seen_ms=seen_ms
    ).process
