"""Faults of the network between the processes and each server, for one side of them or for all."""

from functools import partial

from tests.chaos.kinds import Turn, fault
from tests.chaos.network import Mode
from tests.chaos.site import SIDES, Site


def _disturb(server: str, mode: Mode, site: Site, turn: Turn) -> None:
    sides = turn.chance.choice((SIDES, SIDES[:1], SIDES[1:]))
    with site.link(server, sides, mode, turn.chance.choice((0.02, 0.2))):
        site.wait(turn.seconds)


_ABOUT = {
    Mode.DELAYED: ("everything to {} and back arrives later", 3.0, 6.0),
    Mode.SILENT: ("nothing arrives at {} nor from it; later all does", 3.0, 12.0),
    Mode.DROPPED: ("the same, and the connections of then never hear anything again", 3.0, 12.0),
    Mode.TRUNCATED: ("replies of {} break off in the middle, with their connections", 3.0, 6.0),
    Mode.CUT: ("all connections to {} are reset, new ones refused", 1.0, 5.0),
}
for _server in ("valkey", "postgresql"):
    for _mode, (_about, _shortest, _longest) in _ABOUT.items():
        _register = fault(f"{_server}-network-{_mode}", _about.format(_server), _server, _shortest, _longest)
        _register(partial(_disturb, _server, _mode))
