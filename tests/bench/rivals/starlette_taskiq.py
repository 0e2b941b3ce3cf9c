"""Starlette and taskiq over Redis streams, which acknowledges after the work. As a program it enqueues each line of a file."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from taskiq import Context, TaskiqDepends, TaskiqEvents
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ.get("BENCH_BROKER_URL", "redis://127.0.0.1:6379/0"), consumer_id="0")
_SQL = Path(__file__).with_name("rows.sql").read_text()
_AT_ONCE = 50
_CONTEXT = TaskiqDepends()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def connect(state: Any) -> None:
    """A pool of connections for each worker process."""
    state.database = await asyncpg.create_pool(min_size=10, max_size=10)


@broker.task(task_name="handle")
async def handle(body: str, context: Context = _CONTEXT) -> None:
    """Write the event's rows."""
    await context.state.database.execute(_SQL, body)


async def webhook(request: Request) -> Response:
    """Enqueue one event."""
    await handle.kiq((await request.body()).decode())
    return Response(b'{"status":"ok"}', media_type="application/json")


app = Starlette(routes=[Route("/webhook", webhook, methods=["POST"])])


async def _enqueue(bodies: list[str]) -> None:
    await broker.startup()
    for start in range(0, len(bodies), _AT_ONCE):
        await asyncio.gather(*(handle.kiq(body) for body in bodies[start : start + _AT_ONCE]))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_enqueue(Path(sys.argv[1]).read_text().splitlines()))
