"""FastAPI and `task.delay()` for each request, as the tutorials show it; without authentication, which favours it.

`app` calls `delay` in the event loop, `threaded` in FastAPI's thread pool. The broker is `BENCH_BROKER_URL`.
"""

import os
from typing import Any

from celery import Celery
from fastapi import FastAPI, Request

celery = Celery("rival", broker=os.environ.get("BENCH_BROKER_URL", "redis://127.0.0.1:6379/0"))
celery.conf.update(task_ignore_result=True)


@celery.task(name="rival.handle")  # type: ignore[untyped-decorator]
def handle(event: dict[str, Any]) -> None:
    """Nothing: only the acknowledgement is measured."""


app = FastAPI()
threaded = FastAPI()


@app.post("/webhook")
async def webhook(request: Request) -> dict[str, str]:
    """Enqueue one event."""
    handle.delay(await request.json())
    return {"status": "ok"}


@threaded.post("/webhook")
def threaded_webhook(event: dict[str, Any]) -> dict[str, str]:
    """Enqueue one event from a thread."""
    handle.delay(event)
    return {"status": "ok"}
