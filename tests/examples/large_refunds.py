"""A handler that alerts people: an order with five refunded lines or more is looked into.

HANDLER_MODULES=large_refunds curbside worker
"""

from collections.abc import Sequence

from workers.handler import URGENT, Alert, Event, Kind, UnitOfWork, handler

FROM_LINES = 5


@handler("large_refunds", Kind.ORDER_ITEM_REFUND, retry=URGENT)
def large_refunds(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write one alert for each such order, whichever of its events says so first."""
    for event in events:
        lines = sum(line.refunded for line in event.lines)
        if lines >= FROM_LINES:
            for order_id in event.order_ids:
                work.alert(
                    Alert(
                        idempotency_key=f"large_refund:{event.provider}:{order_id}",
                        topic="large_refund",
                        title=f"Order {order_id} has {lines} refunded lines",
                        data={"provider": event.provider, "order_id": order_id, "lines": lines},
                    )
                )
