"""Whole systems side by side: what each needs to take events in over HTTP and to write their rows to PostgreSQL.

Each has one ingress process and two worker processes, one Valkey with the same durability, and its own database on one
PostgreSQL.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import backlog, load, servers
from tests.bench.bodies import Posted
from tests.bench.environments import node, python_with
from tests.bench.postgresql import Postgresql
from tests.bench.processes import ROOT, StartError, free_port, is_listening, python, running

RIVALS = Path(__file__).with_name("rivals")
_UVICORN = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
_ENQUEUE_SECONDS = 300


@dataclass(frozen=True)
class Contender:
    """`server` gets the port appended; `workers` are the two processes' commands (one, if it starts the other itself)."""

    name: str
    server: tuple[str, ...]
    workers: tuple[tuple[str, ...], ...]
    enqueue: tuple[str, ...] = ()
    """A command that gets a file of bodies appended; none for ours, which appends to the inbox as the ingress does."""

    @property
    def is_ours(self) -> bool:
        """Whether it is Curbside."""
        return not self.enqueue


CURBSIDE, CELERY, ARQ, TASKIQ, BULLMQ = (
    "Curbside",
    "Celery (FastAPI)",
    "arq (Starlette)",
    "taskiq (Starlette)",
    "BullMQ (Fastify)",
)


def curbside(workers: int = 2, *, urgent: bool = False) -> Contender:
    """Curbside as deployed: an ingress and workers of all queues. `urgent`: one more worker, for urgent queues, as in `make run`."""
    server = python("-m", "ingress", "--loglevel=WARNING", "--port")
    worker = python("-m", "workers", "--loglevel=WARNING")
    bulk = (*worker, f"--role={'bulk' if urgent else 'all'}")
    started = [(*worker, "--role=urgent")] if urgent else []
    return Contender(
        CURBSIDE, tuple(server), (*started, *((*bulk, "-n", f"worker{number}@bench") for number in range(workers)))
    )


def contenders() -> list[Contender]:
    """Ours, and the rivals that can run here; installs what they need."""
    main, arq, javascript = python_with("requirements.txt"), python_with("requirements-arq.txt"), node()
    rivals = "tests.bench.rivals"
    celery = (main, "-m", "celery", "-A", f"{rivals}.fastapi_celery:celery", "worker", "-c", "2", "--loglevel=WARNING")
    taskiq = (main, "-m", "taskiq", "worker", "--workers", "2", "--max-async-tasks", "50", "--log-level", "WARNING")
    arq_module = f"{rivals}.starlette_arq"
    found = [
        curbside(),
        Contender(
            CELERY,
            _uvicorn(main, f"{rivals}.fastapi_celery:app"),
            ((*celery, "--without-gossip", "--without-mingle"),),
            (main, "-m", f"{rivals}.fastapi_celery"),
        ),
        Contender(
            ARQ, _uvicorn(arq, f"{arq_module}:app"), ((arq, "-m", arq_module, "work"),) * 2, (arq, "-m", arq_module, "enqueue")
        ),
        Contender(
            TASKIQ,
            _uvicorn(main, f"{rivals}.starlette_taskiq:app"),
            ((*taskiq, f"{rivals}.starlette_taskiq:broker"),),
            (main, "-m", f"{rivals}.starlette_taskiq"),
        ),
    ]
    if javascript:
        found.append(Contender(BULLMQ, (*javascript, "serve"), ((*javascript, "work"),) * 2, (*javascript, "enqueue")))
    return found


def _uvicorn(interpreter: str, app: str) -> tuple[str, ...]:
    return (interpreter, "-m", "uvicorn", app, *_UVICORN, "--port")


@dataclass(frozen=True)
class Site:
    """One contender's own Valkey and database, both empty but for the tables."""

    contender: Contender
    folder: Path
    valkey: servers.Server
    database_url: str
    postgresql: Postgresql
    environment: Mapping[str, str]

    def preload(self, posted: Sequence[Posted]) -> None:
        """Have events wait, enqueued by the contender's own calls."""
        if self.contender.is_ours:
            backlog.preload(self.valkey.url, posted)
            return
        bodies = load.write_bodies(self.folder / "backlog", posted)
        done = subprocess.run(
            [*self.contender.enqueue, str(bodies)],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=_ENQUEUE_SECONDS,
            check=False,
        )
        if done.returncode:
            raise StartError(f"{self.contender.name} could not enqueue: {done.stderr[-800:]}")

    @contextlib.contextmanager
    def workers(self) -> Iterator[list[int]]:
        """Its worker processes, starting; gives the ids of those that we started."""
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(running(command, lambda: True, self.folder / f"worker{number}.log", self.environment))
                for number, command in enumerate(self.contender.workers)
            ]

    @contextlib.contextmanager
    def server(self) -> Iterator[servers.Server]:
        """Its ingress, listening."""
        port = free_port()
        command = [*self.contender.server, str(port)]
        with running(command, lambda: is_listening(port), self.folder / "server.log", self.environment) as pid:
            url = f"http://127.0.0.1:{port}/webhook"
            yield servers.Server(url, pid, servers.bearer(url) if self.contender.is_ours else "Bearer none")


@contextlib.contextmanager
def site(contender: Contender, folder: Path, postgresql: Postgresql) -> Iterator[Site]:
    """A fresh Valkey, and a fresh database with tables."""
    with servers.valkey(folder) as valkey, postgresql.database() as url:
        if contender.is_ours:
            environment = servers.curbside_environment(valkey.url, folder) | {"DATABASE_URL": url}
            backlog.migrate(environment)
        else:
            with postgresql.connect(url) as connection:
                connection.execute((RIVALS / "schema.sql").read_bytes())
            environment = {"BENCH_BROKER_URL": valkey.url, "BENCH_SQL": str(RIVALS / "rows.sql")} | postgresql.environment(url)
        yield Site(contender, folder, valkey, url, postgresql, environment)
