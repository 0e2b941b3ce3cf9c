"""Starlette and arq. As a program: `enqueue FILE` enqueues each line, `work` is one worker process.

Set for speed where its defaults are slow: it looks for jobs a hundred times a second instead of twice, and takes 500 at a time.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import asyncpg
from arq import create_pool, run_worker
from arq.connections import RedisSettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_BROKER = RedisSettings.from_dsn(os.environ.get("BENCH_BROKER_URL", "redis://127.0.0.1:6379/0"))
_SQL = Path(__file__).with_name("rows.sql").read_text()
_AT_ONCE = 50


async def webhook(request: Request) -> Response:
    """Enqueue one event."""
    state = request.app.state
    if not hasattr(state, "pool"):
        state.pool = asyncio.ensure_future(create_pool(_BROKER))
    await (await state.pool).enqueue_job("handle", (await request.body()).decode())
    return Response(b'{"status":"ok"}', media_type="application/json")


app = Starlette(routes=[Route("/webhook", webhook, methods=["POST"])])


async def handle(context: dict[str, Any], body: str) -> None:
    """Write the event's rows."""
    await context["database"].execute(_SQL, body)


async def connect(context: dict[str, Any]) -> None:
    """A pool of connections for each worker process."""
    context["database"] = await asyncpg.create_pool(min_size=10, max_size=10)


class WorkerSettings:
    """What arq reads."""

    functions = (handle,)
    on_startup = connect
    redis_settings = _BROKER
    max_jobs = _AT_ONCE
    queue_read_limit = 500
    poll_delay = 0.01
    keep_result = 0


async def _enqueue(bodies: list[str]) -> None:
    pool = await create_pool(_BROKER)
    for start in range(0, len(bodies), _AT_ONCE):
        await asyncio.gather(*(pool.enqueue_job("handle", body) for body in bodies[start : start + _AT_ONCE]))
    await pool.aclose()


if __name__ == "__main__":
    if sys.argv[1] == "work":
        run_worker(WorkerSettings)
    else:
        asyncio.run(_enqueue(Path(sys.argv[2]).read_text().splitlines()))
