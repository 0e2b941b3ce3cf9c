"""`curbside run`, from the first check to the last part's end.

Everything acknowledged is on disk at any moment, so however this ends, the next run carries on with it.
"""

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from deploy import generated
from deploy.errors import NOT_DONE, CommandError
from deploy.local import banner, services
from deploy.local.data_dir import Folder, clear_leftovers, only_one, open_folder
from deploy.local.logs import Tail, last_line
from deploy.local.one_off import Errand
from deploy.local.ports import check_ports, listeners_of
from deploy.local.private import UMASK, refuse_shared, tighten
from deploy.local.process_monitor import Watch
from deploy.local.supervisor import Supervisor
from deploy.local.terminal import Screen
from schemas.settings import Settings

_LOOK_SECONDS = 0.25
_LOADING_PATIENCE_S = 300.0
_AWAY_PATIENCE_S = 10.0
_READY_PATIENCE_S = 60.0
_LEFTOVER_PATIENCE_S = 30.0


class Stop:
    """Whether we were asked to stop: Ctrl-C, SIGTERM or a closed terminal, however often."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True


def run(environment: Mapping[str, str], screen: Screen, errand: Errand | None = None) -> int:
    """Start all parts, watch over them until told to stop or the errand is done, stop them in order. The exit code.

    Raises CommandError or SettingError before any starts.
    """
    stop = Stop()
    os.umask(UMASK)  # and so of all parts
    root = generated.path_in(environment).parent
    refuse_shared(root)
    folder = open_folder(root)
    if opened := tighten(folder):
        screen.say(f"{folder.root}: others had rights to {opened} of its files and folders; now its owner alone has", "yellow")
    with only_one(folder):
        clear_leftovers(folder, _LEFTOVER_PATIENCE_S, screen.say)
        settings = _settings(environment, folder)
        embedded_valkey = not environment.get("REDIS_URL")
        check_ports(listeners_of(settings, embedded_valkey=embedded_valkey))
        if embedded_valkey:
            services.valkey_config_path(folder).write_text(services.valkey_config(settings, folder))
        chosen = services.parts_of(settings, folder, embedded_valkey=embedded_valkey)
        supervisor = Supervisor(folder, chosen, _environment_of_parts(environment, folder))
        run_of_parts = _Run(settings, folder, chosen, supervisor, screen, stop, errand)
        return run_of_parts.whole(environment)


class _Run:
    """The time from the first part's start to the last one's end."""

    def __init__(
        self,
        settings: Settings,
        folder: Folder,
        chosen: list[services.Part],
        supervisor: Supervisor,
        screen: Screen,
        stop: Stop,
        errand: Errand | None,
    ) -> None:
        self._settings, self._folder, self._parts, self._errand = settings, folder, chosen, errand
        self._supervisor, self._screen, self._stop = supervisor, screen, stop
        self._watch = Watch(supervisor, folder)
        self._tails = {name: Tail(folder.log(name)) for part in chosen for name in part.process_names}

    def whole(self, environment: Mapping[str, str]) -> int:
        """Start, tell, watch, stop."""
        try:
            self._supervisor.start()
            if self._valkey_is_ready():
                self._start_others()
                if not self._over:
                    self._screen.banner(banner.sections(self._settings, self._folder, environment))
                    if self._errand:
                        self._errand.start(self._folder, _environment_of_parts(environment, self._folder))
            while not self._over:
                self._look()
        finally:
            self._screen.waiting(None)
            exit_code = self._errand.end() if self._errand else 0
            ended_by_itself = self._supervisor.has_ended and not self._stop.asked
            self._end()
        if ended_by_itself:
            raise CommandError(f"The supervisor ended: {last_line(self._folder.log('supervisord'))}", NOT_DONE)
        self._screen.say("stopped; everything accepted is kept, and the next run carries on with it")
        return exit_code

    @property
    def _over(self) -> bool:
        return self._stop.asked or self._supervisor.has_ended or (self._errand is not None and self._errand.has_ended)

    def _look(self) -> None:
        """Show what is new, and rest a little."""
        for sentence in self._watch.look():
            self._screen.say(sentence, "yellow")
        self._show_logs()
        time.sleep(_LOOK_SECONDS)

    def _show_logs(self) -> None:
        for name, tail in self._tails.items():
            for line, loud in tail.lines():
                self._screen.part(name, line, loud=loud)

    def _valkey_is_ready(self) -> bool:
        """Wait for Valkey, which reads all its data first; what needs it starts after it. False if we are to stop."""
        from deploy.local import readiness  # noqa: PLC0415 - Celery is slow to import; what keeps a run from starting is said first

        self._screen.waiting("Valkey reads its data ...")
        embedded = any(part.name == services.VALKEY for part in self._parts)
        give_up = time.monotonic() + (_LOADING_PATIENCE_S if embedded else _AWAY_PATIENCE_S)
        while not self._over and not readiness.valkey_answers(self._settings.redis_url):
            if time.monotonic() > give_up:
                self._screen.say("Valkey does not answer; the other parts start all the same and wait for it", "yellow")
                break
            self._look()
        return not self._over

    def _start_others(self) -> None:
        """Start the rest and wait until each does its work; past the limit, say which does not, and go on."""
        from deploy.local import readiness  # noqa: PLC0415 - see above

        for part in self._parts:
            if part.name != services.VALKEY:
                self._supervisor.start_part(part.name)
        waiting = dict(readiness.checks_of(self._settings))
        titles = {part.name: part.title for part in self._parts}
        give_up = time.monotonic() + _READY_PATIENCE_S
        while waiting and not self._over:
            self._screen.waiting(f"waiting for {', '.join(titles[name] for name in waiting)} ...")
            self._look()
            waiting = {name: is_ready for name, is_ready in waiting.items() if not is_ready()}
            if time.monotonic() > give_up:
                break
        self._screen.waiting(None)
        if waiting and not self._over:
            late = ", ".join(titles[name] for name in waiting)
            self._screen.say(f"not ready after {_READY_PATIENCE_S:.0f} s: {late}; see {self._folder.logs}", "bold red")

    def _end(self) -> None:
        titles = [part.title for part in reversed(self._parts)]
        self._screen.say(f"stopping in order: {', '.join(titles)} ...")
        self._supervisor.stop()
        clear_leftovers(self._folder, _LEFTOVER_PATIENCE_S, self._screen.say)
        self._show_logs()
        for tail in self._tails.values():
            tail.close()


def _settings(environment: Mapping[str, str], folder: Folder) -> Settings:
    path = folder.root / generated.FILE_NAME
    try:
        generated.generate_missing(environment)
    except OSError as error:
        raise CommandError(f"CURBSIDE_DATA_DIR: cannot keep the generated secrets in {path}: {error.strerror}.") from error
    return generated.load_settings(environment)


def _environment_of_parts(environment: Mapping[str, str], folder: Folder) -> dict[str, str]:
    """What the parts read their settings from; secrets reach them in no other way."""
    return generated.with_generated(environment) | {"CURBSIDE_DATA_DIR": str(folder.root), "PYTHONUNBUFFERED": "1"}
