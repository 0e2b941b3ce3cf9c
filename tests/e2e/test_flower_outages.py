"""Flower during an outage of Valkey and after it has forgotten tasks."""

import httpx
import pytest

from schemas import keys
from tests.chaos.test_valkey_refuses import REFUSALS
from tests.e2e.flower_client import FlowerDeployment
from tests.e2e.flower_failures import HANDLERS, add_failure, send_failed_task
from tests.support.event_sums import sums
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from workers.failures.failure_store import first_task_id


def test_metrics_cover_the_whole_deployment_and_a_valkey_outage(
    flower_deployment: FlowerDeployment, real_valkey: RealValkey
) -> None:
    add_failure(flower_deployment)
    flower_deployment.start_worker()
    flower_deployment.receive(["a", "b"], [b"{"])
    wait_for(lambda: sums(flower_deployment.valkey, HANDLERS).is_settled, what="all to be settled")
    flower_deployment.restart_flower()

    def told() -> list[str]:
        return httpx.get(f"{flower_deployment.flower.url}/metrics").text.splitlines()

    lines = told()
    for line in (
        "curbside_up 1.0",
        "curbside_received_total 3.0",
        'curbside_outcomes_total{outcome="routed"} 2.0',
        'curbside_outcomes_total{outcome="undecodable"} 1.0',
        'curbside_handler_applied_total{handler="buggy"} 2.0',
        'curbside_handler_waiting{handler="timeline"} 0.0',
        "curbside_failures 2.0",
    ):
        assert line in lines
    assert any(line.startswith("# HELP flower_") for line in lines), "Flower's own are there too"
    real_valkey.stop()
    wait_for(lambda: "curbside_up 0.0" in told(), what="Flower to say that Valkey is away")
    real_valkey.start()


def test_failures_that_flower_forgets_come_back_even_after_a_valkey_outage(
    flower_deployment: FlowerDeployment, real_valkey: RealValkey
) -> None:
    failure = add_failure(flower_deployment)
    flower_deployment.restart_flower("--max_tasks=10")
    wait_for(flower_deployment.flower.failed_tasks, what="the record to show")
    for number in range(12):
        send_failed_task(flower_deployment, f"other-{number}", "their.task")
    wait_for(lambda: failure.task_id in flower_deployment.flower.failed_tasks(), 20, "the record to show again")
    assert len(flower_deployment.flower.failed_tasks()) <= 10
    real_valkey.stop()
    assert flower_deployment.flower.client.get("/failures").status_code == 503
    assert flower_deployment.flower.retry(failure.task_id).status_code == 503
    later = "1732230000002-0"
    real_valkey.start()
    add_failure(flower_deployment, later)
    wait_for(lambda: first_task_id("buggy", later) in flower_deployment.flower.failed_tasks(), 20, "the next look")
    flower_deployment.flower.terminate()
    assert flower_deployment.flower.wait() == 0
    assert "Traceback" not in flower_deployment.flower.log_of_this_run
    flower_deployment.valkey.delete(keys.FAILURES)


@pytest.mark.parametrize("code", ["READONLY", "NOPERM"])
def test_flower_survives_a_valkey_that_refuses_commands_at_its_start_and_later(
    flower_deployment: FlowerDeployment, real_valkey: RealValkey, code: str
) -> None:
    failure = add_failure(flower_deployment)
    refusal = REFUSALS[code]
    refusal.begin(real_valkey, flower_deployment.valkey)
    flower_deployment.restart_flower()
    assert flower_deployment.flower.retry(failure.task_id).status_code == 503
    refusal.end(real_valkey, flower_deployment.valkey)
    wait_for(lambda: failure.task_id in flower_deployment.flower.failed_tasks(), 30, "the record to show")
    refusal.begin(real_valkey, flower_deployment.valkey)
    assert flower_deployment.flower.retry(failure.task_id).status_code == 503
    refusal.end(real_valkey, flower_deployment.valkey)
    assert flower_deployment.flower.retry(failure.task_id).status_code < 300
    flower_deployment.flower.terminate()
    assert flower_deployment.flower.wait() == 0
    flower_deployment.valkey.delete(keys.FAILURES, keys.RETRIES)
