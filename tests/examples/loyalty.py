import os
from collections.abc import Sequence

import httpx

from workers.handler import DependencyUnavailableError, Event, Kind, PermanentError, UnitOfWork, handler

_service = httpx.Client(base_url=os.environ["LOYALTY_URL"], timeout=5)


@handler("loyalty", Kind.DELIVERED)
def loyalty(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Tell the loyalty service of every delivered order."""
    for event in events:
        try:
            answer = _service.post(
                "/points", json={"orders": event.order_ids}, headers={"Idempotency-Key": f"loyalty:{event.identity}"}
            )
        except httpx.TransportError as error:  # no answer: nobody's event is at fault, so all of them wait
            raise DependencyUnavailableError("the loyalty service") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise DependencyUnavailableError(f"the loyalty service ({answer.status_code})")
        if answer.is_error:  # it will never take this one
            raise PermanentError(f"the loyalty service answered {answer.status_code}")
