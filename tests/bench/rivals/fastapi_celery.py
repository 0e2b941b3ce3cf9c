"""FastAPI and `task.delay()` for each request, as the tutorials show it; without authentication, which favours it.

`app` calls `delay` in the event loop, `threaded` in FastAPI's thread pool. The broker is `BENCH_BROKER_URL`; a worker writes to
the database of PGHOST and PGDATABASE. As a program it enqueues each line of a file.
"""

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from fastapi import FastAPI, Request

celery = Celery("rival", broker=os.environ.get("BENCH_BROKER_URL", "redis://127.0.0.1:6379/0"))
celery.conf.update(task_ignore_result=True)

_SQL = Path(__file__).with_name("rows.sql").read_bytes()


@functools.cache
def _cursor() -> psycopg.RawCursor:
    """One connection for each process of the pool."""
    return psycopg.RawCursor(psycopg.connect(autocommit=True))


@celery.task(name="rival.handle")  # type: ignore[untyped-decorator]
def handle(body: str) -> None:
    """Write the event's rows."""
    _cursor().execute(_SQL, (body,))


app = FastAPI()
threaded = FastAPI()


@app.post("/webhook")
async def webhook(request: Request) -> dict[str, str]:
    """Enqueue one event."""
    handle.delay((await request.body()).decode())
    return {"status": "ok"}


@threaded.post("/webhook")
def threaded_webhook(event: dict[str, Any]) -> dict[str, str]:
    """Enqueue one event from a thread, which cannot read the body itself."""
    handle.delay(json.dumps(event))
    return {"status": "ok"}


if __name__ == "__main__":
    for line in Path(sys.argv[1]).read_text().splitlines():
        handle.delay(line)
