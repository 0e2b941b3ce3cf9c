"""Who may log in to Flower and which sites may frame it: the real process, requested as curl and browsers do."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.flower.guard import HEADERS
from tests.e2e.flower_client import CONFIGURATION, OPERATOR, PASSWORD, Flower
from tests.support.live_deployment import Program
from tests.support.settings import LOOPBACK, environment_for_tests, free_port
from tests.support.waiting import wait_for

ANYWHERE = "0.0.0.0"  # noqa: S104 - never bound: it is refused, or only read
FLOWER = ["-m", "celery", "-A", "workers.app", "flower"]
USER, NAIVE = "øperatør", "naïve:漢字 🛒 with enough characters"


@pytest.fixture
def flower(real_valkey_url: str, tmp_path: Path) -> Iterator[Flower]:
    flower = Flower(tmp_path, REDIS_URL=real_valkey_url, FLOWER_BASIC_AUTH=f"{USER}:{NAIVE},{OPERATOR}:{PASSWORD}")
    try:
        flower.start()
        flower.wait_until_ready()
        yield flower
    finally:
        flower.discard()
        flower.client.close()


@pytest.mark.parametrize(
    ("given", "environment"),
    [
        ([f"--address={ANYWHERE}"], {}),
        (["--address=::"], {}),
        ([f"--address={ANYWHERE}", "--basic_auth="], {"FLOWER_BASIC_AUTH": "operator:a password of the tests"}),
        ([f"--address={ANYWHERE}"], {"FLOWER_UNAUTHENTICATED_API": "true"}),
        ([f"--address={ANYWHERE}", "--auth_provider=flower.views.auth.GoogleAuth2LoginHandler"], {}),
        ([], {"FLOWER_ADDRESS": ANYWHERE}),
        ([], {"CURBSIDE_HOST": ANYWHERE}),
    ],
)
def test_without_a_login_flower_starts_on_loopback_only(given: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, *FLOWER, f"--port={free_port()}", f"--conf={CONFIGURATION}", *given]
    settings = environment_for_tests(**environment)
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "Flower would show failures to everybody who reaches" in line]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("given", [[], ["--address="]])
def test_flower_listens_on_loopback_by_default(tmp_path: Path, given: list[str]) -> None:
    port = free_port()
    command = [sys.executable, *FLOWER, f"--port={port}", f"--conf={CONFIGURATION}", *given]
    program = Program(command, {}, tmp_path / "flower.log")
    program.start()
    try:
        wait_for(lambda: _listens(LOOPBACK, port) or not program.is_running, 30, "it to listen")
        assert program.is_running, program.log
        assert not _listens("127.0.0.2", port), "what listens on every address answers there too"
    finally:
        program.discard()


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def test_a_password_in_any_script_is_accepted_and_nothing_else_is(flower: Flower) -> None:
    for user, password in ((USER, NAIVE), (OPERATOR, PASSWORD)):
        auth = httpx.BasicAuth(user.encode(), password.encode())
        assert [httpx.get(f"{flower.url}{path}", auth=auth).status_code for path in ("/", "/failures", "/api/tasks")] == [
            200
        ] * 3
    curl = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", f"{USER}:{NAIVE}", f"{flower.url}/failures"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert curl.stdout == "200"
    wrong = [f"{USER}:{NAIVE}".encode("utf-16"), f"{USER}:naïve".encode(), "øperatør:pw".encode("latin-1"), b"\xff\xfe", b""]
    headers = [httpx.BasicAuth(each, b"")._auth_header for each in wrong]
    for header in [*headers, "Basic", "Basic ====", "Basic é", "Bearer x", "Basic a b", f"basic {'A' * 5000}", ":"]:
        for path in ("/", "/failures", "/tasks", "/api/tasks", "/api/failures/retry/search", "/broker"):
            answer = httpx.get(f"{flower.url}{path}", headers={b"Authorization": header.encode()})
            assert answer.status_code == 401, (header, path, answer.status_code)
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="flower", charset="UTF-8"'
    assert "Traceback" not in flower.log


def test_every_answer_keeps_other_sites_from_framing_it(flower: Flower) -> None:
    paths = ("/", "/tasks", "/failures", "/broker", "/task/none", "/no-such-page", "/api/tasks", "/api/task/info/none")
    unasked = ("/metrics", "/healthcheck", "/static/js/flower.js", "/login", "/logout", "/static/none")
    answers = [*(flower.client.get(path) for path in (*paths, *unasked)), *(httpx.get(f"{flower.url}{path}") for path in paths)]
    answers += [flower.client.post("/api/failures/retry/group", content=b"{"), flower.client.request("PATCH", "/tasks")]
    assert {200, 400, 401, 404, 405} <= {answer.status_code for answer in answers}
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value], (answer.url, answer.status_code, name)
        for cookie in answer.headers.get_list("Set-Cookie"):
            assert cookie.startswith(("_xsrf=", 'user="";')), "a session is only with OAuth; the other is cleared"
            assert "SameSite=Lax" in cookie or cookie.startswith("user=")
