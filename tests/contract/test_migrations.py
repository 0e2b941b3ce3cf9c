"""The schema is created on first use by any number of concurrent workers; database errors are classified."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from schemas.events import Kind
from tests.contract.handler_events import event
from tests.support.ledger_fixture import LedgerFixture, open_ledger_fixture
from tests.support.postgresql_server import PostgresqlServer
from tests.support.settings import make_settings
from workers.errors import DependencyUnavailableError, PermanentError
from workers.ledger import migrations
from workers.ledger.ledger import Ledger, open_engine
from workers.ledger.migrations import upgrade
from workers.ledger.revision import APPLIED_IN, HEAD, OLDEST, Revision, revision_of
from workers.ledger.tables import metadata, orders
from workers.ledger.unit_of_work import UnitOfWork

ROOT = Path(__file__).parents[2]
MIGRATE = """
import sys
from workers.ledger.ledger import open_engine
from workers.ledger.migrations import upgrade
engine = open_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
upgrade(engine)
"""


def test_an_empty_database_becomes_a_ledger_and_stays_one(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    assert upgrade(engine) is None
    assert upgrade(engine) is not None
    engine.dispose()
    with open_ledger_fixture(ledger_url) as ledger_fixture:
        assert ledger_fixture.rows("orders") == []


def test_the_tables_in_the_database_are_those_the_code_writes_to(ledger_fixture: LedgerFixture) -> None:
    with ledger_fixture.ledger.begin() as connection:
        options = {"compare_type": True, "compare_server_default": False, "version_table": APPLIED_IN, "include_name": _is_ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name != "alembic_version"


def test_four_workers_that_start_at_once_make_one_schema(ledger_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, ledger_url]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(4)
    ]
    for each in workers:
        assert each.stdout is not None
        assert each.stdout.readline() == b"ready\n"
    for each in workers:
        assert each.stdin is not None
        each.stdin.write(b"go\n")
        each.stdin.flush()
    said = [each.communicate(timeout=60)[0].decode() for each in workers]
    assert [each.returncode for each in workers] == [0, 0, 0, 0], said
    with open_ledger_fixture(ledger_url) as ledger_fixture:
        assert ledger_fixture.rows("orders") == []


def test_four_threads_that_start_at_once_make_one_schema(ledger_url: str) -> None:
    ledgers = [Ledger(make_settings(DATABASE_URL=ledger_url)) for _ in range(4)]
    start = threading.Barrier(4)

    def begin(ledger: Ledger) -> Revision:
        start.wait(30)
        with ledger.begin() as connection:
            return revision_of(connection)

    with ThreadPoolExecutor(4) as pool:
        revisions = set(pool.map(begin, ledgers))
    for ledger in ledgers:
        ledger.close()
    assert revisions == {(HEAD, OLDEST)}


def test_workers_that_open_a_new_file_at_once_never_find_it_locked(tmp_path: Path) -> None:
    start = threading.Barrier(4)

    def open_and_write(url: str) -> None:
        engine = open_engine(url)
        start.wait(30)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS x (y INTEGER)"))
        engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        for number in range(60):
            list(pool.map(open_and_write, [f"sqlite:///{tmp_path / str(number)}"] * 4))


def test_a_newer_schema_makes_the_batch_wait_and_marks_no_event_failed(ledger_url: str) -> None:
    with open_ledger_fixture(ledger_url) as newer, newer.ledger.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with open_ledger_fixture(ledger_url) as older, pytest.raises(DependencyUnavailableError, match="newer release"):
        older.apply_each(event(Kind.PICKING, 1))


def test_a_newer_schema_that_only_adds_lets_this_release_write(ledger_url: str) -> None:
    with open_ledger_fixture(ledger_url) as newer, newer.ledger.begin() as connection:
        assert revision_of(connection) == (HEAD, OLDEST)
        connection.execute(text("UPDATE ledger_version SET version_num = '9999'"))
    with open_ledger_fixture(ledger_url) as older:
        older.apply_each(event(Kind.PICKING, 1))
        assert older.row("orders")["status"] == "picking"


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid"])
def test_a_postgresql_that_does_not_answer_is_unavailable(host: str) -> None:
    with (
        open_ledger_fixture(f"postgresql+psycopg://postgres@{host}/x") as ledger_fixture,
        pytest.raises(DependencyUnavailableError, match="database"),
    ):
        ledger_fixture.apply_each(event(Kind.PICKING, 1))


def test_a_sqlite_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with (
        open_ledger_fixture(f"sqlite:///{tmp_path / 'no such folder' / 'ledger.db'}") as ledger_fixture,
        pytest.raises(DependencyUnavailableError),
    ):
        ledger_fixture.apply_each(event(Kind.PICKING, 1))


def test_a_damaged_sqlite_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 1000)
    with (
        open_ledger_fixture(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger_fixture,
        pytest.raises(DependencyUnavailableError),
    ):
        ledger_fixture.apply_each(event(Kind.PICKING, 1))


def test_a_sqlite_file_locked_too_long_by_another_program_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ledger.sqlite_engine.BUSY_TIMEOUT_SECONDS", 0.05)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with (
        open_ledger_fixture(url) as holder,
        open_ledger_fixture(url) as ledger_fixture,
        holder.ledger.begin(),
        pytest.raises(DependencyUnavailableError),
    ):
        ledger_fixture.apply_each(event(Kind.PICKING, 1))


def test_a_killed_postgresql_is_unavailable_and_used_again_after_its_restart(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    with open_ledger_fixture(postgresql_url) as ledger_fixture:
        ledger_fixture.apply_each(event(Kind.PICKING, 1))
        postgresql.kill()
        with pytest.raises(DependencyUnavailableError):
            ledger_fixture.apply_each(event(Kind.STAGING, 2))
        postgresql.start()
        ledger_fixture.apply_each(event(Kind.STAGING, 2))
        assert ledger_fixture.row("orders")["status"] == "staging"


class _Writes:
    """A user's handler that writes this."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = rows

    def apply(self, work: UnitOfWork, events: object) -> None:
        for row in self._rows:
            work.connection.execute(insert(orders), row)


@pytest.mark.parametrize(
    "rows",
    [
        [{"provider": "a", "order_id": "1"}, {"provider": "a", "order_id": "1"}],
        [{"provider": "a", "order_id": None}],
        [{"provider": "a", "order_id": {"no": "text"}}],
    ],
    ids=["twice the same key", "no key", "no text"],
)
def test_rows_that_the_database_refuses_fail_the_event_and_none_of_the_batch_is_written(
    ledger_fixture: LedgerFixture, rows: list[dict[str, Any]]
) -> None:
    with pytest.raises(DBAPIError):
        ledger_fixture.ledger.apply(_Writes({"provider": "a", "order_id": "0"}, *rows), [])
    assert ledger_fixture.rows("orders") == []


def test_a_wrong_sql_statement_is_a_handler_error(ledger_fixture: LedgerFixture) -> None:
    class Wrong:
        def apply(self, work: UnitOfWork, events: object) -> None:
            work.connection.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DBAPIError):
        ledger_fixture.ledger.apply(Wrong(), [])


def test_a_permanent_error_passes_through_unchanged(ledger_fixture: LedgerFixture) -> None:
    class Refuses:
        def apply(self, work: UnitOfWork, events: object) -> None:
            raise PermanentError("not ours")

    with pytest.raises(PermanentError):
        ledger_fixture.ledger.apply(Refuses(), [])


def test_the_revision_that_a_worker_expects_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_ledger_that_is_up_to_date_is_opened_without_alembic(migrated_ledger_url: str) -> None:
    script = f"""
import sys
from tests.support.settings import make_settings
from workers.ledger.ledger import Ledger
ledger = Ledger(make_settings(DATABASE_URL={migrated_ledger_url!r}))
with ledger.begin():
    pass
assert not [name for name in sys.modules if name.partition(".")[0] in ("alembic", "apprise", "httpx")]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
