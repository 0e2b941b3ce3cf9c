"""`curbside settings`: each value and its source, and no secret."""

import json
from pathlib import Path

import pytest

from deploy.generated import generate_missing, load_settings, path_in, read_generated
from schemas.settings.secrets import Secret
from tests.support.command_line import curbside

PASSWORD = "hunter2-hunter2"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"CURBSIDE_DATA_DIR": str(tmp_path)}


@pytest.fixture
def generated(environment: dict[str, str]) -> dict[str, str]:
    generate_missing(environment)
    return read_generated(path_in(environment))


def rows(environment: dict[str, str]) -> dict[str, dict[str, str]]:
    said = curbside("settings", "--json", environment=environment)
    assert said.exit_code == 0, said.errors
    return {row["name"]: row for row in json.loads(said.output)}


def test_settings_prints_the_source_of_each_value(environment: dict[str, str], generated: dict[str, str]) -> None:
    table = rows({**environment, "DEDUPE_WINDOW": "24h"})
    assert generated
    assert (table["DEDUPE_WINDOW"]["value"], table["DEDUPE_WINDOW"]["source"]) == ("24h", "environment")
    assert table["INSTACART_CLIENT_ID"]["source"] == "generated"
    assert table["DATABASE_URL"]["source"] == "derived"
    assert (table["STORE_TIMEZONE"]["value"], table["STORE_TIMEZONE"]["source"]) == ("UTC", "default")
    assert all(row["meaning"] for row in table.values())


def test_shows_no_secret(environment: dict[str, str], generated: dict[str, str]) -> None:
    given = {**environment, "DATABASE_URL": f"postgresql://me:{PASSWORD}@db/curbside?password={PASSWORD}"}
    given["ALERT_URLS"] = f"slack://{PASSWORD}"
    for said in (curbside("settings", environment=given), curbside("settings", "--json", environment=given)):
        assert PASSWORD not in said.output
        for name in generated.keys() - {"INSTACART_CLIENT_ID"}:
            assert generated[name].rpartition(":")[2] not in said.output, name
        assert "me:***@db/curbside" in said.output


def test_in_a_pipe_it_is_plain_and_whole(environment: dict[str, str], generated: dict[str, str]) -> None:
    said = curbside("settings", environment=environment)
    assert generated
    assert "\x1b" not in said.output
    assert not set("│┃─━") & set(said.output)
    assert any(
        line.startswith("CURBSIDE_PORT ") and line.split()[1:3] == ["8080", "default"] for line in said.output.splitlines()
    )


def test_a_wrong_value_is_shown_and_named(environment: dict[str, str], generated: dict[str, str]) -> None:
    said = curbside("settings", environment={**environment, "CURBSIDE_PORT": "eighty"})
    assert generated
    assert said.exit_code == 2
    assert "eighty" in said.output
    assert said.errors.startswith("CURBSIDE_PORT is wrong: ")
    assert said.errors.count("\n") == 1


def test_a_missing_setting_is_named_with_what_to_do(environment: dict[str, str]) -> None:
    said = curbside("send", __file__, environment=environment)
    assert said.exit_code == 2
    assert "TOKEN_SIGNING_KEYS is missing" in said.errors
    assert "`curbside run` generates it" in said.errors.splitlines()[-1]


def test_secrets_are_generated_once_and_readable_by_their_owner_only(
    environment: dict[str, str], generated: dict[str, str]
) -> None:
    path = path_in(environment)
    assert path.stat().st_mode & 0o777 == 0o600
    assert generate_missing(environment) == []
    assert read_generated(path) == generated
    assert load_settings(environment).credentials["instacart"].secrets == (Secret(generated["INSTACART_CLIENT_SECRET"]),)


def test_a_secret_of_the_environment_is_not_generated(environment: dict[str, str]) -> None:
    made = generate_missing({**environment, "AFOSTO_SECRETS": PASSWORD})
    assert "AFOSTO_SECRETS" not in made
    assert PASSWORD not in path_in(environment).read_text()
