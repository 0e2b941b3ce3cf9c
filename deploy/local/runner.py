"""`curbside run`, from the first check to the end of the last service.

Every acknowledged event is on disk at any moment. However a run ends, the next one continues with the same events.
"""

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from deploy import generated
from deploy.errors import NOT_DONE, CommandError
from deploy.local import banner, services
from deploy.local.data_dir import DataDir, exclusive_use, open_data_dir, stop_leftovers
from deploy.local.logs import Tail, last_line
from deploy.local.one_off import OneOff
from deploy.local.ports import check_ports, listeners_of
from deploy.local.private import UMASK, reject_shared_directory, restrict_permissions
from deploy.local.process_monitor import ProcessMonitor
from deploy.local.supervisor import Supervisor
from deploy.local.terminal import Terminal
from schemas.settings import Settings

_POLL_SECONDS = 0.25
_LOADING_TIMEOUT_S = 300.0
_CONNECT_TIMEOUT_S = 10.0
_READY_TIMEOUT_S = 60.0
_LEFTOVER_TIMEOUT_S = 30.0


class StopRequest:
    """Whether the user asked to stop: Ctrl-C, SIGTERM or a closed terminal, once or more often."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, *_: Any) -> None:
        self.received = True


def run(environment: Mapping[str, str], terminal: Terminal, one_off: OneOff | None = None) -> int:
    """Start all services, monitor them until a stop request or the end of `one_off`, stop them in order. The exit code.

    Raises CommandError or SettingError before anything is started.
    """
    stop = StopRequest()
    os.umask(UMASK)  # services inherit it
    root = generated.path_in(environment).parent
    reject_shared_directory(root)
    data_dir = open_data_dir(root)
    if count := restrict_permissions(data_dir):
        terminal.message(
            f"{data_dir.root}: other users had permissions on {count} files or directories; they are now private", "yellow"
        )
    with exclusive_use(data_dir):
        stop_leftovers(data_dir, _LEFTOVER_TIMEOUT_S, terminal.message)
        settings = _settings(environment, data_dir)
        embedded_valkey = not environment.get("REDIS_URL")
        check_ports(listeners_of(settings, embedded_valkey=embedded_valkey))
        if embedded_valkey:
            services.valkey_config_path(data_dir).write_text(services.valkey_config(settings, data_dir))
        chosen = services.services_of(settings, data_dir, embedded_valkey=embedded_valkey)
        supervisor = Supervisor(data_dir, chosen, _service_environment(environment, data_dir))
        return _Run(settings, data_dir, chosen, supervisor, terminal, stop, one_off).run(environment)


class _Run:
    """The time from the start of the first service to the end of the last one."""

    def __init__(
        self,
        settings: Settings,
        data_dir: DataDir,
        chosen: list[services.Service],
        supervisor: Supervisor,
        terminal: Terminal,
        stop: StopRequest,
        one_off: OneOff | None,
    ) -> None:
        self._settings, self._data_dir, self._services, self._one_off = settings, data_dir, chosen, one_off
        self._supervisor, self._terminal, self._stop = supervisor, terminal, stop
        self._monitor = ProcessMonitor(supervisor, data_dir)
        self._tails = {name: Tail(data_dir.log(name)) for service in chosen for name in service.process_names}

    def run(self, environment: Mapping[str, str]) -> int:
        """Start the services, print the banner, monitor, stop. Returns the exit code."""
        try:
            self._supervisor.start()
            if self._valkey_is_ready():
                self._start_others()
                if not self._is_over:
                    self._terminal.banner(banner.sections(self._settings, self._data_dir, environment))
                    if self._one_off:
                        self._one_off.start(self._data_dir, _service_environment(environment, self._data_dir))
            while not self._is_over:
                self._poll()
        finally:
            self._terminal.waiting(None)
            exit_code = self._one_off.end() if self._one_off else 0
            ended_by_itself = self._supervisor.has_ended and not self._stop.received
            self._end()
        if ended_by_itself:
            raise CommandError(f"The supervisor ended: {last_line(self._data_dir.log('supervisord'))}", NOT_DONE)
        self._terminal.message("stopped; all accepted events are on disk, and the next run continues with them")
        return exit_code

    @property
    def _is_over(self) -> bool:
        return self._stop.received or self._supervisor.has_ended or (self._one_off is not None and self._one_off.has_ended)

    def _poll(self) -> None:
        """Print what is new, then sleep until the next poll."""
        for sentence in self._monitor.changes():
            self._terminal.message(sentence, "yellow")
        self._show_logs()
        time.sleep(_POLL_SECONDS)

    def _show_logs(self) -> None:
        for name, tail in self._tails.items():
            for line, is_warning in tail.lines():
                self._terminal.process_line(name, line, is_warning=is_warning)

    def _valkey_is_ready(self) -> bool:
        """Wait until Valkey has loaded its data; the services that need it start afterwards. False if the run is over."""
        from deploy.local import readiness  # noqa: PLC0415 - imports Celery, slowly: earlier errors are reported first

        self._terminal.waiting("Valkey is loading its data ...")
        embedded = any(service.name == services.VALKEY for service in self._services)
        deadline = time.monotonic() + (_LOADING_TIMEOUT_S if embedded else _CONNECT_TIMEOUT_S)
        while not self._is_over and not readiness.valkey_is_ready(self._settings.redis_url):
            if time.monotonic() > deadline:
                self._terminal.message("Valkey does not answer; the other services start now and wait for it", "yellow")
                break
            self._poll()
        return not self._is_over

    def _start_others(self) -> None:
        """Start the other services and wait until each is ready. After the limit, report which are not, and continue."""
        from deploy.local import readiness  # noqa: PLC0415 - see above

        for service in self._services:
            if service.name != services.VALKEY:
                self._supervisor.start_service(service.name)
        waiting = dict(readiness.checks_of(self._settings))
        titles = {service.name: service.title for service in self._services}
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while waiting and not self._is_over:
            self._terminal.waiting(f"waiting for {', '.join(titles[name] for name in waiting)} ...")
            self._poll()
            waiting = {name: is_ready for name, is_ready in waiting.items() if not is_ready()}
            if time.monotonic() > deadline:
                break
        self._terminal.waiting(None)
        if waiting and not self._is_over:
            late = ", ".join(titles[name] for name in waiting)
            self._terminal.message(f"not ready after {_READY_TIMEOUT_S:.0f} s: {late}; see {self._data_dir.logs}", "bold red")

    def _end(self) -> None:
        titles = [service.title for service in reversed(self._services)]
        self._terminal.message(f"stopping in order: {', '.join(titles)} ...")
        self._supervisor.stop()
        stop_leftovers(self._data_dir, _LEFTOVER_TIMEOUT_S, self._terminal.message)
        self._show_logs()
        for tail in self._tails.values():
            tail.close()


def _settings(environment: Mapping[str, str], data_dir: DataDir) -> Settings:
    path = data_dir.root / generated.FILE_NAME
    try:
        generated.generate_missing(environment)
    except OSError as error:
        raise CommandError(f"CURBSIDE_DATA_DIR: cannot keep the generated secrets in {path}: {error.strerror}.") from error
    return generated.load_settings(environment)


def _service_environment(environment: Mapping[str, str], data_dir: DataDir) -> dict[str, str]:
    """Return the environment that the services read their settings from. Secrets reach them in no other way."""
    return generated.with_generated(environment) | {"CURBSIDE_DATA_DIR": str(data_dir.root), "PYTHONUNBUFFERED": "1"}
