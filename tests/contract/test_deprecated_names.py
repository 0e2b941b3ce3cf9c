"""Names of release 0.1 that were renamed still work for one release, with a warning."""

from pathlib import Path

import pytest

import workers.handler
from tests.support.command_line import curbside, in_process
from tests.support.settings import environment_for_tests
from workers.errors import DependencyUnavailableError, PermanentError


@pytest.mark.parametrize(("old", "new"), [("Reject", PermanentError), ("Unreachable", DependencyUnavailableError)])
def test_a_handlers_old_exception_is_the_new_one_with_a_warning(old: str, new: type[Exception]) -> None:
    with pytest.warns(DeprecationWarning, match=f"workers.handler.{old} is now {new.__name__}"):
        assert getattr(workers.handler, old) is new


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = workers.handler.no_such_name


def test_curbside_trace_does_what_order_does_and_names_it(fake_valkey_url: str, migrated_sqlite: Path) -> None:
    environment = environment_for_tests(REDIS_URL=fake_valkey_url, DATABASE_URL=f"sqlite:///{migrated_sqlite}")
    old, new = (in_process(command, "fc-1", "--json", environment=environment) for command in ("trace", "order"))
    assert (old.exit_code, old.output) == (new.exit_code, new.output) == (1, "[]\n")
    assert old.errors.splitlines() == [
        "`curbside trace` is now `curbside order`. The old name is removed in the next release.",
        *new.errors.splitlines(),
    ]
    assert " trace " not in in_process("--help", environment=environment).output


def test_a_worker_accepts_its_role_under_the_old_option(tmp_path: Path) -> None:
    environment = {"CURBSIDE_DATA_DIR": str(tmp_path)}
    assert "REDIS_URL is missing" in curbside("worker", "--lanes", "urgent", environment=environment).errors
    assert "argument --lanes: invalid choice" in curbside("worker", "--lanes", "some", environment=environment).errors
    assert "--lanes" not in curbside("worker", "--help", environment=environment).output
