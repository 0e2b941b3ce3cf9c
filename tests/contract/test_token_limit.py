"""Guesses at the token endpoint are limited without revealing which clients exist, and never limit the real provider."""

import httpx
import pytest
import redis

from ingress.limiter import FAILURES_OF_A_CLIENT, FAILURES_OF_AN_ADDRESS
from schemas.keys import LIMIT_PREFIX
from tests.support.ingress_client import Serve
from tests.support.redis_monitor import RedisMonitor
from tests.support.settings import CLIENT_ID, CLIENT_SECRET
from tests.support.valkey_servers import RealValkey

GRANT = {"grant_type": "client_credentials"}
WRONG = GRANT | {"client_id": CLIENT_ID, "client_secret": "a wrong secret of the client"}
UNKNOWN = GRANT | {"client_id": "a client that does not exist", "client_secret": CLIENT_SECRET}
RIGHT = GRANT | {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


@pytest.fixture
def client(serve: Serve, valkey_url: str) -> httpx.Client:
    return serve(REDIS_URL=valkey_url)


def ask(client: httpx.Client, form: dict[str, str], address: str = "203.0.113.5") -> httpx.Response:
    """A token request that a proxy of ours hands on."""
    return client.post("/oauth/token", data=form, headers={"X-Forwarded-For": address})


def statuses(client: httpx.Client, form: dict[str, str], times: int, address: str = "203.0.113.5") -> list[int]:
    return [ask(client, form, address).status_code for _ in range(times)]


def test_after_ten_failures_in_a_minute_the_answer_is_429(client: httpx.Client) -> None:
    assert statuses(client, WRONG, FAILURES_OF_A_CLIENT + 3) == [401] * FAILURES_OF_A_CLIENT + [429] * 3
    answer = ask(client, WRONG)
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["error"] == "slow_down"
    assert answer.headers["retry-after"] in answer.json()["error_description"]
    assert answer.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in answer.headers


def test_the_right_secret_gets_a_token_even_from_a_limited_address(client: httpx.Client) -> None:
    assert statuses(client, WRONG, 30)[-1] == 429
    for _ in range(30):
        statuses(client, GRANT | {"client_id": "another", "client_secret": "wrong"}, 2)
        assert ask(client, RIGHT).status_code == 200
    assert ask(client, RIGHT, "198.51.100.9").status_code == 200


def test_the_answer_does_not_reveal_whether_a_client_id_exists(client: httpx.Client) -> None:
    """The same answers, byte for byte but for the seconds, and the same work at Valkey."""
    seen = []
    for form, address in ((WRONG, "203.0.113.5"), (UNKNOWN, "198.51.100.9")):
        answers = [ask(client, form, address) for _ in range(FAILURES_OF_A_CLIENT + 2)]
        told = [answer.text.replace(answer.headers.get("retry-after", "-"), "N") for answer in answers]
        seen.append([(answer.status_code, sorted(answer.headers)) for answer in answers] + told)
    assert seen[0] == seen[1]


def test_known_and_unknown_clients_cost_the_same_valkey_commands(serve: Serve, real_valkey_url: str) -> None:
    client = serve(REDIS_URL=real_valkey_url)
    work = []
    for form, address in ((WRONG, "203.0.113.5"), (UNKNOWN, "198.51.100.9")):
        ask(client, form, "192.0.2.1")  # the scripts are loaded
        with RedisMonitor(real_valkey_url) as monitor:
            statuses(client, form, FAILURES_OF_A_CLIENT + 2, address)
        work.append([command.split()[0] for command in monitor.commands if LIMIT_PREFIX in command])
    assert work[0] == work[1]
    assert len(work[0]) == 2 * (FAILURES_OF_A_CLIENT + 1) + 2, "two counts for each failure; then the end of the window, once"


def test_a_limited_client_costs_no_valkey_command(serve: Serve, real_valkey_url: str) -> None:
    client = serve(REDIS_URL=real_valkey_url)
    assert statuses(client, WRONG, FAILURES_OF_A_CLIENT + 1)[-1] == 429
    with RedisMonitor(real_valkey_url) as monitor:
        assert set(statuses(client, WRONG, 50)) == {429}
    assert [command for command in monitor.commands if LIMIT_PREFIX in command] == []


def test_an_address_that_tries_many_client_ids_is_limited(client: httpx.Client) -> None:
    forms = [GRANT | {"client_id": f"client-{number}", "client_secret": "x"} for number in range(FAILURES_OF_AN_ADDRESS + 5)]
    answers = [ask(client, form).status_code for form in forms]
    assert answers == [401] * FAILURES_OF_AN_ADDRESS + [429] * 5
    assert ask(client, forms[-1], "198.51.100.9").status_code == 401


def test_credentials_that_cannot_be_read_count_as_failures(client: httpx.Client) -> None:
    headers = {"Authorization": "Basic !!!"}
    answers = [client.post("/oauth/token", data=GRANT, headers=headers).status_code for _ in range(FAILURES_OF_A_CLIENT + 1)]
    assert answers == [401] * FAILURES_OF_A_CLIENT + [429]
    assert client.post("/oauth/token", data={}).status_code == 400, "a malformed request is no guess"


def test_clients_behind_a_trusted_proxy_are_limited_individually_and_an_ipv6_network_as_one(client: httpx.Client) -> None:
    assert statuses(client, WRONG, FAILURES_OF_A_CLIENT + 1, "203.0.113.5")[-1] == 429
    assert statuses(client, WRONG, 1, "203.0.113.6") == [401]
    network = [ask(client, WRONG, f"2001:db8:0:1::{number:x}").status_code for number in range(FAILURES_OF_A_CLIENT + 1)]
    assert network[-1] == 429
    assert statuses(client, WRONG, 1, "2001:db8:0:2::1") == [401]


def test_an_untrusted_peer_cannot_choose_its_address(serve: Serve, fake_valkey_url: str) -> None:
    client = serve(REDIS_URL=fake_valkey_url, TRUSTED_PROXIES="10.0.0.0/8")
    answers = [ask(client, WRONG, f"203.0.113.{number}").status_code for number in range(FAILURES_OF_A_CLIENT + 1)]
    assert answers[-1] == 429


def test_the_limit_is_one_for_all_ingresses(serve: Serve, valkey_url: str) -> None:
    clients = [serve(REDIS_URL=valkey_url) for _ in range(2)]
    answers = [ask(clients[number % 2], WRONG).status_code for number in range(FAILURES_OF_A_CLIENT + 2)]
    assert answers == [401] * FAILURES_OF_A_CLIENT + [429] * 2


def test_stored_counts_expire_within_a_minute_and_hold_no_address(client: httpx.Client, valkey_url: str) -> None:
    statuses(client, WRONG, 3)
    with redis.Redis.from_url(valkey_url, decode_responses=True) as valkey:
        kept = {str(key): valkey.ttl(key) for key in valkey.scan_iter(f"{LIMIT_PREFIX}*")}
    assert len(kept) == 2
    assert all(0 < seconds <= 60 for seconds in kept.values())
    assert not any(word in key for word in (CLIENT_ID, "203.0.113.5") for key in kept)


def test_without_valkey_no_client_is_limited_and_nothing_fails(serve: Serve, real_valkey: RealValkey) -> None:
    client = serve(REDIS_URL=real_valkey.url, COMMIT_TIMEOUT="200ms")
    ask(client, WRONG)
    real_valkey.kill()
    assert statuses(client, WRONG, FAILURES_OF_A_CLIENT + 2) == [401] * (FAILURES_OF_A_CLIENT + 2)
    assert ask(client, RIGHT).status_code == 200
    real_valkey.start()
    real_valkey.freeze()
    assert statuses(client, WRONG, 2) == [401, 401]
    assert ask(client, RIGHT).status_code == 200
    real_valkey.resume()
