"""The handler of `tests/examples/loyalty.py`: one call for each event, none failed by an outage, refused ones failed."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import redis

from schemas import keys
from schemas.failures import FailureState, Reason
from tests.support.command_line import curbside
from tests.support.event_sums import BUILT_IN, Sums, failures, sums
from tests.support.ingress_client import ProviderClient
from tests.support.live_deployment import deployed
from tests.support.settings import LOOPBACK, environment_for_tests
from tests.support.waiting import wait_for

HANDLERS = (*BUILT_IN, "loyalty")


class Service:
    """A loyalty service: gives points once for each idempotency key; `says` is what it answers for an order, else 200."""

    def __init__(self) -> None:
        self.says: dict[str, int] = {}
        self.answers = 200
        self.calls: list[tuple[str, str]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                (order,) = body["orders"]
                service.calls.append((order, self.headers["Idempotency-Key"]))
                self.send_response(service.says.get(order, service.answers))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="loyalty")

    @contextmanager
    def running(self) -> Iterator["Service"]:
        """It answers until this is left."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


def delivered(order: str) -> bytes:
    return b'{"event":"delivered","order_id":"%s","timestamp":"2026-03-01T12:00:00Z"}' % order.encode()


def test_an_http_handler_sends_one_idempotency_key_waits_for_an_outage_and_fails_only_refused_events(
    real_valkey_url: str, tmp_path: Path
) -> None:
    with Service().running() as service, redis.Redis.from_url(real_valkey_url) as client:
        environment = {
            "REDIS_URL": real_valkey_url,
            "DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
            "HANDLER_MODULES": "tests.examples.loyalty",
            "LOYALTY_URL": service.url,
        }

        def settled() -> Sums | None:
            now = sums(client, HANDLERS)
            now.check()
            return now if now.is_settled else None

        with deployed(tmp_path, workers=1, **environment) as deployment, ProviderClient(deployment.ingress.url) as poster:
            service.answers = 503
            service.says["refused"] = 422
            for order in ("one", "two", "refused", "three"):
                poster.post("instacart", delivered(order))
            wait_for(
                lambda: client.hget(keys.UNREACHABLE, "loyalty") == b"the loyalty service (503)", 20, "an outage to be noted"
            )
            assert failures(client) == {}, "no event is blamed for an outage"
            said = curbside("status", environment=environment_for_tests(**environment))
            assert "unreachable for loyalty: the loyalty service (503)" in said.errors
            service.answers = 200
            wait_for(settled, 30, "all to be handled")
            (failure,) = failures(client).values()
            assert (failure.reason, failure.state) == (Reason.REJECTED, FailureState.DEAD)
            assert (failure.order_ids, failure.message) == (("refused",), "the loyalty service answered 422")

            del service.says["refused"]
            again = curbside("retry", "--handler", "loyalty", "--yes", environment=environment_for_tests(**environment))
            assert again.exit_code == 0, again.errors
            wait_for(lambda: not failures(client), 20, "the retry")
            replayed = curbside(
                "replay", "--since", "1h", "--handler", "loyalty", "--yes", environment=environment_for_tests(**environment)
            )
            assert replayed.exit_code == 0, replayed.errors
            wait_for(lambda: (now := settled()) and now.count("applied:loyalty") == 8, 20, "the replay")
    of_order = {order: {key for each, key in service.calls if each == order} for order, _ in service.calls}
    assert of_order.keys() == {"one", "two", "three", "refused"}
    assert all(len(its_keys) == 1 for its_keys in of_order.values()), "one key for each event, however often it is told"
    assert len(set.union(*of_order.values())) == 4
    assert all(count > 1 for count in Counter(order for order, _ in service.calls).values()), "each was told more than once"
