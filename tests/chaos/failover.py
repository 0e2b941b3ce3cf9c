"""Counts what failovers of Valkey to a replica that lagged lose: `python -m tests.chaos.failover --rounds 40`.

Two ingresses take a steady load. In each round the replica stops receiving, and a moment later becomes the primary, in one of three
ways: the old primary is cut off, frozen, or lives on as a second primary until it is made a replica. An event is lost if it was
acknowledged and its body is nowhere in the last primary.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import redis

from schemas import keys
from tests.support.failover import Pair, two_servers
from tests.support.ingress_client import signed
from tests.support.live_deployment import Ingress

_POSTERS = 8
_SETTLE_SECONDS = 20.0
_WAYS = ("cut", "freeze", "split")


class Load:
    """Posts numbered bodies at a rate to several ingresses, and notes those that were acknowledged."""

    def __init__(self, urls: list[str], per_second: float) -> None:
        self.acknowledged: set[bytes] = set()
        self.refused = 0
        self._urls, self._pause_seconds = urls, _POSTERS / per_second
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._post, args=(number,)) for number in range(_POSTERS)]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Post while the context is open."""
        for each in self._threads:
            each.start()
        try:
            yield
        finally:
            self._stopped.set()
            for each in self._threads:
                each.join()

    def _post(self, poster: int) -> None:
        number = 0
        with httpx.Client(base_url=self._urls[poster % len(self._urls)], timeout=10) as client:
            while not self._stopped.wait(self._pause_seconds):
                body = b'{"number": "%d of %d"}' % (number, poster)
                number += 1
                answer = client.post("/webhook/afosto", content=body, headers=signed(body))
                if answer.status_code == 200:
                    self.acknowledged.add(body)
                else:
                    self.refused += 1


def fail_over(pair: Pair, way: str, chance: random.Random, longest_lag_seconds: float) -> None:
    """One round. Afterwards the old primary is the replica."""
    pair.lag()
    time.sleep(chance.uniform(0.05, longest_lag_seconds))
    old = pair.primary
    if way == "freeze":
        old.freeze()
    pair.promote(cut=way != "split")
    time.sleep(chance.uniform(0.1, 0.5))
    if way == "freeze":
        old.resume()
    pair.follow()


def lost(pair: Pair, load: Load) -> set[bytes]:
    """Acknowledged bodies that the primary does not have, after a moment to append them again."""
    with redis.Redis.from_url(pair.primary.url) as client:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            missing = load.acknowledged - {fields[keys.FIELD_BODY] for _, fields in client.xrange(keys.INBOX)}
            if not missing or time.monotonic() > deadline:
                return missing
            time.sleep(0.2)


def run(rounds: int, seed: int, program: str | None, per_second: float = 500, lag_seconds: float = 3, **settings: str) -> int:
    """Run and print. Return how many events were lost."""
    chance = random.Random(seed)  # noqa: S311 - a schedule
    with two_servers(program) as pair, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        ingresses = []
        for name in ("one", "two"):
            (place := Path(folder) / name).mkdir()
            ingresses.append(Ingress(place, REDIS_URL=pair.address.url, COMMIT_TIMEOUT="500ms", **settings))
            stack.callback(ingresses[-1].discard)
            ingresses[-1].start()
        for each in ingresses:
            each.wait_until_ready()
        load = Load([each.url for each in ingresses], per_second)
        with load.running():
            for number in range(rounds):
                way = _WAYS[number % len(_WAYS)]
                fail_over(pair, way, chance, lag_seconds)
                time.sleep(0.3)
        missing = lost(pair, load)
        with redis.Redis.from_url(pair.primary.url) as client:
            again, added = client.hget(keys.COUNTERS, keys.Counter.REAPPENDED), client.xlen(keys.INBOX)
    print(
        f"{rounds} failovers, {len(load.acknowledged)} acknowledged, {load.refused} refused, {int(again or 0)} appended again,"
        f" {added} in the inbox, {len(missing)} lost"
    )
    return len(missing)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-second", type=float, default=500)
    parser.add_argument("--lag-seconds", type=float, default=3, help="the replica lags for so long at the most")
    parser.add_argument("--program", help="another server than the embedded Valkey, such as redis-server")
    parser.add_argument("--without", action="store_true", help="with nothing appended again")
    given = parser.parse_args()
    settings = {"REAPPEND_WINDOW": "0"} if given.without else {}
    return min(1, run(given.rounds, given.seed, given.program, given.per_second, given.lag_seconds, **settings))


if __name__ == "__main__":
    sys.exit(main())
