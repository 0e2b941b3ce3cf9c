"""What the queues of one worker process share: settings, handlers, and access to Valkey and the broker."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from celery import Celery

from schemas.settings import Settings
from schemas.tasks import queue_name
from workers.broker import Broker
from workers.consumers.heartbeat import Heartbeat
from workers.consumers.notifier import Notifier
from workers.contract_drift import DriftMonitor
from workers.failures.failure_store import FailureStore
from workers.failures.retry_scheduler import RetryScheduler
from workers.handler import Handler
from workers.local_work import LocalWork
from workers.valkey.connection import connect
from workers.valkey.store import Store


@dataclass(frozen=True)
class Resources:
    """Safe to share between threads."""

    settings: Settings
    handlers: Sequence[Handler]
    store: Store
    broker: Broker
    local: LocalWork
    notifier: Notifier
    failures: FailureStore
    scheduler: RetryScheduler
    drift: DriftMonitor
    heartbeat: Heartbeat = field(default_factory=Heartbeat)


def open_resources(app: Celery, settings: Settings, handlers: Sequence[Handler]) -> Resources:
    """Create the resources. Each connects on its first use."""
    store, broker = Store(connect(settings.redis_url)), Broker(app)
    local = LocalWork(lambda queue: queue_name(queue) in app.amqp.queues.consume_from)
    failures = FailureStore(store.client)
    return Resources(
        settings,
        handlers,
        store,
        broker,
        local,
        Notifier(broker, store, local),
        failures,
        RetryScheduler(broker, failures, local),
        DriftMonitor(store.client),
    )
