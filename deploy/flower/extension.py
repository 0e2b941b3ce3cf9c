"""Extends stock Flower through the extension points that it has. Nothing of Flower is patched at run time.

The extension points: the list of routes and the settings in `flower.urls` (the template loader and `transforms`, which are
Tornado's settings; `events`, a parameter of Flower's application), the parse callbacks of its options, the template block
`extra_scripts`, the base classes of its request handlers, and the metrics registry behind `/metrics`.
`tests/unit/test_flower.py` names them and fails if one changes. It and the tests in `tests/e2e` pass on Flower 2.1.0 and 2.2.0.
"""

from pathlib import Path
from typing import Any

import flower.urls
from celery import Celery
from prometheus_client import REGISTRY
from tornado import ioloop, template
from tornado.web import url

from deploy.flower.api import RetryEvent, RetryGroup, RetrySearch, RetryTask
from deploy.flower.failure_sync import CurbsideEvents
from deploy.flower.metrics import Metrics
from deploy.flower.page import FailuresPage
from deploy.flower.retry_service import RetryService
from schemas.settings import Settings
from workers.failures.failure_store import FailureStore
from workers.handler import registered
from workers.valkey.connection import connect

_TEMPLATES = Path(__file__).with_name("templates")
_STOCK = "stock/"


def extend(celery: Celery, options: Any, settings: Settings) -> None:
    """Extend the Flower that is starting with these options."""
    client = connect(settings.redis_url)
    failures = FailureStore(client)
    REGISTRY.register(Metrics(client, [each.name for each in registered(settings.handler_modules)]))
    arguments = {"service": RetryService(failures, celery)}
    flower.urls.handlers[:0] = [
        url(r"/failures", FailuresPage, {"failures": failures}, name="failures"),
        url(r"/api/failures/retry/task/([^/]+)", RetryTask, arguments),
        url(r"/api/failures/retry/event", RetryEvent, arguments),
        url(r"/api/failures/retry/group", RetryGroup, arguments),
        url(r"/api/failures/retry/search", RetrySearch, arguments),
    ]
    flower.urls.settings["template_loader"] = TemplateLoader(Path(flower.urls.settings["template_path"]))
    flower.urls.settings["events"] = CurbsideEvents(
        failures,
        celery,
        io_loop=ioloop.IOLoop.current(),
        db=options.db,
        persistent=options.persistent,
        state_save_interval=options.state_save_interval,
        enable_events=options.enable_events,
        max_workers_in_memory=options.max_workers,
        max_tasks_in_memory=options.max_tasks,
    )


class TemplateLoader(template.BaseLoader):
    """Loads Curbside's templates before Flower's. A template may extend the one that it replaces as `stock/…`."""

    def __init__(self, stock: Path) -> None:
        super().__init__()
        self._stock = stock

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        """Return the name: all names are absolute."""
        return name

    def _create_template(self, name: str) -> template.Template:
        ours = _TEMPLATES / name
        path = ours if ours.is_file() else self._stock / name.removeprefix(_STOCK)
        return template.Template(path.read_bytes(), name=name, loader=self)
