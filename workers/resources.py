"""What the queues of one worker process share: settings, handlers, and access to Valkey and the broker."""

from collections.abc import Sequence
from dataclasses import dataclass

from celery import Celery

from schemas.settings import Settings
from workers.consumers.notifier import Notifier
from workers.contract_drift import DriftMonitor
from workers.failures.failure_store import FailureStore
from workers.failures.retry_scheduler import RetryScheduler
from workers.handler import Handler
from workers.valkey.connection import connect
from workers.valkey.store import Store


@dataclass(frozen=True)
class Resources:
    """Safe to share between threads."""

    settings: Settings
    handlers: Sequence[Handler]
    store: Store
    notifier: Notifier
    failures: FailureStore
    scheduler: RetryScheduler
    drift: DriftMonitor


def open_resources(app: Celery, settings: Settings, handlers: Sequence[Handler]) -> Resources:
    """Create the resources. Each connects on its first use."""
    store = Store(connect(settings.redis_url))
    failures = FailureStore(store.client)
    return Resources(
        settings,
        handlers,
        store,
        Notifier(app, store),
        failures,
        RetryScheduler(app, failures),
        DriftMonitor(store.client),
    )
