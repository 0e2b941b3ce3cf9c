"""No output of a process holds a part of a password, whatever the password and the fault of the address around it."""

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from celery import signals
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

import workers.app
from ingress.app import create_app
from schemas.settings import SettingError, load
from tests.e2e.flower_client import CONFIGURATION
from tests.support.command_line import in_process, only
from tests.support.live_deployment import Program
from tests.support.settings import LOOPBACK, environment_for_tests, free_port
from tests.support.waiting import wait_for
from workers.alerts.channels import Channels
from workers.alerts.deadline import Deadline
from workers.errors import DeliveryError
from workers.ledger.ledger import Ledger
from workers.ledger.outbox import Message, apprise_channel
from workers.valkey.connection import connect

NOBODY = "127.0.0.1:1"
PART = re.compile("qx[0-9]qx")
"""The parts of each password in these tests, between characters that delimit an address. Any part in an output is a leak."""

SIGNS = st.lists(
    st.sampled_from(["/", "?", "#", "@", ":", ";", "%", "&", "=", "[", "]", "\\", "12", "é", "%2F", ".", " "]), max_size=3
)
PASSWORDS = st.lists(SIGNS, min_size=1, max_size=3).map(
    lambda gaps: "".join(f"qx{number}qx" + "".join(gap) for number, gap in enumerate(gaps)) + "qx9qx"
) | st.tuples(st.integers(0, 99999), st.sampled_from("/?#@:;[]")).map(lambda pair: f"{pair[0]}{pair[1]}qx9qx")
ADDRESSES = {
    "REDIS_URL": [
        "redis://:{}@" + NOBODY + "/0",
        "rediss://me:{}@" + NOBODY + "/0?ssl_cert_reqs=none",
        "redis://" + NOBODY + "/0?password={}",
        "{}",
    ],
    "CELERY_BROKER_URL": [
        "redis://:{}@" + NOBODY + "/1",
        "amqp://me:{}@" + NOBODY + "//;amqp://me:{}@" + NOBODY + "//",
        "sentinel://:{}@" + NOBODY + ";sentinel://:{}@" + NOBODY,
        "redis://h/0 redis://:{}@h/0",
        "{}",
    ],
    "DATABASE_URL": [
        "postgresql://me:{}@" + NOBODY + "/curbside",
        "postgresql://me@" + NOBODY + "/curbside?password={}",
        "mysql://me:{}@db/x",
        "{}",
    ],
    "ALERT_WEBHOOK_URL": ["https://me:{}@" + NOBODY + "/hook", "https://" + NOBODY + "/{}", "{}"],
    "ALERT_URLS": ["slack://{}/{}/{}", "mailto://me:{}@h.example", "json://me:{}@" + NOBODY, "nosuch://{}", "{}"],
    "FLOWER_BASIC_AUTH": ["me:{}"],
    "TOKEN_SIGNING_KEYS": ["{}"],
    "AFOSTO_SECRETS": ["{}", "={}", "0d5d7a0e-52c1-4f43-9a35-3c2a9a1f7b10={}"],
    "ALERT_WEBHOOK_SECRET": ["{}", "whsec_{}"],
    "CURBSIDE_PORT": ["redis://:{}@h"],
    "CURBSIDE_HOST": ["redis://:{}@h"],
    "HANDLER_MODULES": ["redis://:{}@h"],
}
VARIABLES = st.sampled_from([(name, form) for name, forms in ADDRESSES.items() for form in forms])


def leaks(told: str) -> list[str]:
    return PART.findall(told.lower())


def environment_with(folder: Path, name: str, value: str) -> dict[str, str]:
    base = environment_for_tests(DATABASE_URL=f"sqlite:///{folder / 'ledger.db'}", CURBSIDE_DATA_DIR=str(folder))
    return base | ({"ALERT_WEBHOOK_SECRET": "whsec_c2VjcmV0"} if name == "ALERT_WEBHOOK_URL" else {}) | {name: value}


@contextlib.contextmanager
def heard() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, of whatever level."""
    told = io.StringIO()
    handler, root = logging.StreamHandler(told), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield told
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def told_by_parts(environment: Mapping[str, str]) -> str:
    """The output of the ingress, a worker and the alert channels started with this: logs, errors, settings."""
    with heard() as told:
        try:
            settings = load(only(environment))
        except SettingError as error:
            return str(error)
        told.write(repr(settings))
        create_app(settings)
        made = workers.app.create_app(settings)
        told.write(made.conf.humanize(with_defaults=False, censored=True))
        with made.connection() as connection:
            told.write(connection.as_uri())
        for opened in (connect(settings.redis_url), Ledger(settings)):
            opened.close()
        Channels(settings)
    return told.getvalue()


@pytest.fixture
def forgets_workers() -> Iterator[None]:
    """Worker applications that are made meanwhile, and never start, hear of no other worker."""
    kinds = (signals.celeryd_after_setup, signals.worker_shutting_down, signals.worker_shutdown)
    before = [list(each.receivers) for each in kinds]
    yield
    for each, receivers in zip(kinds, before, strict=True):
        each.receivers = receivers
        each.sender_receivers_cache.clear()


@pytest.mark.usefixtures("forgets_workers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(VARIABLES, PASSWORDS)
@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_component_shows_part_of_a_password_at_start(tmp_path: Path, variable: tuple[str, str], password: str) -> None:
    name, form = variable
    told = told_by_parts(environment_with(tmp_path, name, form.replace("{}", password)))
    assert not leaks(told), told


@given(VARIABLES, PASSWORDS, st.sampled_from([("settings",), ("settings", "--json"), ("status",)]))
@examples(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_command_shows_part_of_a_password(
    tmp_path: Path, variable: tuple[str, str], password: str, command: tuple[str, ...]
) -> None:
    name, form = variable
    said = in_process(*command, environment=environment_with(tmp_path, name, form.replace("{}", password)))
    assert not leaks(said.output + said.errors), said
    assert "A bug in curbside" not in said.errors


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("REDIS_URL", "redis://:qx0qx{}qx1qx@" + NOBODY + "/0"),
        ("CELERY_BROKER_URL", "redis://:qx0qx{}qx1qx@" + NOBODY + "/1;redis://:qx2qx@" + NOBODY + "/1"),
        ("DATABASE_URL", "postgresql://me:qx0qx{}qx1qx@" + NOBODY + "/curbside"),
    ],
)
@pytest.mark.parametrize("sign", ["/", "%2F"])
@pytest.mark.parametrize("part", ["ingress", "worker", "flower"])
def test_no_process_shows_part_of_a_password(tmp_path: Path, name: str, form: str, sign: str, part: str) -> None:
    """Valkey and the broker are down, so each process logs it; a password that is not encoded stops the start."""
    port = free_port()
    commands = {
        "ingress": ["-m", "ingress", f"--port={port}", "--loglevel=DEBUG"],
        "worker": ["-m", "workers", "--loglevel=DEBUG"],
        "flower": ["-m", "celery", "-A", "workers.app", "flower", f"--port={port}", f"--conf={CONFIGURATION}"],
    }
    program = Program([sys.executable, *commands[part]], environment_with(tmp_path, name, form.format(sign)), tmp_path / "log")

    def has_spoken() -> bool:
        if part == "worker":
            return "Cannot connect to" in program.log
        return part in ("ingress", "flower") and _answers(port, {"ingress": "/healthz", "flower": "/healthcheck"}[part])

    program.start()
    try:
        wait_for(lambda: has_spoken() or not program.is_running, 30, "it to start, or to say why not")
    finally:
        program.discard()
    assert not leaks(program.log), program.log
    is_refused = sign == "/" and name != "DATABASE_URL"
    assert (f"{name} is wrong: " in program.log) == is_refused


def _answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}{path}").is_success
    except httpx.TransportError:
        return False


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "url",
    ["qx0qx", "nosuch://qx0qx", "https://hooks.slack.com/services/qx0qx/qx1qx", "tgram://qx0qx:qx1qx/", "discord://qx0qx"],
)
def test_an_alert_url_that_apprise_rejects_is_not_shown(url: str) -> None:
    settings = load(environment_for_tests(ALERT_URLS=url))
    message = Message("key", apprise_channel(url), "topic", "title", "{}", datetime.now(UTC))
    with heard() as told, pytest.raises(DeliveryError) as failed:
        Channels(settings).send(message, datetime.now(UTC), Deadline())
    assert not leaks(f"{told.getvalue()}{failed.value}")
