"""Retries with real workers: a thousand failures of one bug, and workers that are killed while retries wait or run.

Nothing that they log, or tell Flower, quotes what a handler's error says.
"""

from pathlib import Path

from schemas import keys
from tests.support.event_sums import failures
from tests.support.redis_monitor import RedisMonitor
from tests.support.retry_deployment import RetryDeployment, open_retry_deployment
from tests.support.valkey_servers import RealValkey, broker_of
from tests.support.waiting import wait_for


def test_a_thousand_failures_of_one_bug_are_one_line_and_one_command_clears_them(
    real_valkey: RealValkey, tmp_path: Path
) -> None:
    with open_retry_deployment(tmp_path, real_valkey.url, FAULTY_HANDLER_ATTEMPTS="1") as deployment:
        orders = [f"bug-{number}" for number in range(1000)]
        deployment.append("fine", *orders)
        deployment.wait_until(lambda now: now.is_settled and deployment.failed() == 1000, 60, "all to have failed")
        (line,) = deployment.json("failed")
        assert (line["count"], line["handler"], line["reason"], line["state"]) == (1000, "faulty", "handler_error", "dead")
        assert line["says"] == "ValueError: (--unmask shows its text)"
        (text,) = [line.split() for line in deployment.command("failed").output.splitlines()[1:]]
        assert text[:4] == ["1000", "faulty", "handler_error", "dead"]
        assert deployment.applied_orders() == ["fine"]
        assert deployment.sums().count("applied:timeline") == 1001, "other handlers of the same events are not held up"

        deployment.bug.unlink()
        said = deployment.command("retry", "--reason", "handler_error", "--yes")
        assert (said.exit_code, said.output.split()[:3]) == (0, ["1000", "of", "1000"])
        deployment.wait_until_all_applied(60)
        assert deployment.applied_orders() == sorted([*orders, "fine"])
        assert deployment.sums().count("applied:faulty") == 1001
        assert deployment.command("failed").output == "nothing failed\n"


def test_retries_of_a_killed_worker_apply_each_effect_once(real_valkey: RealValkey, tmp_path: Path) -> None:
    with (
        RedisMonitor(broker_of(real_valkey.url)) as monitor,
        open_retry_deployment(tmp_path, real_valkey.url) as deployment,
    ):
        orders = [f"bug-{number}" for number in range(40)]
        deployment.append(*orders)
        (worker,) = deployment.processes.workers
        for tries in (3, 0):  # killed while retries wait and others are tried, and again while the dead one's are still leased
            wait_for(lambda tries=tries: _are_retries_at_work(deployment, tries), 20, "retries at work")  # type: ignore[misc]
            worker.kill()
            assert deployment.client.zcard(keys.RETRIES) > 0
            assert deployment.sums().count("failed:faulty") == 40
            worker.start()
            worker.wait_until_ready()
        deployment.bug.unlink()
        deployment.wait_until_all_applied()
        assert deployment.applied_orders() == sorted(orders)
        assert deployment.sums().count("applied:faulty") == 40
        logs = deployment.processes.logs
    said_to_flower = "".join(monitor.message_bodies) + "".join(monitor.commands)
    assert "handler_error: ValueError (curbside failed show faulty:" in said_to_flower
    assert "in _find_shelf" in said_to_flower, "Flower sees the frames"
    assert "faulty.retry" in logs
    for told in (logs, said_to_flower):
        assert "jane.roe" not in told, "the text of an error may quote a customer"


def _are_retries_at_work(deployment: RetryDeployment, attempts: int) -> bool:
    """Whether some failure has had so many attempts, and a retry runs now."""
    made = max((each.attempts for each in failures(deployment.client).values()), default=0)
    return made >= attempts and deployment.client.zcard(keys.IN_FLIGHT) > 0
