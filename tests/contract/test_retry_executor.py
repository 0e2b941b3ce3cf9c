"""The slow lane with real workers: a thousand failures of one bug, and workers that are killed while retries wait or are tried.

Nothing that they log, or tell Flower, quotes what a handler's error says.
"""

from pathlib import Path

from schemas import keys
from tests.support.outcomes import failures
from tests.support.shop import Shop, open_shop
from tests.support.valkey import RealValkey, broker_of
from tests.support.waiting import wait_for
from tests.support.wiretap import Wiretap


def test_a_thousand_failures_of_one_bug_are_one_line_and_one_command_clears_them(
    real_valkey: RealValkey, tmp_path: Path
) -> None:
    with open_shop(tmp_path, real_valkey.url, PANTRY_ATTEMPTS="1") as shop:
        orders = [f"bug-{number}" for number in range(1000)]
        shop.append("fine", *orders)
        shop.wait_until(lambda now: now.is_settled and shop.failed() == 1000, 60, "all to have failed")
        (line,) = shop.json("failed")
        assert (line["count"], line["handler"], line["reason"], line["state"]) == (1000, "pantry", "handler_error", "dead")
        assert line["says"] == "ValueError: (--unmask shows its text)"
        (text,) = [line.split() for line in shop.command("failed").output.splitlines()[1:]]
        assert text[:4] == ["1000", "pantry", "handler_error", "dead"]
        assert shop.in_the_pantry() == ["fine"]
        assert shop.sums().count("applied:timeline") == 1001, "other handlers of the same events are not held up"

        shop.bug.unlink()
        said = shop.command("retry", "--reason", "handler_error", "--yes")
        assert (said.exit_code, said.output.split()[:3]) == (0, ["1000", "of", "1000"])
        shop.wait_until_all_is_applied(60)
        assert shop.in_the_pantry() == sorted([*orders, "fine"])
        assert shop.sums().count("applied:pantry") == 1001
        assert shop.command("failed").output == "nothing failed\n"


def test_retries_of_a_worker_that_is_killed_happen_each_once_in_effect(real_valkey: RealValkey, tmp_path: Path) -> None:
    with (
        Wiretap(broker_of(real_valkey.url)) as wiretap,
        open_shop(tmp_path, real_valkey.url) as shop,
    ):
        orders = [f"bug-{number}" for number in range(40)]
        shop.append(*orders)
        (worker,) = shop.deployment.workers
        for tries in (3, 0):  # killed while retries wait and others are tried, and again while the dead one's are still leased
            wait_for(lambda tries=tries: _tried(shop) >= tries and shop.client.zcard(keys.IN_FLIGHT) > 0, 20, "retries at work")  # type: ignore[misc]
            worker.kill()
            assert shop.client.zcard(keys.RETRIES) > 0
            assert shop.sums().count("failed:pantry") == 40
            worker.start()
            worker.wait_until_ready()
        shop.bug.unlink()
        shop.wait_until_all_is_applied()
        assert shop.in_the_pantry() == sorted(orders)
        assert shop.sums().count("applied:pantry") == 40
        logs = shop.deployment.logs
    said_to_flower = "".join(wiretap.message_bodies) + "".join(wiretap.commands)
    assert "handler_error: ValueError (curbside failed show pantry:" in said_to_flower
    assert "in _look_up" in said_to_flower, "Flower sees the frames"
    assert "pantry.retry" in logs
    for told in (logs, said_to_flower):
        assert "jane.roe" not in told, "the text of an error may quote a customer"


def _tried(shop: Shop) -> int:
    return max((each.attempts for each in failures(shop.client).values()), default=0)
