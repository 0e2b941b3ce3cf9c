"""Records a deployment of this release at the moment it is stopped, as data for the tests of later releases' upgrades.

    python -m tests.releases.record            # writes tests/releases/<version of pyproject.toml>/, which must not exist yet
    python -m tests.releases.record FOLDER     # to try it

Run it once, from the commit that is released, and commit the folder: `tests/contract/test_upgrade.py` then starts the code of
its day on it. All parts are real processes: ingress, workers, Valkey, a SQLite ledger. Rows that fail do so by triggers, which
are not part of what is saved; PostgreSQL's ledger is the same rows in the tables that this release makes there. It takes a
minute, since an urgent event needs half of one to die of its own.

The folder: `valkey.json` (see `tests.releases.commands`), `ledger.sqlite.sql`, `ledger.postgresql.sql`, `said.json` (what the
release's own `curbside` said), `story.json` (when, what was told and what must become of it).

The names below are those of the release that this file stands in. 0.1.0 was recorded with its own: `drain`, `--lanes`,
`linger:`, `trace`.
"""

import json
import shutil
import socket
import sys
import tempfile
import time
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.releases import ledgers, story
from tests.releases.commands import commands_of
from tests.releases.deployment import Recorded, stopped
from tests.releases.story import Told, flat, life
from tests.support.command_line import REPOSITORY
from tests.support.waiting import wait_for

SEEN_MS = 72 * 3_600_000
BAD = (b'{"event": "fulfillment.picking", "order_id": ', b'{"event": "fulfillment.picking"}', b"\xff\xfe")
STRANGE = [flat("odd-1", "picking", 7200, aisle="4", shelf={"row": 7}), *life("odd-2", 7201, "teleported", "teleported")]
APPLIED = [told for number in range(2) for told in life(f"old-{number}", 3600 + 60 * number)]
BROKEN = [
    *(flat(f"broken-{number}", "order_item_refund", 9000 + number) for number in range(2)),
    flat("broken-0", "order_item_replacement", 9100),
    flat("broken-timeline", "picking", 9200),
    flat("broken-0", "customer_mia", 9300),
    flat("broken-0", "late_delivery", 9400),
]
REFUSED = flat("refuse-1", "delivered", 9500)
UNSENT = [flat("unsent-1", "customer_mia", 9600), flat("unsent-2", "customer_mia", 9601)]
HANGING = flat("leased-1", "customer_mia", 9700)
IN_HAND = life("in-hand-1", 10_000, "picking", "order_item_refund", "order_item_replacement", "delivered")
ROUTED = [told for number in range(2) for told in life(f"routed-{number}", 11_000 + 60 * number, *story.LIFE[:4], "delivered")]
TAKEN = [*life("taken-1", 12_000), APPLIED[0], Told("instacart", BAD[1])]
WAITING = [*life("waiting-1", 13_000), flat("waiting-2", "delivered", 13_100), TAKEN[1], Told("instacart", BAD[2])]


def main() -> None:
    """Record it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / project["version"]
    target.mkdir(parents=True)
    folder = Path(tempfile.mkdtemp(prefix="curbside-record-"))
    try:
        with ExitStack() as stack:
            recorded = stack.enter_context(stopped(folder))
            told = _live(recorded)
            _save(recorded, told, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    size = sum(each.stat().st_size for each in target.iterdir())
    print(f"{target.name}: {size / 1024:.0f} KiB in {target}", file=sys.stderr)


def _live(at: Recorded) -> list[Told]:
    """The deployment's life, to the moment at which nothing but its Valkey and its ledger is left."""
    first = at.start_worker("first")
    told = [*STRANGE, *APPLIED, *story.other_dialects(), APPLIED[3], *map(story.toy, range(3)), *BROKEN, REFUSED]
    told += [Told("instacart", body) for body in BAD[:2]]
    at.post(*told)
    at.be_refused()
    wait_for(lambda: at.dead("customer_mia") == at.dead("late_deliveries") == 1, 60, "the urgent ones to be dead")
    at.curbside("discard", "--yes", "--note", "test orders", at.failure_of("refunds", "broken-1"))
    at.curbside("discard", "--yes", "--note", "nobody can read it", at.failure_of("dispatch", reason="malformed"))
    _leave_alerts(at)
    _leave_in_hand(at)
    first.kill()
    at.let_go_of_the_ledger()
    _leave_retries_and_claim_checks(at)
    at.leave_taken(lambda: at.post(*TAKEN))
    at.post(*WAITING)
    at.wait_for_messages("curbside.dispatch")
    at.leave_a_waiting_task("timeline", "bulk1@old")
    return [*told, *UNSENT, HANGING, *IN_HAND, *ROUTED, *TAKEN, *WAITING]


def _leave_alerts(at: Recorded) -> None:
    """Alerts that a channel refused, and one that a worker was sending when it died."""
    at.receiver.answers["/alerts"] = 503
    at.post(*UNSENT)
    wait_for(lambda: at.attempts() >= 8, 60, "alerts to be refused a few times")
    at.receiver.answers["/alerts"] = 200
    at.receiver.on_post = at.hang
    at.post(HANGING)
    wait_for(lambda: at.hung_at is not None, 20, "an alert to be under way")
    wait_for(lambda: at.unsent("leased-1") == ["webhook"], 20, "its other channel to be marked as sent")


def _leave_in_hand(at: Recorded) -> None:
    """Claim checks that are pending at a worker which died while the ledger was locked."""
    at.hold_the_ledger()
    at.post(*IN_HAND)
    wait_for(lambda: at.in_hand(("timeline", "refunds", "replacements")) == 3, 20, "claim checks in pending at a worker")
    wait_for(lambda: at.waits_for("loyalty") == 0, 20, "the handler that writes into no ledger to be done")


def _leave_retries_and_claim_checks(at: Recorded) -> None:
    """Retries whose messages wait, and waiting claim checks: only a worker with the role urgent runs."""
    at.receiver.answers["/alerts"] = 503
    at.receiver.on_post = lambda post: None
    at.curbside("retry", "--yes", at.failure_of("dispatch", order="toy-0"))
    at.curbside("retry", "--yes", at.failure_of("refunds", "broken-0"))
    at.post(*ROUTED)
    urgent = at.start_worker("urgent", "--role", "urgent")
    wait_for(lambda: {"dispatch.retry", "refunds.retry"} <= at.tasks_in("curbside.retry"), 20, "retries to be sent")
    wait_for(lambda: at.tasks_in("curbside.timeline"), 20, "a handler's notification")
    wait_for(lambda: at.waits_for("timeline") >= len(ROUTED), 20, "claim checks to wait")
    urgent.kill()


def _save(at: Recorded, told: list[Told], target: Path) -> None:
    recorded_at_ms = int(time.time() * 1000)
    databases = {"inbox": commands_of(at.valkey, SEEN_MS), "broker": commands_of(at.broker, SEEN_MS)}
    at.end_ingress()
    said = at.say(["old-0", "broken-0", "odd-2"])
    at.drop_triggers()
    ledgers.save_sqlite(at.database, target / ledgers.SQLITE)
    ledgers.save_postgresql(at.database, target / ledgers.POSTGRESQL)
    readable = [each for each in told if each.body not in BAD and each.provider in {"instacart", story.TOYSHOP}]
    synthetic = [each for each in readable if b"event_metadata" not in each.body]
    about: dict[str, Any] = {
        "recorded_at_ms": recorded_at_ms,
        "told": len(told),
        "loyalty": at.loyalty(),
        "expected": story.expected_of(synthetic),
    }
    for name, content in (("valkey", databases), ("said", said), ("story", about)):
        (target / f"{name}.json").write_text(_anywhere(_text(content)))


def _anywhere(text: str) -> str:
    """Without the names of this machine, which tracebacks and messages hold."""
    names = {str(REPOSITORY): "/srv/curbside", sys.base_prefix: "/usr", socket.gethostname(): "old-host"}
    for ours, anybody_s in names.items():
        text = text.replace(ours, anybody_s)
    return text


def _text(content: dict[str, Any]) -> str:
    """JSON with a line for each command, answer and fact, so that a change can be read."""
    parts = [f"{json.dumps(name)}: {_lines(each)}" for name, each in content.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
