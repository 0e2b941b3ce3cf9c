"""supervisord as a child process: its configuration, start and stop, and the state of each process.

It restarts a process that ends, after a pause that grows while the process ends at once, and stops the services by priority.
It has its own session, so Ctrl-C in the terminal does not reach it.
"""

import configparser
import http.client
import io
import resource
import shlex
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from supervisor.xmlrpc import SupervisorTransport

from deploy.errors import CommandError
from deploy.local.data_dir import SUPERVISOR, DataDir
from deploy.local.services import NUMBER, VALKEY, Service

_START_SECONDS = 10
_START_RETRIES = 3
_FILES = 1024
_COMMENT_SIGNS = (" #", " ;")


class Process(NamedTuple):
    """A process as supervisord reports it. `state` is supervisord's: STARTING, RUNNING, BACKOFF, EXITED, FATAL, ..."""

    service: str
    name: str
    state: str
    pid: int


class Supervisor:
    """One supervisord and its services. Only Valkey starts automatically; the others start with `start_service`."""

    def __init__(self, data_dir: DataDir, services: Sequence[Service], environment: Mapping[str, str]) -> None:
        self._data_dir, self._services, self._environment = data_dir, services, environment
        self._sockets = tempfile.TemporaryDirectory(prefix="curbside-")  # a socket's path is limited to about 100 bytes
        self._socket = Path(self._sockets.name) / "control"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start supervisord. It writes its own log."""
        config = self._data_dir.run / "supervisord.conf"
        config.write_text(config_text(self._data_dir, self._services, self._socket))
        command = wrapped_command(
            str(self._data_dir.lock(SUPERVISOR)), (sys.executable, "-m", "supervisor.supervisord", "-c", str(config))
        )
        with self._data_dir.log(SUPERVISOR).open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own command
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def has_ended(self) -> bool:
        """Whether supervisord has ended."""
        return self._child is None or self._child.poll() is not None

    def processes(self) -> list[Process]:
        """Return all processes; none while supervisord does not answer."""
        infos: Any = self._call("getAllProcessInfo") or []
        return [Process(each["group"], each["name"], each["statename"], each["pid"]) for each in infos]

    def start_service(self, service: str) -> None:
        """Start all processes of a service that do not run, without waiting for them."""
        self._call("startProcessGroup", service, False)

    def stop(self) -> None:
        """Stop all services in order, then supervisord. Returns when it has ended, within the services' time limits."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(sum(service.stop_seconds for service in self._services) + 5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._sockets.cleanup()

    def _call(self, method: str, *arguments: object) -> object:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except (OSError, http.client.HTTPException, xmlrpc.client.Error):
                return None


def wrapped_command(lock: str, command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` in the exec wrapper, which holds the lock."""
    return [sys.executable, "-m", "deploy.local.exec_wrapper", lock, *command]


def config_text(data_dir: DataDir, services: Sequence[Service], socket: Path) -> str:
    """Return supervisord's configuration, without secrets: processes inherit the environment.

    Raises CommandError for a path that the file's format cannot hold.
    """
    for path in (sys.prefix, data_dir.root):
        if any(sign in str(path) for sign in _COMMENT_SIGNS):
            raise CommandError(
                f"The path {path} holds ' #' or ' ;', where supervisord begins a comment: use a directory with another name."
            )
    config = configparser.RawConfigParser()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    config["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        "logfile": _literal(data_dir.log(SUPERVISOR)),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": _literal(data_dir.run / "supervisord.pid"),
        "minfds": str(min(files, _FILES)),
    }
    config["unix_http_server"] = {"file": _literal(socket)}
    config["rpcinterface:supervisor"] = {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"}
    for service in services:
        config[f"program:{service.name}"] = _program(data_dir, service)
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _program(data_dir: DataDir, service: Service) -> dict[str, str]:
    name = "%(program_name)s" if service.processes == 1 else "%(program_name)s%(process_num)s"
    lock = f"{_literal(data_dir.run)}/{name}.lock"
    command = wrapped_command(lock, [_literal(each).replace(NUMBER, "%(process_num)s") for each in service.command])
    return {
        "command": shlex.join(command),
        "process_name": name,
        "numprocs": str(service.processes),
        "numprocs_start": "1",
        "priority": str(service.priority),
        "autostart": str(service.name == VALKEY).lower(),
        "autorestart": "true",
        "startsecs": str(_START_SECONDS),
        "startretries": str(_START_RETRIES),
        "stopsignal": "TERM",
        "stopwaitsecs": str(service.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"{_literal(data_dir.logs)}/{name}.log",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }


def _literal(text: str | Path) -> str:
    """Escape `%`, which begins a placeholder in supervisord's configuration."""
    return str(text).replace("%", "%%")
