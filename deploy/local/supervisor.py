"""supervisord, as a child: its configuration, its start and end, and what it knows of each process.

It starts a process again whenever it ends, waiting a little longer each time it ends at once, and stops the parts in the
order of their priorities. It runs in a session of its own, so that Ctrl-C in the terminal reaches only us.
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
from deploy.local.data_dir import SUPERVISOR, Folder
from deploy.local.services import NUMBER, VALKEY, Part

_ALIVE_SECONDS = 10
_TRIES = 3
_FILES = 1024
_COMMENT_SIGNS = (" #", " ;")


class Process(NamedTuple):
    """A process as supervisord sees it. `state` is one of its words: STARTING, RUNNING, BACKOFF, EXITED, FATAL, ..."""

    part: str
    name: str
    state: str
    pid: int


class Supervisor:
    """One supervisord and its programs. Only Valkey starts by itself; the rest when `start_part` says so."""

    def __init__(self, folder: Folder, parts: Sequence[Part], environment: Mapping[str, str]) -> None:
        self._folder, self._parts, self._environment = folder, parts, environment
        self._sockets = tempfile.TemporaryDirectory(prefix="curbside-")  # a socket's path may have about 100 bytes only
        self._socket = Path(self._sockets.name) / "control"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start supervisord; its own log says what it does."""
        config = self._folder.run / "supervisord.conf"
        config.write_text(config_text(self._folder, self._parts, self._socket))
        command = guarded(
            str(self._folder.lock(SUPERVISOR)), (sys.executable, "-m", "supervisor.supervisord", "-c", str(config))
        )
        with self._folder.log(SUPERVISOR).open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own command
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def has_ended(self) -> bool:
        """Whether supervisord itself is gone."""
        return self._child is None or self._child.poll() is not None

    def processes(self) -> list[Process]:
        """All processes; none while supervisord does not answer yet, or no longer."""
        infos: Any = self._call("getAllProcessInfo") or []
        return [Process(each["group"], each["name"], each["statename"], each["pid"]) for each in infos]

    def start_part(self, part: str) -> None:
        """Start all of a part that does not run, without waiting for it."""
        self._call("startProcessGroup", part, False)

    def stop(self) -> None:
        """Stop all parts in order, then supervisord. Returns when it has ended, within the parts' own limits."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(sum(part.stop_seconds for part in self._parts) + 5)
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


def guarded(lock: str, command: Sequence[str]) -> list[str]:
    """The command under its guard, which holds the lock."""
    return [sys.executable, "-m", "deploy.local.exec_wrapper", lock, *command]


def config_text(folder: Folder, parts: Sequence[Part], socket: Path) -> str:
    """The configuration file. It holds no secret: the processes inherit the environment. Raises CommandError for a path it cannot hold."""
    for path in (sys.prefix, folder.root):
        if any(sign in str(path) for sign in _COMMENT_SIGNS):
            raise CommandError(
                f"The path {path} holds ' #' or ' ;', which supervisor takes for a comment: use a folder of another name."
            )
    config = configparser.RawConfigParser()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    config["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        "logfile": _literal(folder.log(SUPERVISOR)),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": _literal(folder.run / "supervisord.pid"),
        "minfds": str(min(files, _FILES)),
    }
    config["unix_http_server"] = {"file": _literal(socket)}
    config["rpcinterface:supervisor"] = {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"}
    for part in parts:
        config[f"program:{part.name}"] = _program(folder, part)
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _program(folder: Folder, part: Part) -> dict[str, str]:
    name = "%(program_name)s" if part.processes == 1 else "%(program_name)s%(process_num)s"
    lock = f"{_literal(folder.run)}/{name}.lock"
    command = guarded(lock, [_literal(each).replace(NUMBER, "%(process_num)s") for each in part.command])
    return {
        "command": shlex.join(command),
        "process_name": name,
        "numprocs": str(part.processes),
        "numprocs_start": "1",
        "priority": str(part.priority),
        "autostart": str(part.name == VALKEY).lower(),
        "autorestart": "true",
        "startsecs": str(_ALIVE_SECONDS),
        "startretries": str(_TRIES),
        "stopsignal": "TERM",
        "stopwaitsecs": str(part.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"{_literal(folder.logs)}/{name}.log",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }


def _literal(text: str | Path) -> str:
    """Text in which supervisor sees no placeholder."""
    return str(text).replace("%", "%%")
