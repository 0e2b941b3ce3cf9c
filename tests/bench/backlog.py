"""A backlog: preloads the inbox as the ingress does, lets worker processes empty a queue, checks the sums."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import redis

from ingress.inbox import pack_append
from schemas import keys
from schemas.settings import load
from tests.bench.bodies import Posted
from tests.bench.processes import ROOT, StartError, python
from tests.bench.report import Numbers
from tests.bench.worker import Worked
from workers.handler import registered
from workers.ledger.ledger import Ledger
from workers.valkey.store import Store

_CHUNK = 500


class WrongSumError(Exception):
    """Events went missing or were counted twice: the rate would mean nothing."""


def preload(url: str, posted: Sequence[Posted]) -> None:
    """Append the bodies to the inbox, and make every consumer group."""
    client = redis.Redis.from_url(url, protocol=2)
    Store(client).ensure_groups([keys.INBOX, *(keys.todo(handler.name) for handler in registered())])
    connection = client.connection_pool.get_connection()
    for start in range(0, len(posted), _CHUNK):
        chunk = posted[start : start + _CHUNK]
        connection.send_packed_command([b"".join(pack_append(*each) for each in chunk)])  # type: ignore[no-untyped-call]
        for _ in chunk:
            connection.read_response()
    client.close()


def work(queue: str, processes: int, environment: Mapping[str, str], most: int = 0) -> Numbers:
    """Empty a queue with worker processes; each processes at most `most` events (0: no limit). Timed from first batch to last commit."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_worker(queue, number, environment, most)) for number in range(processes)]
        for worker in workers:
            _line(worker)  # `ready`
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        did = [each for each in (msgspec.json.decode(_line(worker), type=Worked) for worker in workers) if each.events]
    events = sum(each.events for each in did)
    seconds = max(each.ended for each in did) - min(each.began for each in did)
    return {
        "per_second": events / seconds,
        "cpu_us": sum(each.cpu_seconds for each in did) / events * 1e6,
        "events": float(events),
    }


@contextlib.contextmanager
def _worker(queue: str, number: int, environment: Mapping[str, str], most: int) -> Iterator[subprocess.Popen[str]]:
    command = python("-m", "tests.bench.worker", queue, f"bench-{number}", str(most))
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
        process.wait(10)
    finally:
        process.kill()
        process.communicate()


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise StartError("a worker process ended before its work was done; what it wrote is above")
    return line


def migrate(environment: Mapping[str, str]) -> None:
    """Make the ledger's tables."""
    ledger = Ledger(load({**environment}))
    ledger.migrate()
    ledger.close()


def check_dispatched(url: str, received: int) -> None:
    """Every event has exactly one outcome, and all could be decoded. Raises `WrongSumError`."""
    client = redis.Redis.from_url(url, protocol=2)
    names = (keys.Counter.DUPLICATE, keys.Counter.ROUTED, keys.Counter.UNDECODABLE)
    outcomes = [int(client.hget(keys.COUNTERS, name) or 0) for name in names]
    client.close()
    if sum(outcomes) != received or outcomes[2]:
        raise WrongSumError(f"{received} received, but duplicate, routed, undecodable are {outcomes}")


def check_applied(url: str, handler: str) -> None:
    """Every event routed to the handler is applied. Raises `WrongSumError`."""
    client = redis.Redis.from_url(url, protocol=2)
    routed, applied = (client.hget(keys.COUNTERS, name(handler)) for name in (keys.Counter.routed, keys.Counter.applied))
    client.close()
    if routed is None or routed != applied:
        raise WrongSumError(f"{handler}: {routed!r} routed, {applied!r} applied")


def waiting(client: redis.Redis, handler: str) -> int:
    """Events that are routed to the handler and not yet applied."""
    routed, applied = (
        int(client.hget(keys.COUNTERS, name(handler)) or 0) for name in (keys.Counter.routed, keys.Counter.applied)
    )
    return routed - applied


def wait_for_consumers(client: redis.Redis, handler: str, count: int, seconds: float) -> None:
    """Wait until so many workers take a handler's events: until then they are starting, at the cost of everything else."""
    until = time.monotonic() + seconds
    while len(cast(list[Any], client.xinfo_consumers(keys.todo(handler), keys.GROUP))) < count:
        if time.monotonic() > until:
            raise StartError(f"fewer than {count} workers take events of {handler}")
        time.sleep(0.1)
