"""Settings: all wrong variables are named at once, no secret is shown, and derived values are right."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from schemas.settings import DECLARED, SettingError, Settings, embedded_valkey_url, load
from schemas.settings.secrets import Secret

NEEDED = {
    "REDIS_URL": "redis://localhost:6379/0",
    "INSTACART_CLIENT_ID": "connect",
    "INSTACART_CLIENT_SECRET": "the client secret",
    "TOKEN_SIGNING_KEYS": "a signing key of at least 32 characters",
    "AFOSTO_SECRETS": "the shared secret",
}
BY_NAME = {each.metadata["name"]: each for each in DECLARED}
OF_PROVIDERS = {"INSTACART_CLIENT_ID", "INSTACART_CLIENT_SECRET", "AFOSTO_SECRETS"}
SECRET = "s3cr3t-that-nobody-may-see"
UUID = "0d5d7a0e-52c1-4f43-9a35-3c2a9a1f7b10"


def read(**environment: str) -> Settings:
    return load(NEEDED | environment)


def find_leaks(environment: Mapping[str, str]) -> list[str]:
    """The lines of the error that this environment raises."""
    with pytest.raises(SettingError) as refused:
        load(environment)
    return str(refused.value).splitlines()


def complaint(**environment: str) -> str:
    """The only line."""
    (line,) = find_leaks(NEEDED | environment)
    return line


def test_defaults_are_those_of_the_design() -> None:
    settings = load(NEEDED)
    assert (settings.host, settings.port, settings.flower_port, settings.valkey_port) == ("127.0.0.1", 8080, 5555, 6390)
    assert settings.max_body_bytes == 1 << 20
    assert settings.dedupe_window == settings.inbox_retention == timedelta(hours=72)
    assert (settings.token_ttl, settings.commit_timeout) == (timedelta(hours=1), timedelta(seconds=2))
    assert (settings.inbox_max_backlog, settings.late_alert_minutes, settings.worker_processes) == (1_000_000, 15, 2)
    assert settings.store_timezone == ZoneInfo("UTC")
    assert settings.alert_urls == settings.handler_modules == ()
    assert settings.alert_webhook_url == settings.alert_webhook_secret == settings.flower_basic_auth == ""


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_variable_is_named_and_explained(name: str) -> None:
    (line,) = find_leaks({key: value for key, value in NEEDED.items() if key != name})
    assert line.startswith(f"{name} is missing (")
    assert "make run" in line


def test_all_problems_are_named_at_once() -> None:
    lines = find_leaks({"CURBSIDE_PORT": "http", "STORE_TIMEZONE": "Mars", "DEDUPE_WINDOW": "long", "MAX_BODY_BYTES": "0"})
    named = {line.split()[0] for line in lines}
    assert named == {*NEEDED, "CURBSIDE_PORT", "STORE_TIMEZONE", "DEDUPE_WINDOW", "MAX_BODY_BYTES"}


def test_an_empty_variable_counts_as_unset() -> None:
    assert read(CURBSIDE_PORT="").port == 8080
    assert complaint(INSTACART_CLIENT_ID="").startswith("INSTACART_CLIENT_ID is missing")


WRONG = [
    ("CURBSIDE_PORT", "0", "expected a whole number from 1 to 65535, got '0'"),
    ("CURBSIDE_PORT", "-1", "expected a whole number from 1 to 65535, got '-1'"),
    ("CURBSIDE_FLOWER_PORT", "65536", "expected a whole number from 1 to 65535, got '65536'"),
    ("CURBSIDE_VALKEY_PORT", "1.5", "expected a whole number from 1 to 65535, got '1.5'"),
    ("REDIS_URL", "http://localhost", "expected redis://… or rediss://…"),
    ("REDIS_URL", "redis://[::1", "expected redis://… or rediss://…"),
    (
        "REDIS_URL",
        "redis://:pass/word@host/0",
        "expected redis://… or rediss://…; in a password, special characters are written",
    ),
    ("CELERY_BROKER_URL", "redis://:a@h1;b@h2", "expected amqp://…, redis://… or another broker's address"),
    ("CELERY_BROKER_URL", "redis://h1/0?password=x", "expected login, host and port before the ?"),
    ("DATABASE_URL", "postgresql://me:p@ss@host/x", "expected sqlite:///path or postgresql://user@host/database"),
    (
        "CURBSIDE_HOST",
        "redis://:pass@host",
        "expected an address or a name of this machine, such as 127.0.0.1, got 'redis://:***@host'",
    ),
    ("HANDLER_MODULES", "shop.loyalty,../x", "expected names of modules such as shop.loyalty"),
    ("DATABASE_URL", "mysql://localhost/x", "expected sqlite:///path or postgresql://user@host/database"),
    ("INSTACART_CLIENT_SECRET", " , ", "expected at least one secret; several, separated by commas, are all valid"),
    ("TOKEN_SIGNING_KEYS", "short", "expected at least 32 characters for every key, got 5"),
    ("TOKEN_SIGNING_KEYS", f"{'k' * 32},{'k' * 31}", "expected at least 32 characters for every key, got 31 (value 2 of 2)"),
    ("TOKEN_TTL", "0s", "expected a duration above zero, got '0s'"),
    ("COMMIT_TIMEOUT", "2 sec", "expected a duration such as 30s, 15m, 72h or 7d, got '2 sec'"),
    ("DEDUPE_WINDOW", "9999999999d", "expected a duration such as 30s, 15m, 72h or 7d, got one beyond the calendar"),
    ("MAX_BODY_BYTES", "1MB", "expected a size in bytes such as 65536, 64KiB or 1MiB, got '1MB'"),
    ("MAX_BODY_BYTES", "0", "expected at least one byte, got '0'"),
    ("INBOX_MAX_BACKLOG", "0", "expected a whole number from 1 to 1000000000000, got '0'"),
    ("LATE_ALERT_MINUTES", "-5", "expected a whole number from 0 to 1000000, got '-5'"),
    ("STORE_TIMEZONE", "Europe/Gotham", "expected a time zone such as UTC or Europe/Amsterdam, got 'Europe/Gotham'"),
    ("STORE_TIMEZONE", "Europe", "expected a time zone such as UTC or Europe/Amsterdam, got 'Europe'"),
    ("STORE_TIMEZONE", "../etc/passwd", "expected a time zone such as UTC or Europe/Amsterdam, got '../etc/passwd'"),
    ("ALERT_WEBHOOK_URL", "ftp://x", "expected http://… or https://…"),
    ("TRUSTED_PROXIES", "proxy", "expected addresses or networks such as 10.0.0.0/8, separated by commas; 'proxy' is neither"),
    (
        "TRUSTED_PROXIES",
        "::1,10.0.0.1/8",
        "expected addresses or networks such as 10.0.0.0/8, separated by commas; '10.0.0.1/8'",
    ),
    ("WORKER_PROCESSES", "0", "expected a whole number from 1 to 256, got '0'"),
]


@pytest.mark.parametrize(("name", "text", "message"), WRONG, ids=[f"{name}={text[:20]}" for name, text, _ in WRONG])
def test_a_wrong_variable_is_named_with_what_was_expected(name: str, text: str, message: str) -> None:
    assert complaint(**{name: text}).startswith(f"{name} is wrong: {message}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("REDIS_URL", f"http://:{SECRET}@host"),
        ("REDIS_URL", f"redis://:{SECRET}@[host"),
        ("DATABASE_URL", f"mysql://user:{SECRET}@host/x"),
        ("TOKEN_SIGNING_KEYS", SECRET),
        ("AFOSTO_SECRETS", f"={SECRET}"),
        ("AFOSTO_SECRETS", f'"{SECRET}"'),
        ("INSTACART_CLIENT_SECRET", f"{SECRET}\u200b"),
        ("FLOWER_BASIC_AUTH", SECRET),
        ("CURBSIDE_VALKEY_PASSWORD", f" {SECRET}"),
        ("ALERT_WEBHOOK_SECRET", SECRET),
        ("ALERT_WEBHOOK_URL", f"ftp://user:{SECRET}@host"),
    ],
)
def test_a_secret_is_never_shown(name: str, text: str) -> None:
    assert SECRET not in complaint(**{name: text})


def test_every_setting_that_can_hold_a_secret_is_marked_as_one() -> None:
    telling = ("SECRET", "PASSWORD", "KEYS", "AUTH", "URL")
    assert {name for name in BY_NAME if any(word in name for word in telling)} == {
        name for name, each in BY_NAME.items() if each.metadata["secret"]
    }


def test_several_secrets_are_all_valid() -> None:
    new, old = "a new one of the client", "an old one of the client"
    settings = read(INSTACART_CLIENT_SECRET=f"{new}, {old}", AFOSTO_SECRETS=f"{old},{UUID}={new}", TOKEN_SIGNING_KEYS="k" * 32)
    assert settings.credentials["instacart"].secrets == (Secret(new), Secret(old))
    assert settings.credentials["afosto"].secrets == (Secret(old), Secret(new, UUID))
    assert settings.token_signing_keys == ("k" * 32,)


def test_an_alert_webhook_needs_its_secret() -> None:
    line = complaint(ALERT_WEBHOOK_URL="https://ops.example.com/hook")
    assert line == "ALERT_WEBHOOK_SECRET is missing: ALERT_WEBHOOK_URL needs it to sign what it posts"
    assert read(ALERT_WEBHOOK_URL="https://ops.example.com/hook", ALERT_WEBHOOK_SECRET=f"whsec_{'k' * 32}").alert_webhook_url


@pytest.mark.parametrize(
    ("redis_url", "broker"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/1"),
        ("redis://localhost:6379", "redis://localhost:6379/1"),
        ("redis://localhost/", "redis://localhost/1"),
        ("rediss://user:p%40ss@host:6380/7?ssl_cert_reqs=required", "rediss://user:p%40ss@host:6380/8?ssl_cert_reqs=required"),
    ],
)
def test_the_broker_is_the_database_beside_the_inbox(redis_url: str, broker: str) -> None:
    assert read(REDIS_URL=redis_url).celery_broker_url == broker


def test_the_broker_may_be_another_engine() -> None:
    assert read(CELERY_BROKER_URL="amqp://guest@rabbit//").celery_broker_url == "amqp://guest@rabbit//"


def test_the_embedded_valkey_needs_no_address() -> None:
    generated = {key: value for key, value in NEEDED.items() if key != "REDIS_URL"} | {
        "CURBSIDE_VALKEY_PASSWORD": "pa/ss@word-pa/ss"
    }
    settings = load({"CURBSIDE_VALKEY_PORT": "7000"}, generated)
    assert settings.redis_url == "redis://:pa%2Fss%40word-pa%2Fss@127.0.0.1:7000/0"
    assert settings.celery_broker_url == "redis://:pa%2Fss%40word-pa%2Fss@127.0.0.1:7000/1"


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
@examples(max_examples=100)
def test_property_any_password_survives_in_the_embedded_valkeys_url(password: str) -> None:
    parts = urlsplit(embedded_valkey_url(6390, password))
    assert (parts.hostname, parts.port, parts.path) == ("127.0.0.1", 6390, "/0")
    assert unquote(parts.password or "") == password


def test_the_ledger_is_sqlite_in_the_data_folder() -> None:
    assert read(CURBSIDE_DATA_DIR="/var/lib/curbside").database_url == "sqlite:////var/lib/curbside/ledger.db"
    assert read().database_url == f"sqlite:///{Path('.data').absolute()}/ledger.db"
    assert read(CURBSIDE_DATA_DIR="/x").data_dir == Path("/x")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_say_postgresql_means_the_driver_we_have(scheme: str) -> None:
    assert read(DATABASE_URL=f"{scheme}://u:p@db/curbside").database_url == "postgresql+psycopg://u:p@db/curbside"


def test_the_environment_wins_over_what_was_generated() -> None:
    settings = load({"AFOSTO_SECRETS": "the secret given", "INSTACART_CLIENT_ID": ""}, NEEDED | {"CURBSIDE_PORT": "9000"})
    assert settings.credentials["afosto"].secrets == (Secret("the secret given"),)
    assert (settings.credentials["instacart"].client_id, settings.port) == ("connect", 9000)


def test_lists_ignore_white_space_and_empty_items() -> None:
    assert read(HANDLER_MODULES=" shop.loyalty, ,shop.mail,").handler_modules == ("shop.loyalty", "shop.mail")


def test_every_setting_has_a_description() -> None:
    assert all(each.metadata["meaning"] for each in BY_NAME.values())
    assert {each.name for each in fields(Settings)} - {each.name for each in DECLARED} == {"credentials"}


@given(st.dictionaries(st.sampled_from(sorted({*BY_NAME, *OF_PROVIDERS} - {"PROVIDER_MODULES"})), st.text(max_size=20)))
@examples(max_examples=200)
def test_property_any_environment_is_read_or_refused_by_name(environment: dict[str, str]) -> None:
    try:
        load(NEEDED | environment)
    except SettingError as error:
        lines = str(error).splitlines()
    else:
        lines = []
    assert {line.split()[0] for line in lines} <= {*BY_NAME, *OF_PROVIDERS}
