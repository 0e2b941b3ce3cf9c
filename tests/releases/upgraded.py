"""The upgrade in steps, as an operator does it, and what is observed at each step."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.releases.present import Present, Release, Seen
from tests.releases.record import APPLIED
from tests.releases.story import flat
from tests.support.alert_worker import receiving
from tests.support.command_line import CommandResult
from tests.support.leak_check import find_leaks
from tests.support.valkey_servers import RealValkey

OLD, NEW = "drain", "dispatch"
FRESH = "fresh-1"


def today(failure_id: str) -> str:
    """The id under which today's release may show it."""
    handler, _, event_id = failure_id.partition(":")
    return f"{NEW if handler == OLD else handler}:{event_id}"


@dataclass
class Upgraded:
    """What was seen on the way: `before` the first worker, `after` it, when failures were `mended`, and `again` after a second start."""

    release: Release
    before: Seen
    after: Seen
    mended: Seen
    again: Seen
    shown: dict[str, dict[str, Any]]
    orders: dict[str, Any]
    said: dict[str, CommandResult] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def id_of(self, handler: str, order: str, name: str = "") -> str:
        """The id of an old failure; under another name of its stage, if one is given."""
        event_id = self.release.failure_of(f"{handler}:", order).partition(":")[2]
        return f"{name or handler}:{event_id}"


def upgrade(server: RealValkey, database_url: str, folder: Path) -> Upgraded:
    release = Release()
    with receiving() as receiver:
        present = Present(folder, server.url, database_url, receiver)
        try:
            release.load(present.valkey, present.broker, database_url)
            return _go_through(present, release, server.url)
        finally:
            present.close()


def _go_through(present: Present, release: Release, url: str) -> Upgraded:
    migrated = present.curbside("migrate")
    before = present.look()
    shown = {name: present.json("failed", "show", name) for name in _shown(release)}
    traced = [name.split() for name in release.said if name.startswith("trace")]
    orders = {f"{command} {order}": present.json(command, order) for _, order in traced for command in ("trace", "order")}
    present.start("--lanes")
    after = present.look()
    upgraded = Upgraded(release, before, after, after, after, shown, orders, {"migrate": migrated})
    _mend(present, upgraded)
    upgraded.mended = present.look()
    present.stop()
    present.start("--role")
    for told in (APPLIED[0], flat(FRESH, "picking", 20_000)):
        present.post(*told)
    present.settle()
    upgraded.again = present.look()
    present.stop()
    upgraded.left = find_leaks(url)
    return upgraded


def _shown(release: Release) -> list[str]:
    """Each under its old id, those of undecodable bodies under the new one too."""
    return [*release.failure_ids, *(name.replace(f"{OLD}:", f"{NEW}:") for name in release.failure_ids if name.startswith(OLD))]


def _mend(present: Present, upgraded: Upgraded) -> None:
    """What a person does after the upgrade, by the ids that the old release showed, and by those of today."""
    for name, arguments in {
        "replayed": ["replay", "--since", "2026-01-01", "--order", "toy-1", "--dry-run", "--json"],
        "old id": ["retry", "--yes", "--json", upgraded.id_of(OLD, "toy-1")],
        "new id": ["retry", "--yes", "--json", upgraded.id_of(OLD, "toy-2", NEW)],
        "dies again": ["retry", "--yes", "--json", no_order(upgraded.release)],
    }.items():
        upgraded.said[name] = present.curbside(*arguments)
    present.settle()
    upgraded.shown["dead again"] = present.json("failed", "show", no_order(upgraded.release))
    for name, arguments in {
        "discarded": ["discard", "--yes", "--json", "--note", "nobody's order", no_order(upgraded.release)],
        "handlers": [
            "retry",
            "--yes",
            "--json",
            *(upgraded.id_of(name, "broken-0") for name in ("customer_mia", "late_deliveries")),
        ],
        "revived": ["retry", "--yes", "--json", upgraded.id_of("refunds", "broken-1")],
        "old name": ["failed", "--each", "--json", "--handler", OLD],
        "new name": ["failed", "--each", "--json", "--handler", NEW],
    }.items():
        upgraded.said[name] = present.curbside(*arguments)
    present.settle()


def no_order(release: Release) -> str:
    rows = release.said["failed --each"]
    return next(str(row["id"]) for row in rows if row["reason"] == "no_order")
