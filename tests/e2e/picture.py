"""Makes the README's picture of Flower's failures page, `python -m tests.e2e.picture` (`make picture`): a `curbside run` of its own with some
events that failed, seen in Chromium. All orders are invented."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright import sync_api

from deploy.generated import path_in, read_generated
from deploy.local.ports import url_of
from tests.e2e.local_run import LocalRun, run_with_refused_orders
from tests.e2e.test_flower_in_browser import BROWSERS, FLAGS
from tests.payloads import FLAT_ORDER, recorded
from tests.support.command_line import REPOSITORY, curbside
from tests.support.settings import LOOPBACK
from tests.support.waiting import wait_for

PICTURE = REPOSITORY / "deploy" / "flower" / "failures.png"
_SIZE = sync_api.ViewportSize(width=1320, height=400)
_REFUSED = [f"fc-1042{number}" for number in (41, 57, 88)]
_WITHOUT_ORDER = b'{"event": "fulfillment.delivered"}'
_WRONG = recorded("instacart/flat/order_item_refund").replace(b'"quantity": 6', b'"quantity": [6]')


def fail(run: LocalRun) -> None:
    """Have the orders refused, and send bodies that cannot be decoded."""
    delivered = recorded("instacart/flat/delivered")
    for body in [*(delivered.replace(FLAT_ORDER.encode(), each.encode()) for each in _REFUSED), _WITHOUT_ORDER, _WRONG]:
        sent = curbside("send", "-", environment=run.environment, given=body.decode())
        assert sent.exit_code == 0, sent
    wait_for(lambda: run.run_command("failed", "--each").output.count("dead") == len(_REFUSED) + 2, 30, "all failures")


def take(run: LocalRun, path: Path) -> None:
    """Take the picture."""
    user, _, password = read_generated(path_in(run.environment))["FLOWER_BASIC_AUTH"].partition(":")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        page = browser.new_page(http_credentials={"username": user, "password": password}, viewport=_SIZE)
        page.goto(f"{url_of(LOOPBACK, int(run.environment['CURBSIDE_FLOWER_PORT']))}/failures")
        page.wait_for_selector(f"text={_REFUSED[-1]}")
        page.screenshot(path=path, animations="disabled", full_page=True)
        browser.close()


def main() -> None:
    """Take it, and say where it is."""
    with tempfile.TemporaryDirectory(prefix="curbside-picture-") as folder, run_with_refused_orders(Path(folder)) as run:
        fail(run)
        take(run, PICTURE)
    sys.stdout.write(f"{PICTURE.relative_to(REPOSITORY)}: {PICTURE.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
