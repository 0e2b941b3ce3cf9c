"""Background jobs that run for the lifetime of the ingress. Accepting an event needs none of them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine

AGAIN_SECONDS = 0.1
"""Time between two attempts to cancel."""

log = logging.getLogger("curbside.ingress")


@contextlib.asynccontextmanager
async def running(**jobs: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run the jobs while the context is open. A job that fails before is logged as a bug; the others continue."""
    tasks = [asyncio.create_task(job, name=name) for name, job in jobs.items()]
    for task in tasks:
        task.add_done_callback(_report)
    try:
        yield
    finally:
        await _stop(set(tasks))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a bug in the ingress: the %s job ended", task.get_name(), exc_info=error)


async def _stop(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: before Python 3.12, `asyncio.wait_for` (used by redis-py) may swallow a cancellation."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=AGAIN_SECONDS)
