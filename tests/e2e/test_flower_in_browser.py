"""Flower's pages in Chromium, against real Flower, worker and Valkey. Screenshots go to the test's folder."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from schemas.failures import FailureState
from tests.e2e.buggy_handler import CUSTOMER
from tests.e2e.flower_client import OPERATOR, PASSWORD, FlowerDeployment
from tests.support.event_sums import BUILT_IN, failures, sums
from tests.support.settings import LOOPBACK
from tests.support.waiting import wait_for
from workers.failures.failure_store import first_task_id, next_task_id

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture
def flower_deployment(real_valkey_url: str, tmp_path: Path) -> Iterator[FlowerDeployment]:
    with FlowerDeployment(real_valkey_url, tmp_path, PAUSE_OF_THE_TESTS="4000") as flower_deployment:
        yield flower_deployment


def _no_browser(why: str) -> NoReturn:
    """Skip, on a desk; in CI, which says that these tests must run, fail."""
    if os.environ.get("CURBSIDE_BROWSER_TESTS") == "required":
        pytest.fail(f"the browser tests must run here: {why}")
    pytest.skip(f"no browser test: {why}")


@pytest.fixture
def page() -> "Iterator[Page]":
    """A page in a fresh Chromium that knows the password, but sends it only when asked."""
    try:
        from playwright import sync_api  # noqa: PLC0415 - where it is missing, this test alone is skipped
    except ImportError:
        _no_browser("the package playwright is not installed")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        _no_browser(f"none of {', '.join(BROWSERS)} is installed, and CHROMIUM names none")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        its: sync_api.HttpCredentials = {"username": OPERATOR, "password": PASSWORD}
        context = browser.new_context(http_credentials=its, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(20_000)
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        yield page
        browser.close()
    assert not problems, f"scripts failed: {problems}"


def test_one_bad_event_of_two_hundred_is_shown_as_failed_and_applied_once_after_the_fix(
    flower_deployment: FlowerDeployment, page: "Page", tmp_path: Path
) -> None:
    flower_deployment.bug.touch()
    flower_deployment.restart_flower()
    good = [f"fc-{number}" for number in range(199)]
    bad_id = flower_deployment.receive([*good[:77], "bug-1", *good[77:]])[77]
    flower_deployment.start_worker()
    wait_for(lambda: len(flower_deployment.applied()) == 199, 20, "199 to be applied at once")
    (failure,) = wait_for(lambda: list(failures(flower_deployment.valkey).values()), what="the one to be on record")
    assert failure.state is FailureState.RETRYING
    task_id = first_task_id("buggy", bad_id)
    shows(flower_deployment, page, task_id, "RETRY")
    page.screenshot(path=tmp_path / "1-retry.png", animations="disabled")
    assert "handler_error: ValueError" in page.inner_text("#task-page")
    shows(flower_deployment, page, task_id, "FAILURE")
    page.screenshot(path=tmp_path / "2-failure.png", animations="disabled", full_page=True)
    told = page.inner_text("#task-page")
    assert "in _find_shelf" in told
    assert CUSTOMER not in told

    flower_deployment.bug.unlink()
    page.dblclick("#curbside-retry")
    page.wait_for_selector(".toast.show.text-bg-success:not(.showing)")
    page.screenshot(path=tmp_path / "3-retried.png", animations="disabled")
    page.click(".toast.show a")
    page.wait_for_url(f"**/task/{next_task_id(task_id)}")
    shows(flower_deployment, page, next_task_id(task_id), "SUCCESS")
    page.screenshot(path=tmp_path / "4-success.png", animations="disabled")
    assert flower_deployment.applied() == dict.fromkeys([*good, "bug-1"], 1)
    assert not failures(flower_deployment.valkey)
    sums(flower_deployment.valkey, (*BUILT_IN, "buggy")).check()

    page.goto(f"{flower_deployment.flower.url}/task/{task_id}")
    page.click("#curbside-retry")
    page.wait_for_selector(".toast.show:not(.showing) >> text=applied since")
    page.screenshot(path=tmp_path / "5-gone.png", animations="disabled")


def test_search_results_and_groups_are_retried_after_a_confirmation_with_their_count(
    flower_deployment: FlowerDeployment, page: "Page", tmp_path: Path
) -> None:
    flower_deployment.bug.touch()
    flower_deployment.restart_flower()
    flower_deployment.receive([f"reject-{number}" for number in range(30)], [b"{", b'{"event": 3}'])
    flower_deployment.start_worker()
    wait_for(lambda: len(flower_deployment.flower.failed_tasks()) == 32, 20, "Flower to show all 32")
    page.goto(f"{flower_deployment.flower.url}/tasks?state=FAILURE")
    page.wait_for_selector("#tasks-table tbody tr >> nth=14")
    page.fill("#tasks-table_filter input", "state:FAILURE reject-1")
    page.wait_for_selector("#tasks-table_info >> text=of 11 tasks")
    page.click("#curbside-retry-all")
    page.wait_for_selector("#curbside-question.show >> text=Retry 11 failed tasks matching “state:FAILURE reject-1”?")
    page.screenshot(path=tmp_path / "1-question.png", animations="disabled")
    flower_deployment.bug.unlink()
    page.click("#curbside-yes")
    page.wait_for_selector(".toast.show:not(.showing) >> text=11 tasks are being retried.")
    page.screenshot(path=tmp_path / "2-retried.png", animations="disabled")
    wait_for(lambda: len(flower_deployment.applied()) == 11, 20, "11 to be applied")

    page.click(".toast.show a")
    page.wait_for_selector("#failures-page >> text=19 dead")
    page.screenshot(path=tmp_path / "3-failures.png", animations="disabled")
    assert page.inner_text(".nav-link.active") == "Failures"
    page.click("text=Retry all 19")
    page.wait_for_selector("#curbside-question.show >> text=Retry 19 dead of buggy (rejected)?")
    page.click("#curbside-yes")
    wait_for(lambda: len(flower_deployment.applied()) == 30, 20, "all to be applied")
    page.reload()
    page.wait_for_selector(".curbside-retry-event")
    assert "rejected" not in page.inner_text("#failures-page")
    page.click(".curbside-retry-event >> nth=0")
    page.wait_for_selector(".toast.show.text-bg-success:not(.showing)")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=tmp_path / "4-failures-dark.png", animations="disabled")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{flower_deployment.flower.url}/failures")
    page.screenshot(path=tmp_path / "5-failures-phone.png", animations="disabled")


def shows(flower_deployment: FlowerDeployment, page: "Page", task_id: str, state: str) -> None:
    """Open a task's page by its link, until it shows the state."""

    def look() -> bool:
        page.goto(f"{flower_deployment.flower.url}/task/{task_id}")
        badge = page.query_selector("#task-page .badge")
        return badge is not None and re.sub(r"\s", "", badge.inner_text()) == state

    wait_for(look, 30, f"{state} on the page of task {task_id}")


def test_a_site_that_frames_flower_shows_nothing_of_it(flower_deployment: FlowerDeployment, page: "Page") -> None:
    flower_deployment.restart_flower()
    refusals: list[str] = []
    page.on("console", lambda message: refusals.append(message.text))
    with _framing(flower_deployment.flower.url) as other_site:
        for path in ("/failures", "/tasks", "/", "/no-such-page", "/healthcheck"):
            page.goto(f"{flower_deployment.flower.url}{path}")  # the operator is logged in
            refusals.clear()
            page.goto(f"{other_site}{path}", wait_until="load")
            (_, framed) = page.frames
            assert framed.url in ("", "chrome-error://chromewebdata/")
            assert "FailureStore" not in framed.content()
            assert [each for each in refusals if "frame-ancestors 'none'" in each], (path, refusals)


@contextmanager
def _framing(framed: str) -> Iterator[str]:
    """Another site, whose every page frames the page of that path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = f"<h1>Win a prize</h1><iframe src='{framed}{self.path}'></iframe>".encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
