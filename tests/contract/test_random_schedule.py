"""Whatever workers and operators do in whatever order, and wherever they are killed: the sums hold, and every effect exists once."""

import os
from pathlib import Path

import redis

from tests.contract.random_schedule import HANDLERS, RandomSchedule
from tests.support.ledger_fixture import HANDLERS as BUILT_IN
from tests.support.ledger_fixture import open_ledger_fixture
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment
from tests.support.valkey_servers import RealValkey

STEPS = int(os.environ.get("CURBSIDE_SCHEDULE_STEPS", "1500"))
SEED = int(os.environ.get("CURBSIDE_SCHEDULE_SEED", "1"))
_SETTLE_EVERY = 500


def test_a_random_schedule_loses_nothing_and_doubles_nothing(
    real_server: RealValkey, migrated_sqlite: Path, tmp_path: Path
) -> None:
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    bug = FailingHandler("refunds")
    handlers = [bug.handler() if name == "refunds" else BUILT_IN[name] for name in HANDLERS]
    with open_ledger_fixture(f"sqlite:///{database}", REDIS_URL=real_server.url) as ledger_fixture:

        def of(client: redis.Redis) -> SteppedDeployment:
            return SteppedDeployment(real_server.url, ledger_fixture, handlers, client)

        schedule = RandomSchedule(SEED, real_server.url, of, bug)
        try:
            for number in range(1, STEPS + 1):
                schedule.step()
                if number % _SETTLE_EVERY == 0:
                    schedule.settle()
                    schedule.check_settled()
        except Exception as error:
            error.add_note(f"seed {SEED}, step {schedule.steps}")
            raise
        finally:
            schedule.close()
