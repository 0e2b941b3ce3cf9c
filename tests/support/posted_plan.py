"""A plan of the simulator, posted and handled without processes in the order of the posts, and what `compare` says of it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Executable, Table, delete, insert, select, update

from deploy.simulator.client import Attempt, PostResult
from deploy.simulator.comparison import Comparison, compare
from deploy.simulator.differences import Difference
from deploy.simulator.ledger_reader import read_run
from deploy.simulator.plan import Faults, Plan, PlanOptions, PostType, make_plan
from deploy.simulator.received import Received, read_responses, run_of
from deploy.simulator.rules import rules_of
from schemas.decoding import decode
from schemas.events import Event
from schemas.failures import Failure, Reason
from tests.support.ledger_fixture import HANDLERS, LedgerFixture
from workers.ledger.tables import outbox

OPTIONS = PlanOptions(
    seed=18,
    start=datetime(2026, 3, 1, 6, tzinfo=UTC),
    zone=UTC,
    orders=80,
    faults=Faults(duplicates=0.1, reordering=0.2, reverts=0.1, stale=0.1, bad_bodies=0.05, bad_signatures=0.05),
)
ODD = replace(OPTIONS, faults=replace(OPTIONS.faults, oddities=1.0))
PLAN = make_plan(OPTIONS)
FIRST_ID = 1_772_445_000_000
"""The time of receipt of the first post: a day later than the events, so that no clock is ahead."""
BATCH = 25


class PostedPlan:
    """A plan that was posted and handled; what `compare` says of it."""

    def __init__(self, ledger_fixture: LedgerFixture, plan: Plan) -> None:
        self.ledger_fixture = ledger_fixture
        self.results = [self._acknowledged(index, result) for index, result in enumerate(map(PostResult, plan.posts))]
        self.plan = plan
        self.failures: dict[tuple[int, int], list[Failure]] = defaultdict(list)
        self._handle()

    def _acknowledged(self, index: int, result: PostResult) -> PostResult:
        is_forged = result.post.post_type is PostType.FORGED
        return replace(result, attempts=[Attempt(401, None, 0.0) if is_forged else Attempt(200, (FIRST_ID + index, 0), 0.0)])

    def _handle(self) -> None:
        """What the dispatcher and the handlers do, in batches."""
        seen: dict[str, Event] = {}
        for result in self.results:
            if (event_id := result.attempts[0].event_id) is None:
                continue
            if result.post.post_type is PostType.BAD_BODY:
                self.failures[event_id].append(failure(event_id, "dispatch", Reason.MALFORMED))
            else:
                event = decode(result.post.provider, result.post.body, f"{event_id[0]}-0", UTC)
                seen.setdefault(event.identity, event)
        events = list(seen.values())
        for first in range(0, len(events), BATCH):
            self._apply(events[first : first + BATCH])
        self.execute(update(outbox).values(sent_at=outbox.c.due_at, leased_until=None))

    def _apply(self, events: Sequence[Event]) -> None:
        """Apply these events as one batch for each handler. An event that fails in part becomes a failure."""
        for handler in HANDLERS.values():
            if batch := [each for each in events if handler.wants(each.kind)]:
                for event, _error in self.ledger_fixture.ledger.apply(handler, batch).failed:
                    milliseconds, _, sequence = event.event_id.partition("-")
                    event_id = int(milliseconds), int(sequence)
                    self.failures[event_id].append(failure(event_id, handler.name, Reason.WRONG_TYPE))

    @property
    def received(self) -> Received:
        return read_responses(self.plan.events, self.results)

    def comparison(self, **rules: Any) -> Comparison:
        """What is found, under the deployment's settings or with these rules in their place."""
        received = self.received
        found = read_run(self.ledger_fixture.ledger, run_of(self.plan, received))
        return compare(received, found, self.failures, rules_of(self.ledger_fixture.settings)._replace(**rules))

    def execute(self, *statements: Executable) -> None:
        """Execute statements in one transaction."""
        with self.ledger_fixture.ledger.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def the_difference(self) -> Difference:
        (difference,) = self.comparison().differences
        return difference

    def spoil(self, table: Table, **values: object) -> str:
        """Delete the first row of a table, or change it; the order it is of."""
        its_key = list(table.primary_key)
        with self.ledger_fixture.ledger.begin() as connection:
            row = connection.execute(select(*its_key).order_by(*its_key).limit(1)).mappings().one()
            where = [column == row[column.name] for column in its_key]
            connection.execute(update(table).where(*where).values(values) if values else delete(table).where(*where))
        return str(row["order_id"])

    def invent(self, table: Table, **values: object) -> str:
        """Add a row like the table's first, with some things different; the order it is of."""
        with self.ledger_fixture.ledger.begin() as connection:
            row = connection.execute(select(table).order_by(*table.primary_key).limit(1)).mappings().one()
            connection.execute(insert(table).values(dict(row) | values))
        return str(row["order_id"])


def failure(event_id: tuple[int, int], handler: str, reason: Reason) -> Failure:
    return Failure(event_id=f"{event_id[0]}-0", handler=handler, provider="instacart", reason=reason, message="", body=b"")
