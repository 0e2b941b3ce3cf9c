"""Faults of the processes of Curbside: killed, stopped, frozen, replaced by those of another commit."""

from functools import partial

from tests.chaos.findings import Wrong
from tests.chaos.kinds import EVERYTHING, Turn, fault
from tests.chaos.members import STOP_SECONDS, Member
from tests.chaos.site import Site

_ALL = " ".join(EVERYTHING)
_READY_SECONDS = 20.0


def _kill(role: str, site: Site, turn: Turn) -> None:
    turn.chance.choice(site.of(role)).kill()
    site.wait(turn.seconds)


def _terminate(role: str, site: Site, turn: Turn) -> None:
    _stop(site, turn.chance.choice(site.of(role)))


def _freeze(role: str, site: Site, turn: Turn) -> None:
    member = turn.chance.choice(site.of(role))
    member.freeze()
    try:
        site.wait(turn.seconds)
    finally:
        member.resume()


for _role in ("ingress", "urgent", "bulk"):
    fault(f"{_role}-killed", f"SIGKILL to one {_role} process", _role, 2, 3)(partial(_kill, _role))
    fault(f"{_role}-stopped", f"SIGTERM to one {_role} process", _role)(partial(_terminate, _role))
    fault(f"{_role}-frozen", f"SIGSTOP to one {_role} process, for about 2 s", _role, 1.5, 3)(partial(_freeze, _role))
    fault(f"{_role}-frozen-long", "the same for longer than a claim lasts", _role, 15, 20)(partial(_freeze, _role))


@fault("workers-killed", "SIGKILL to all workers at once", _ALL, 2, 4)
def kill_workers(site: Site, turn: Turn) -> None:
    """Kill every worker."""
    for member in (*site.of("urgent"), *site.of("bulk")):
        member.kill()
    site.wait(turn.seconds)


@fault(
    "worker-killed-often", "SIGKILL to one bulk worker three times, each as soon as it works again: nobody is to blame", "bulk"
)
def kill_often(site: Site, turn: Turn) -> None:
    """Kill one worker again and again."""
    member = turn.chance.choice(site.of("bulk"))
    for _ in range(3):
        member.kill()
        _wait_until_back(site, member)
        site.wait(turn.chance.uniform(0.2, 1.0))


@fault("rolling-restart", "SIGTERM to one process after the other, as a deploy does", _ALL)
def restart_everything(site: Site, turn: Turn) -> None:
    """Restart all, one by one."""
    for member in site.members:
        _stop(site, member)
        _wait_until_back(site, member)


@fault("previous-commit", "one urgent and one bulk worker are those of the previous commit", "urgent bulk", 5, 10)
def run_previous(site: Site, turn: Turn) -> None:
    """Run two workers with the code of another commit for a while."""
    members = [turn.chance.choice(site.of(role)) for role in ("urgent", "bulk")]
    try:
        for member in members:
            member.run_other(site.with_code_of(member, site.previous_code))
        site.wait(turn.seconds)
    finally:
        for member in members:
            member.run_other(None)


def _stop(site: Site, member: Member) -> None:
    if (seconds := member.terminate()) >= STOP_SECONDS:
        site.tell(Wrong.WAITS, f"{member.name} did not obey SIGTERM within {seconds:.0f} s")


def _wait_until_back(site: Site, member: Member) -> None:
    starts, waited = member.starts, 0.0
    while member.starts == starts and waited < _READY_SECONDS and not site.stopped.is_set():
        site.wait(0.1)
        waited += 0.1
    while waited < _READY_SECONDS and member.program.is_running and not site.stopped.is_set():
        if member.program.reports_ready():
            return
        site.wait(0.1)
        waited += 0.1
