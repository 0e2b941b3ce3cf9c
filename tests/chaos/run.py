"""One run: the deployment, the load, the faults in their turn, the end, the verdict."""

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.chaos.child import ROOT, Child
from tests.chaos.findings import Made, Wrong
from tests.chaos.kinds import KINDS, Kind
from tests.chaos.options import Options
from tests.chaos.schedule import Planned, conflicts, plan_faults
from tests.chaos.site import Site, opened
from tests.chaos.verdict import Verdict, judge, settle
from tests.chaos.watch import Watch

AT_ONCE = 2
_STOP_LOAD_SECONDS = 60.0
_HURRIED_SECONDS = 30.0
_LOOK_SECONDS = 0.05


class Progress(NamedTuple):
    """What has happened so far."""

    seconds: float
    acknowledged: int
    waiting: int
    faults: int
    lasting: tuple[str, ...]


class Faults:
    """Makes the planned faults, at most two at once. `made`: those that have ended."""

    def __init__(self, site: Site, planned: list[Planned]) -> None:
        self._site, self._planned = site, planned
        self.made = list[Made]()
        self.lasting = dict[int, Kind]()
        self._threads = list[threading.Thread]()

    def look(self, seconds: float) -> None:
        """Begin the first fault that is due, `seconds` after the begin of the load, and that nothing else is in the way of."""
        lasting = list(self.lasting.values())
        due = (each for each in self._planned if each.at <= seconds and not conflicts(each.kind, lasting))
        planned = next(due, None)
        if planned is None or len(lasting) >= AT_ONCE:
            return
        self._planned.remove(planned)
        self.lasting[planned.number] = planned.kind
        thread = threading.Thread(target=self._make, args=(planned,), name=planned.kind.name)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        """Wait until those that last have ended."""
        for thread in self._threads:
            thread.join()

    def _make(self, planned: Planned) -> None:
        began = time.time()
        try:
            planned.kind.act(self._site, planned.turn)
        except Exception as error:  # a fault that cannot be made ends no run: it is told
            text = f"{planned.kind.name} could not be made: {type(error).__name__}: {error}"
            self._site.tell(Wrong.PROGRAM, text)
        finally:
            self.made.append(Made(planned.number, planned.kind.name, began, time.time()))
            del self.lasting[planned.number]


def chosen_kinds(options: Options) -> list[Kind]:
    """Return the kinds that a run makes, in a fixed order."""
    possible = [kind for _, kind in sorted(KINDS.items()) if options.database == "postgresql" or not kind.needs_postgresql]
    return [kind for kind in possible if not options.kinds or kind.name in options.kinds]


def run(options: Options, say: Callable[[str], None], on_progress: Callable[[Progress], None]) -> Verdict:
    """Make a run. KeyboardInterrupt ends the load, and the verdict is on what happened until then."""
    with _folder(options, say) as folder, opened(options, folder) as site, _previous_code(options, folder, say) as has_previous:
        kinds = [kind for kind in chosen_kinds(options) if has_previous or kind.name != "previous-commit"]
        faults = Faults(site, plan_faults(options.seed, kinds, options.faults, options.seconds))
        watch = Watch(site.valkey.admin)
        load = Child(
            "load",
            folder,
            ports=[each.port for each in site.of("ingress")],
            seed=options.seed,
            rate=options.rate,
            folder=str(folder),
        )
        try:
            watch.start()
            begin = time.monotonic()
            load.command("start")
            patience = _disturb(options, site, faults, load, on_progress)
            load.command("stop", seconds=_STOP_LOAD_SECONDS)
            seconds = time.monotonic() - begin
            say(f"the load has ended after {seconds:.0f} s; waiting until nothing waits")
            settled = settle(site, patience)
        finally:
            faults.finish()
            watch.close()
            load.close()
        return judge(site, watch, faults.made, seconds, settled)


def _disturb(options: Options, site: Site, faults: Faults, load: Child, on_progress: Callable[[Progress], None]) -> float:
    """Make the faults until the time is over. Returns how many seconds to wait afterwards."""
    begin, told = time.monotonic(), 0.0
    try:
        while (passed := time.monotonic() - begin) < options.seconds:
            faults.look(passed)
            if passed >= told:
                told = passed + 1.0
                counts = load.command("count")
                done = counts.get("acknowledged", 0)
                lasting = tuple(kind.name for kind in list(faults.lasting.values()))
                on_progress(Progress(passed, done, counts.get("begun", 0) - done, len(faults.made), lasting))
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        site.stopped.set()
        return _HURRIED_SECONDS
    finally:
        faults.finish()
    return options.patience


@contextmanager
def _folder(options: Options, say: Callable[[str], None]) -> Iterator[Path]:
    """A folder of the run, deleted at the end unless it is kept."""
    folder = Path(tempfile.mkdtemp(prefix="curbside-chaos-"))
    folder.chmod(0o755)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        if options.keep:
            say(f"data and logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _previous_code(options: Options, folder: Path, say: Callable[[str], None]) -> Iterator[bool]:
    """A git worktree of the previous commit, if it is needed. Whether there is one."""
    if not any(kind.name == "previous-commit" for kind in chosen_kinds(options)):
        yield False
        return
    git = ["git", "-C", str(ROOT)]
    place = folder / "previous"
    try:
        subprocess.run([*git, "worktree", "add", "--detach", str(place), options.previous], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        say(f"no fault previous-commit: git has no {options.previous} here")
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(place)], check=False, capture_output=True)
