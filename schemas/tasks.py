"""Names of Celery tasks and queues, and the Celery settings that senders and workers share.

A notification carries no event: it only states that a queue has work.
"""

from typing import Any

from schemas import keys

DISPATCH = "curbside.dispatch"
RELEASE_0_1_DISPATCH = "curbside.drain"
HANDLE = "curbside.handle"
DELIVER = "curbside.deliver"
HOUSEKEEP = "curbside.housekeep"

RETRY_QUEUE = "retry"
"""The queue of all retries. It has no stream: each retry is a task of its own."""
DELIVER_QUEUE = "deliver"
HOUSEKEEP_QUEUE = "housekeep"
_TASKS = {
    keys.DISPATCH: DISPATCH,
    keys.RELEASE_0_1_DISPATCH: RELEASE_0_1_DISPATCH,
    DELIVER_QUEUE: DELIVER,
    HOUSEKEEP_QUEUE: HOUSEKEEP,
}


def task_name(queue: str) -> str:
    """The task that does a queue's work: `dispatch`, `deliver`, `housekeep`, or else the handler of that name."""
    return _TASKS.get(queue, f"{HANDLE}.{queue}")


def retry_task_name(handler: str) -> str:
    """The task that retries one failed event of a handler: `refunds.retry`."""
    return f"{handler}.retry"


def queue_name(queue: str) -> str:
    """The Celery queue. Each kind of work has its own, so that no message waits behind those of another."""
    return f"curbside.{queue}"


def broker_options(broker_url: str) -> dict[str, Any]:
    """Celery settings for every producer and worker. A notification that cannot be sent at once is not worth waiting for."""
    return {
        "broker_url": broker_url,
        "task_ignore_result": True,
        "task_send_sent_event": True,
        "task_create_missing_queues": True,
        "broker_connection_timeout": 2,
        "broker_connection_max_retries": None,
        "broker_transport_options": _AMQP_OPTIONS if broker_url.startswith(("amqp", "pyamqp")) else _REDIS_OPTIONS,
        "task_publish_retry": False,
    }


_REDIS_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "visibility_timeout": 3600,
    "global_keyprefix": "curbside:",
    # kombu connects once more and gives up, where it would try for two seconds for each notification
    "max_retries": 1,
    "interval_start": 0,
}
_AMQP_OPTIONS = {
    # a broker that hangs is noticed by its confirmation, which does not come; a message written to it is taken by the system
    "confirm_publish": True,
    "read_timeout": 5,
    "write_timeout": 5,
    "max_retries": 1,
    "interval_start": 0,
}
