"""The present release on what an earlier one left: its data loaded, its ledger migrated, the workers of today started.

`Present.upgrade` is what an operator does, and keeps what could be seen at each stop; tests look at that.
"""

import json
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis

from tests.releases.commands import run, text_of
from tests.releases.ledgers import load_ledger
from tests.support.alert_worker import Receiver
from tests.support.command_line import CommandResult, curbside
from tests.support.event_sums import sums
from tests.support.ingress_client import ProviderClient
from tests.support.ledger_fixture import reading_ledger
from tests.support.live_deployment import Ingress, Program
from tests.support.settings import environment_for_tests
from tests.support.valkey_servers import broker_of
from tests.support.waiting import wait_for
from workers.ledger.tables import metadata

FOLDER = Path(__file__).parent / "0.1.0"
HANDLERS = ("timeline", "replacements", "refunds", "late_deliveries", "customer_mia", "loyalty")
AGES = frozenset({"at", "oldest_age_seconds", "last_age_seconds", "recent"})
_NEW = frozenset({"unreachable_since", "losses", "trimmed_early_to", "reappended", "known", "held_up"})
"""What no status of release 0.1 has."""

SETTLE_SECONDS = 30.0

_NAMES = {
    "order_events": ("order_id", "name"),
    "refunds": ("order_id", "line"),
    "replacements": ("order_id", "line", "substitute"),
    "late_deliveries": ("order_id",),
    "customer_mia_alerts": ("order_id",),
}


class Release:
    """What was recorded of one."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.databases, self.said, self.story = (
            json.loads((folder / f"{name}.json").read_text()) for name in ("valkey", "said", "story")
        )

    def load(self, valkey: "redis.Redis", broker: "redis.Redis", database_url: str) -> None:
        """Put it into empty servers, as if it had been stopped a moment ago."""
        later = timedelta(milliseconds=int(time.time() * 1000) - self.story["recorded_at_ms"])
        run(valkey, self.databases["inbox"], later)
        run(broker, self.databases["broker"], later)
        load_ledger(self.folder, database_url, later)

    @property
    def failure_ids(self) -> list[str]:
        """Of every failure on record."""
        return [command.rpartition(" ")[2] for command in self.said if command.startswith("failed show")]

    def failure_of(self, start: str, order: str) -> str:
        """The id of a handler's failure of an order, or of the order that a body names."""
        records = [each for each in self.databases["inbox"] if each[0] == "HSET" and "msgpack" in str(each[3])[:12]]
        (found,) = [
            each[2] for each in records if each[2].startswith(start) and f'"{order}"' in str(each[3]["msgpack"]["body"])
        ]
        return str(found)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The headers of the Celery messages that wait."""
        lists = [each for each in self.databases["broker"] if each[0] == "RPUSH"]
        return [json.loads(text_of(each[2], timedelta(0)))["headers"] for each in lists]


@dataclass(frozen=True)
class Seen:
    """What could be seen at one stop. `rows`: of each table what names an effect, sorted, as in `story.json`."""

    status: dict[str, Any]
    failures: dict[str, dict[str, Any]]
    rows: dict[str, list[list[str]]]
    posts: list[tuple[str, str]]
    loyalty: list[str]
    log: str


class Worker(Program):
    """A worker of one role. `option`: how its command line says so."""

    def __init__(self, role: str, folder: Path, environment: dict[str, str], option: str) -> None:
        self._name = f"{role}@new"
        command = [sys.executable, "-m", "workers", option, role, "--name", self._name]
        super().__init__(command, environment, folder / f"{role}.log")

    def _reports_ready(self) -> bool:
        return f"{self._name} ready." in self.log_of_this_run


class Present:
    """A deployment of today with another's data."""

    def __init__(self, folder: Path, valkey_url: str, database_url: str, receiver: Receiver) -> None:
        self._folder, self._database_url, self._receiver = folder, database_url, receiver
        self.valkey, self.broker = redis.Redis.from_url(valkey_url), redis.Redis.from_url(broker_of(valkey_url))
        self.environment = environment_for_tests(
            REDIS_URL=valkey_url,
            DATABASE_URL=database_url,
            HANDLER_MODULES="tests.releases.loyalty",
            LOYALTY_FILE=str(folder / "loyalty"),
            PROVIDER_MODULES="tests.examples.toyshop",
            TOYSHOP_SECRETS="the secret of a toyshop that everybody knows now",
            ALERT_WEBHOOK_URL=f"{receiver.url}/alerts",
            ALERT_WEBHOOK_SECRET="whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBhbGVydHM=",
            INBOX_RETENTION="3650d",
        )
        self.ingress = Ingress(folder, **self.environment)
        self.workers: list[Worker] = []

    def curbside(self, *arguments: str) -> CommandResult:
        """The command line of today."""
        return curbside(*arguments, environment=self.environment)

    def json(self, *arguments: str) -> Any:
        """What it says to a script."""
        said = self.curbside(*arguments, "--json")
        assert said.exit_code == 0, (arguments, said)
        return json.loads(said.output)

    def start(self, option: str) -> None:
        """Start ingress and workers and wait until they are idle. The workers get their role by this option."""
        self.workers = [Worker(role, self._folder, self.environment, option) for role in ("urgent", "bulk")]
        for each in (self.ingress, *self.workers):
            each.start()
        for each in (self.ingress, *self.workers):
            each.wait_until_ready()
        self.settle()

    def settle(self) -> None:
        """Wait until nothing waits, is retried, is to be sent or stands in a queue."""
        try:
            wait_for(lambda: not self.waits(), SETTLE_SECONDS, "everything to be done")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.waits()}") from None

    def look(self) -> Seen:
        """What there is to be seen now."""
        with reading_ledger(self._database_url) as rows:
            named = {
                table: sorted([row[column] for column in columns] for row in rows.of(metadata.tables[table]))
                for table, columns in _NAMES.items()
            }
        kept = self._folder / "loyalty"
        return Seen(
            status=counts(self.json("status")),
            failures={row.pop("id"): row for row in self.json("failed", "--each")},
            rows=named,
            posts=sorted((post.headers["webhook-id"], post.body) for post in self._receiver.posts),
            loyalty=sorted(kept.read_text().split()) if kept.exists() else [],
            log="".join(each.log for each in self.workers),
        )

    def waits(self) -> list[str]:
        """What is left to do."""
        found = [] if sums(self.valkey, HANDLERS).is_settled else ["events"]
        found += [name for name in ("retries", "in-flight") if self.valkey.exists(f"{{curbside}}:{name}")]
        with reading_ledger(self._database_url) as rows:
            found += ["alerts"] if any(row["sent_at"] is None for row in rows.of(metadata.tables["outbox"])) else []
        return found + ([f"{self.queued()} messages"] if self.queued() else [])

    def queued(self) -> int:
        """How many Celery messages stand in queues."""
        return sum(int(self.broker.llen(name)) for name in self.broker.scan_iter(_type="list"))

    def stop(self) -> None:
        """In an orderly way."""
        running = [each for each in (self.ingress, *self.workers) if each.is_running]
        for each in running:
            each.terminate()
        for each in running:
            each.wait()

    def post(self, provider: str, body: bytes) -> str:
        """As a provider does."""
        with ProviderClient(self.ingress.url) as poster:
            return poster.post(provider, body)

    def close(self) -> None:
        """End all of it."""
        for each in (self.ingress, *self.workers):
            each.discard()
        self.valkey.close()
        self.broker.close()


def counts(status: Any) -> Any:
    """A status without what time changes, and lists in no order of time."""
    if isinstance(status, dict):
        return {name: counts(each) for name, each in status.items() if name not in AGES | _NEW}
    return sorted((counts(each) for each in status), key=str) if isinstance(status, list) else status
