"""Names of Celery tasks and queues, and the settings that whoever sends or runs one must share.

A doorbell's message carries no event: it only says that there is something to do.
"""

from typing import Any

DRAIN = "curbside.drain"
HANDLE = "curbside.handle"
DELIVER = "curbside.deliver"
HOUSEKEEP = "curbside.housekeep"

LANE_RETRY = "retry"
"""No lane with a loop: the queue of all retries, each a task of its own."""
LANE_DELIVER = "deliver"
LANE_HOUSEKEEP = "housekeep"


def task_of(lane: str) -> str:
    """The task that works a lane: `drain`, `deliver`, `housekeep`, or else the handler of that name."""
    return {"drain": DRAIN, LANE_DELIVER: DELIVER, LANE_HOUSEKEEP: HOUSEKEEP}.get(lane, f"{HANDLE}.{lane}")


def retry_task_of(handler: str) -> str:
    """The task that tries one failed event again, under a name that an operator understands: `refunds.retry`."""
    return f"{handler}.retry"


def queue_of(lane: str) -> str:
    """Each lane has a queue of its own, so that no lane's messages wait behind another's."""
    return f"curbside.{lane}"


def broker_options(broker_url: str) -> dict[str, Any]:
    """Celery settings for every producer and worker. A doorbell that cannot be sent at once is not worth waiting for."""
    return {
        "broker_url": broker_url,
        "task_ignore_result": True,
        "task_send_sent_event": True,
        "task_create_missing_queues": True,
        "broker_connection_timeout": 2,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "visibility_timeout": 3600,
            "global_keyprefix": "curbside:",
            # kombu connects once more and gives up, where it would try for two seconds for each doorbell
            "max_retries": 1,
            "interval_start": 0,
        },
        "task_publish_retry": False,
    }
