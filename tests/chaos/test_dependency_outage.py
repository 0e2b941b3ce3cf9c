"""A dependency outage under load, of the database or an alert channel, marks no event failed, and all are applied after it.

The outages last half a minute: longer than any growing pause takes to reach its longest, and than an idle entry is left alone.
"""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from schemas import keys
from schemas.failures import FailureState
from tests.bench.bodies import mixed
from tests.payloads import recorded
from tests.support.event_sums import failures
from tests.support.ingress_client import ProviderClient
from tests.support.ledger_fixture import reading_ledger
from tests.support.postgresql_server import PostgresqlServer
from tests.support.retry_deployment import RetryDeployment, open_retry_deployment, picking
from tests.support.settings import LOOPBACK
from tests.support.waiting import wait_for
from workers.ledger.tables import order_events, outbox

OUTAGE_SECONDS = 30.0

SECRET = "whsec_" + base64.b64encode(b"the secret of the alerts' webhook").decode()


@contextmanager
def posting(deployment: RetryDeployment) -> Iterator[list[str]]:
    """Load: a provider that posts without a pause until this is left; gives the ids that were acknowledged."""
    acknowledged: list[str] = []
    stop = threading.Event()

    def post() -> None:
        with ProviderClient(deployment.processes.ingress.url) as poster:
            for provider, body in mixed(100_000, seed=3):
                if stop.wait(0.005):
                    return
                acknowledged.append(poster.post(provider, body))

    thread = threading.Thread(target=post, name="load")
    thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        thread.join(20)


def last(begun: float) -> None:
    """Wait until an outage that began then has lasted long enough."""
    wait_for(lambda: time.monotonic() - begun >= OUTAGE_SECONDS, OUTAGE_SECONDS + 5, "the outage to last")


@pytest.mark.timeout(240)
def test_a_database_outage_under_load_marks_no_event_failed_and_all_are_applied_after_it(
    real_valkey_url: str, postgresql: PostgresqlServer, postgresql_url: str, tmp_path: Path
) -> None:
    with open_retry_deployment(tmp_path, real_valkey_url, workers=2, DATABASE_URL=postgresql_url) as deployment:
        deployment.append("bug-1", "bug-2")
        wait_for(lambda: deployment.failed() == 2, 20, "two failures that are retried meanwhile")
        with posting(deployment) as acknowledged:
            wait_for(lambda: len(acknowledged) > 50, 20, "load")
            postgresql.stop()
            begun = time.monotonic()
            before = len(acknowledged)
            wait_for(lambda: deployment.processes.logs.count("queue timeline waits: the database") >= 5, 30, "growing pauses")
            assert len(acknowledged) > before + 50, "the providers notice nothing"
            deployment.bug.unlink()
            wait_for(
                lambda: all(each.away for each in failures(deployment.client).values()),
                20,
                "retries that meet the outage",
            )
            attempts = {each.attempts for each in failures(deployment.client).values()}
            said = deployment.command("status")
            assert said.exit_code == 0, "every event is somewhere"
            assert "unreachable for timeline: the database (OperationalError)" in said.errors
            assert "unreachable for status: the database" in said.errors
            assert "the sums hold" in said.output
            now = deployment.sums()
            assert now.waiting_for["timeline"] > 50
            assert failures(deployment.client).keys() == {
                key for key in failures(deployment.client) if key.startswith("faulty:")
            }
            last(begun)
            assert {each.state for each in failures(deployment.client).values()} == {FailureState.RETRYING}
            postgresql.start()
            wait_for(lambda: deployment.sums().waiting_for["timeline"] < 50, 40, "the workers to catch up")
            assert {each.attempts for each in failures(deployment.client).values()} <= attempts, (
                "no attempt is counted during an outage"
            )
        deployment.wait_until_all_applied(40)
        now = deployment.sums()
        assert now.received == len(acknowledged) + 2
        assert now.count("routed") == now.count("applied:timeline")
        assert deployment.applied_orders().count("bug-1") == 1
        wait_for(lambda: not deployment.client.exists(keys.UNREACHABLE), 10, "nothing to be unreachable")
        with reading_ledger(postgresql_url) as rows:
            assert len({row["event_id"] for row in rows.of(order_events)}) == now.count("routed")


class Webhook:
    """Where alerts go: answers with `status`, or hangs up if that is 0, and keeps the ids of what it took."""

    def __init__(self) -> None:
        self.status, self.taken, self.tried = 500, list[str](), 0
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                webhook.tried += 1
                if webhook.status == 0:
                    self.close_connection = True
                    return
                if webhook.status < 300:
                    webhook.taken.append(str(self.headers["webhook-id"]))
                self.send_response(webhook.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}/alerts"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="webhook")
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.mark.timeout(240)
def test_an_unavailable_alert_channel_is_retried_with_backoff_and_delays_no_event(
    real_valkey_url: str, tmp_path: Path, webhook: Webhook
) -> None:
    with (
        open_retry_deployment(
            tmp_path, real_valkey_url, ALERT_WEBHOOK_URL=webhook.url, ALERT_WEBHOOK_SECRET=SECRET
        ) as deployment,
        reading_ledger(deployment.environment["DATABASE_URL"]) as rows,
        ProviderClient(deployment.processes.ingress.url) as poster,
    ):
        deployment.bug.unlink()
        poster.post("instacart", recorded("instacart/flat/customer_mia"))
        due: dict[int, Any] = {}
        begun = time.monotonic()

        def tries(at_least: int) -> bool:
            for row in rows.of(outbox, channel="webhook"):
                due[row["attempts"]] = row["due_at"]
            return max(due, default=0) >= at_least

        wait_for(lambda: tries(2), 20, "two tries that are answered 500")
        webhook.status = 0
        for number in range(100):
            poster.post("instacart", picking(f"order-{number}"))
        deployment.wait_until(
            lambda now: now.is_settled and now.count("applied:faulty") == 100, 10, "the others not to wait for the channel"
        )
        assert webhook.taken == []
        wait_for(lambda: tries(4), 30, "two tries that are not answered at all")
        last(begun)
        assert failures(deployment.client) == {}, "no event is blamed"
        status = deployment.json("status")
        assert (status["outbox"]["waiting"], status["outbox"]["failing"], status["balanced"]) == (1, 1, True)
        (row,) = rows.of(outbox, channel="webhook")
        assert "the webhook did not answer" in row["last_error"]
        pauses = [(due[number + 1] - due[number]).total_seconds() for number in range(1, 4)]
        assert pauses[0] < pauses[1] < pauses[2], pauses
        webhook.status = 200
        wait_for(lambda: webhook.taken, 60, "the alert")
        wait_for(lambda: rows.of(outbox, channel="webhook")[0]["sent_at"] is not None, 10, "it to be marked as sent")
        assert deployment.json("status")["outbox"]["failing"] == 0
        assert len(webhook.taken) == 1
