"""A deployment to record: its processes, what is posted to it, and how each process is stopped during its work."""

import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.releases.story import TOYSHOP, Told
from tests.support.alert_worker import Post, Receiver, receiving
from tests.support.command_line import curbside
from tests.support.event_sums import failures
from tests.support.ingress_client import ProviderClient, signed
from tests.support.live_deployment import Ingress, Program
from tests.support.settings import environment_for_tests
from tests.support.valkey_servers import RealValkey, broker_of
from tests.support.waiting import wait_for

TOYSHOP_SECRET = "the secret of a toyshop that the old workers do not know"
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBhbGVydHM="
BROKEN = ("order_events", "refunds", "replacements", "late_deliveries", "customer_mia_alerts")
_TRIGGER = """CREATE TRIGGER broken_{0} BEFORE INSERT ON {0} WHEN NEW.order_id LIKE 'broken-%' AND {1}
BEGIN SELECT RAISE(ABORT, 'out of order'); END"""


class StartedWorker(Program):
    """A worker with any arguments."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path, cwd: Path, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "workers", "--name", f"{name}@old", *arguments]
        super().__init__(command, environment, folder / f"{name}.log", cwd)
        self._name = name

    def _reports_ready(self) -> bool:
        return f"{self._name}@old ready." in self.log_of_this_run


class Recorded:
    """Everything of it that a story needs."""

    def __init__(self, folder: Path, server: RealValkey, receiver: Receiver) -> None:
        self.folder, self.receiver = folder, receiver
        self.database = folder / "ledger.db"
        self.environment = environment_for_tests(
            REDIS_URL=server.url,
            DATABASE_URL=f"sqlite:///{self.database}",
            HANDLER_MODULES="tests.releases.loyalty",
            LOYALTY_FILE=str(folder / "loyalty"),
            ALERT_WEBHOOK_URL=f"{receiver.url}/alerts",
            ALERT_WEBHOOK_SECRET=WEBHOOK_SECRET,
        )
        self.valkey, self.broker = redis.Redis.from_url(server.url), redis.Redis.from_url(broker_of(server.url))
        known = {"PROVIDER_MODULES": "tests.examples.toyshop", "TOYSHOP_SECRETS": TOYSHOP_SECRET}
        self.ingress = Ingress(folder, **self.environment | known)
        self.programs: list[Program] = [self.ingress]
        self.hung_at: str | None = None
        self._over = threading.Event()
        self._holder: sqlite3.Connection | None = None

    def open(self) -> None:
        """Tables, the triggers on them, the ingress."""
        self.curbside("migrate")
        with sqlite3.connect(self.database) as connection:
            for table in BROKEN:
                only = "NEW.order_id = 'broken-timeline'" if table == "order_events" else "1"
                connection.execute(_TRIGGER.format(table, only))
        connection.close()
        self.ingress.start()
        self.ingress.wait_until_ready()

    def start_worker(self, name: str, *arguments: str) -> StartedWorker:
        """Start one and wait until it works."""
        worker = StartedWorker(name, arguments, self.folder, Path.cwd(), self.environment)
        self.programs.append(worker)
        worker.start()
        worker.wait_until_ready()
        return worker

    def post(self, *told: Told) -> None:
        """Post bodies as their providers do."""
        with ProviderClient(self.ingress.url) as poster:
            for provider, body in told:
                self._post(poster, provider, body)

    def _post(self, poster: ProviderClient, provider: str, body: bytes) -> None:
        if provider != TOYSHOP:
            poster.post(provider, body)
            return
        headers = {"X-Toyshop-Signature": f"sha256={signed(body, TOYSHOP_SECRET)['X-Afosto-Hmac-Sha256']}"}
        httpx.post(f"{self.ingress.url}/webhook/{TOYSHOP}", content=body, headers=headers).raise_for_status()

    def be_refused(self) -> None:
        """What strangers and badly set up providers send."""
        with httpx.Client(base_url=self.ingress.url) as client:
            client.post("/webhook/instacart", content=b"{}", headers={"Authorization": "Bearer nonsense"})
            client.post("/webhook/afosto", content=b"{}", headers={"X-Afosto-Hmac-Sha256": "0" * 64})
            client.post("/webhook/afosto", content=b"{}")
            client.post("/oauth/token", data={"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"})
            client.get("/nowhere")
        wait_for(lambda: self.valkey.hlen("{curbside}:refused") >= 4, 20, "refusals to be counted")

    def curbside(self, *arguments: str) -> str:
        """The release's command line."""
        said = curbside(*arguments, environment=self.environment)
        assert said.exit_code == 0, (arguments, said)
        return said.output

    def failure_of(self, handler: str, order: str = "", reason: str = "") -> str:
        """The id of the failure of this handler that names the order in its body, or has the reason."""
        found = (name for name, each in failures(self.valkey).items() if name.startswith(f"{handler}:")
                 and order.encode() in each.body and (not reason or each.reason == reason))  # fmt: skip
        return next(found)

    def dead(self, handler: str) -> int:
        """How many failures of a handler are dead."""
        return sum(each.handler == handler and each.state == "dead" for each in failures(self.valkey).values())

    def hang(self, post: Post) -> None:
        """Take what is posted and say nothing until all is over."""
        if "leased-1" in post.body:
            self.hung_at = post.path
            self._over.wait(60)

    def hold_the_ledger(self) -> None:
        """Have every transaction wait."""
        self._holder = sqlite3.connect(self.database, isolation_level=None, check_same_thread=False)
        self._holder.execute("BEGIN IMMEDIATE")

    def let_go_of_the_ledger(self) -> None:
        """The opposite."""
        assert self._holder is not None
        self._holder.close()

    def in_hand(self, handlers: Sequence[str]) -> int:
        """How many of these handlers' streams have entries in a worker's hands."""
        return sum(self.valkey.xpending(f"{{curbside}}:todo:{name}", "workers")["pending"] > 0 for name in handlers)

    def waits_for(self, handler: str) -> int:
        """How many events."""
        return int(self.valkey.hget("{curbside}:counters", f"waiting:{handler}") or 0)

    def attempts(self) -> int:
        """How often alerts were tried in vain."""
        return int(self._query("SELECT SUM(attempts) FROM outbox WHERE sent_at IS NULL")[0][0] or 0)

    def unsent(self, order: str) -> list[str]:
        """The channels on which an order's alert is not marked as sent."""
        return [
            row[0] for row in self._query("SELECT channel FROM outbox WHERE sent_at IS NULL AND title LIKE ?", f"%{order} %")
        ]

    def _query(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def loyalty(self) -> list[str]:
        """What the handler of a user's own has done."""
        return sorted((self.folder / "loyalty").read_text().split())

    def tasks_in(self, queue: str) -> set[str]:
        """Names of the tasks whose messages wait in a queue."""
        return {json.loads(each)["headers"]["task"] for each in self.broker.lrange(f"curbside:{queue}", 0, -1)}

    def wait_for_messages(self, queue: str) -> None:
        """Until one waits there."""
        wait_for(lambda: self.tasks_in(queue), 20, f"a message in {queue}")

    def leave_taken(self, post: Callable[[], None]) -> None:
        """Entries of the inbox that a worker took, when it died before the commit: Valkey refuses it a key that only that needs."""
        but_taken_over = ("resetkeys", "~[^{]*", "~{curbside}:[^t]*", "~{curbside}:todo:*")
        self._allow(*but_taken_over)
        post()
        worker = self.start_worker("taker", "--role", "urgent")
        wait_for(lambda: self.valkey.xpending("{curbside}:inbox", "workers")["pending"] > 0, 20, "entries to be taken")
        worker.kill()
        self._allow("allkeys")
        wait_for(lambda: not self.valkey.exists("{curbside}:waiter:dispatch"), 10, "the dead worker's flag to go by itself")

    def _allow(self, *rules: str) -> None:
        self.valkey.execute_command("ACL", "SETUSER", "default", *rules)  # type: ignore[no-untyped-call]

    def leave_a_waiting_task(self, queue: str, owner: str) -> None:
        """The flag of a task that waits on its stream, as a worker sets it for three seconds; no worker runs any more."""
        self.valkey.set(f"{{curbside}}:waiter:{queue}", owner, nx=True, px=3_000)

    def end_ingress(self) -> None:
        """It is the last to go."""
        self.ingress.kill()

    def say(self, orders: Sequence[str]) -> dict[str, Any]:
        """What `curbside` says of the stopped deployment; of failures all but their frames, which their records hold."""
        commands = [["status"], ["drift"], ["failed"], ["failed", "--each"]]
        commands += [["failed", "show", name] for name in sorted(failures(self.valkey))]
        commands += [["order", order] for order in orders]
        said = {" ".join(each): json.loads(self.curbside(*each, "--json")) for each in commands}
        for command, answer in said.items():
            if command.startswith("failed show"):
                del answer["traceback"]
        return said

    def drop_triggers(self) -> None:
        """What made rows fail."""
        with sqlite3.connect(self.database) as connection:
            for table in BROKEN:
                connection.execute(f"DROP TRIGGER broken_{table}")
        connection.close()

    def close(self) -> None:
        """End all of it."""
        self._over.set()
        for each in self.programs:
            each.discard()
        self.valkey.close()
        self.broker.close()


@contextmanager
def stopped(folder: Path) -> Iterator[Recorded]:
    """A deployment to be told a story; all its processes are ended afterwards."""
    server = RealValkey()
    try:
        server.start()
        with receiving() as receiver:
            recorded = Recorded(folder, server, receiver)
            try:
                recorded.open()
                yield recorded
            finally:
                recorded.close()
    finally:
        server.discard()
