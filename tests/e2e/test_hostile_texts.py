"""Hostile texts in events stay text in logs, on the command line and in Flower."""

import re

import msgspec

from tests.e2e.flower_client import FlowerDeployment
from tests.support.command_line import curbside
from tests.support.event_sums import BUILT_IN, failures, sums
from tests.support.settings import environment_for_tests
from tests.support.waiting import wait_for
from tests.unit.test_sanitizing import HOSTILE, is_seen

SCRIPT = "reject-<script>alert(1)</script>'\"&"
_RECORD = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ [\w.]+ |\[[DIWEC] \d+ |    |\[[\d :,-]+: [A-Z]+/")
"""How a line of a log begins: a record of ours, of Flower's, of Celery's before its settings hold; or set in, below a record."""


def body(order: str, event: str = "fulfillment.picking") -> bytes:
    return msgspec.json.encode({"event": event, "order_id": order, "timestamp": "2026-03-02T10:00:00Z"})


def test_no_text_of_an_event_adds_a_log_line_or_controls_a_terminal_or_a_browser(
    flower_deployment: FlowerDeployment,
) -> None:
    flower_deployment.bug.touch()
    flower_deployment.restart_flower()
    flower_deployment.start_worker()
    orders = (f"bug-{HOSTILE}", f"reject-{HOSTILE}", SCRIPT, HOSTILE)
    bodies = [body(order) for order in orders] + [body(HOSTILE, "fulfillment.customer_mia"), body("fc-9", HOSTILE)]
    flower_deployment.receive([], [*bodies, body("fc-1", SCRIPT), b'{"event": "\\u001b[2J\\n", "order_id": 3}'])
    wait_for(lambda: sums(flower_deployment.valkey, (*BUILT_IN, "buggy")).is_settled, 30, "all to be handled")
    wait_for(
        lambda: {str(each.state) for each in failures(flower_deployment.valkey).values()} == {"dead"},
        30,
        "all that failed to be dead",
    )
    wait_for(lambda: "ALERT " in flower_deployment.worker.log, what="the alert")

    for log in (flower_deployment.worker.log, flower_deployment.flower.log):
        assert is_seen(re.sub(r"[\n\t]", "", log))
        told = [line for line in log.splitlines() if "forged" in line or "2J" in line]
        assert not [line for line in told if not _RECORD.match(line) or line.startswith("2030")]
    assert "ALERT customer_mia: Customer of order fc-1\\x1b[2J" in flower_deployment.worker.log

    environment = environment_for_tests(**flower_deployment.environment) | {
        "PYTHONPATH": ".",
        "CURBSIDE_DATA_DIR": str(flower_deployment.bug.parent),
    }
    failed = [each.field for each in failures(flower_deployment.valkey).values()]
    commands = [("status",), ("drift",), ("failed",), ("failed", "--each"), ("order", HOSTILE), ("status", "--json")]
    for command in (*commands, *(("failed", "show", field, "--unmask") for field in failed)):
        said = curbside(*command, environment=environment)
        assert said.exit_code == 0, said
        assert is_seen((said.output + said.errors).replace("\n", "")), command
        assert not re.search(r"^2030", said.output, re.MULTILINE), f"a line of its own in {command}: {said.output}"

    pages = "".join(flower_deployment.flower.client.get(path).text for path in ("/failures", "/tasks", "/api/tasks"))
    assert "<script>alert(1)" not in pages
    assert "reject-&lt;script&gt;alert(1)&lt;/script&gt;&#x27;&quot;&amp;" in pages
    assert is_seen(re.sub(r"\s", "", pages))
    for task in flower_deployment.flower.failed_tasks():
        page = flower_deployment.flower.client.get(f"/task/{task}").text
        assert "<script>alert(1)" not in page
        assert is_seen(re.sub(r"\s", "", page))
