"""Background jobs: they run as long as the ingress does. None of them is needed to accept an event."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine

AGAIN_SECONDS = 0.1
"""Pause between two attempts to cancel a job."""

log = logging.getLogger("curbside.ingress")


@contextlib.asynccontextmanager
async def running(**jobs: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run the jobs while the context is open. A job that ends early is a bug: it is logged, and the others continue."""
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
    """Cancel until all have ended. Before Python 3.12 `asyncio.wait_for`, which redis-py uses, may swallow a cancellation."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=AGAIN_SECONDS)
