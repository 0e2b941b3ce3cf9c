"""Honest posts through each proxy of deploy/proxies during attacks through it and beside it: exactly the posts are stored.

CURBSIDE_PROXY_POSTS says how many (300); CI sends 2,000.
"""

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.e2e.proxy_programs import Certificate, Proxy, proxied
from tests.strangers.smuggling import ADDRESS, ATTACKS, ATTACKS_IN_HTTP2, UPGRADES, attackers
from tests.support.ingress_client import bearer, stored
from tests.support.live_deployment import deployed

POSTS = int(os.environ.get("CURBSIDE_PROXY_POSTS", "300"))
CLIENTS = 4
OFFERS_H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}


def body_of(number: int) -> bytes:
    """Each another order's; some are larger than what proxies keep in one piece."""
    return orjson.dumps(
        {"event": "order_created", "order_id": f"fc-{number}", "note": "x" * (100_000 if number % 50 == 0 else 20)}
    )


def post(client: httpx.Client, number: int) -> httpx.Response:
    """As providers do: most plainly, some as Java's client does, some chunked."""
    headers = bearer() | (OFFERS_H2C if number % 3 == 0 else {})
    body = body_of(number)
    return client.post("/webhook", content=iter([body[:10], body[10:]]) if number % 5 == 0 else body, headers=headers)


def post_all(proxy: Proxy) -> dict[int, httpx.Response]:
    """Every order once, by several clients side by side that keep their connections; the answers by number."""

    def share(first: int) -> dict[int, httpx.Response]:
        with proxy.client() as client:
            return {number: post(client, number) for number in range(first, POSTS, CLIENTS)}

    with ThreadPoolExecutor(CLIENTS) as pool:
        return {number: answer for answers in pool.map(share, range(CLIENTS)) for number, answer in answers.items()}


def direct(url: str) -> Callable[[], socket.socket]:
    """How strangers connect who reach the ingress itself."""
    address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    return lambda: socket.create_connection(address, timeout=30, source_address=(ADDRESS, 0))


@pytest.mark.timeout(900)
def test_attackers_cost_no_honest_post_and_store_nothing(
    proxy_name: str, real_valkey_url: str, tmp_path: Path, certificate: Certificate
) -> None:
    with (
        deployed(tmp_path, workers=0, REDIS_URL=real_valkey_url) as deployment,
        proxied(proxy_name, tmp_path, certificate, urlsplit(deployment.ingress.url).netloc) as proxy,
        attackers(
            (lambda: proxy.connect(ADDRESS), ATTACKS),
            (lambda: proxy.connect(ADDRESS), UPGRADES),
            (lambda: proxy.connect(ADDRESS, http2=True), ATTACKS_IN_HTTP2),
            (direct(deployment.ingress.url), ATTACKS),
        ) as those,
    ):
        answers = post_all(proxy)

    taken = {answer.json().get("id"): body_of(number) for number, answer in answers.items() if answer.status_code == 200}
    assert {event_id: body for event_id, _, body in stored(real_valkey_url)} == taken, "every 200 is stored, and nothing else"
    assert len(taken) == POSTS, {number: answer for number, answer in answers.items() if answer.status_code != 200}
    assert all(each.has_made_all for each in those)
