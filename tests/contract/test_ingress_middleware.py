"""`INGRESS_MIDDLEWARE`: a user's ASGI middleware gets every request, events included; by default there is none."""

import dataclasses
import os
import subprocess

import httpx
import pytest

from ingress.app import Ingress, create_app
from tests.examples.request_ids import HEADER, RequestIds
from tests.support.ingress_client import Serve, bearer, ingress_command, running_ingress, stored
from tests.support.settings import environment_for_tests, free_port, make_settings

HERE = "tests.examples.request_ids"
IDS = f"{HERE}:RequestIds"


def test_middleware_gets_events_and_all_other_requests(serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url, INGRESS_MIDDLEWARE=IDS)

    answer = client.post("/webhook", content=b"{}", headers=bearer() | {HEADER: "mine"})

    assert (answer.status_code, answer.headers[HEADER]) == (200, "mine")
    assert [event[0] for event in stored(valkey_url)] == [answer.json()["id"]]
    for status, method, path in (
        (401, "POST", "/webhook"),
        (404, "GET", "/"),
        (200, "GET", "/healthz"),
        (200, "GET", "/readyz"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, len(answer.headers[HEADER])) == (status, 36)


def test_the_first_middleware_is_the_outermost(serve: Serve) -> None:
    client = serve(INGRESS_MIDDLEWARE=f"{HERE}:twice, {IDS}")
    assert client.get("/healthz", headers={HEADER: "mine"}).headers[HEADER] == "mine, twice"
    answer = serve(INGRESS_MIDDLEWARE=f"{IDS},{HERE}:twice").get("/healthz")
    assert answer.status_code == 500, "the inner one found no id to mark"


def test_an_unexpected_error_reaches_the_middleware_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    settings = dataclasses.replace(make_settings(INGRESS_MIDDLEWARE=IDS), max_body_bytes=None)  # type: ignore[arg-type]
    with running_ingress(settings) as url:
        for number in range(5):
            answer = httpx.post(f"{url}/webhook", content=b"{}", headers=bearer() | {HEADER: f"bug-{number}"})
            assert (answer.status_code, answer.headers[HEADER]) == (500, f"bug-{number}")

    assert {RequestIds.errors[f"bug-{number}"] for number in range(5)} == {"TypeError"}
    assert caplog.text.count("a bug in the ingress: TypeError") == 1
    assert "Exception in ASGI" not in caplog.text


def test_a_middleware_s_own_error_is_a_500_and_logged_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = serve(INGRESS_MIDDLEWARE=f"{HERE}:broken")
    assert {client.get("/a-secret").status_code for _ in range(5)} == {500}
    assert caplog.text.count("a bug in the ingress: LookupError") == 1
    assert "a-secret" not in caplog.text
    assert "uvicorn" not in caplog.text


def test_without_middleware_the_server_calls_the_ingress_directly() -> None:
    assert type(create_app(make_settings())) is Ingress


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no.such.module:Name", "'no.such.module:Name' cannot be used: ModuleNotFoundError: No module named 'no'"),
        (f"{HERE}:Missing", f"'{HERE}:Missing' cannot be used: AttributeError: module '{HERE}' has no attribute 'Missing'"),
        (f"{HERE}:NOT_CALLABLE", f"'{HERE}:NOT_CALLABLE' cannot be used: TypeError"),
        (f"{HERE}:needs_more", f"'{HERE}:needs_more' cannot be used: TypeError"),
        (f"{HERE}:nothing", f"'{HERE}:nothing' gives no ASGI application, but NoneType"),
        ("sentry", "expected package.module:Name, separated by commas, got 'sentry'"),
    ],
)
def test_unusable_middleware_stops_the_start_with_one_sentence(name: str, why: str) -> None:
    done = subprocess.run(
        ingress_command(free_port()),
        env=os.environ | environment_for_tests(INGRESS_MIDDLEWARE=name),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, f"INGRESS_MIDDLEWARE is wrong: {why}\n")
