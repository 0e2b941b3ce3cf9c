"""The addresses of events: with a trailing slash or without, no other spelling, and the answers to probes of a URL."""

import http.client

import httpx
import pytest

from schemas.contracts import CONTRACTS
from tests.support.ingress_client import Serve, bearer, signed, stored
from tests.support.settings import AFOSTO_SECRET, CLIENT_ID, CLIENT_SECRET, SIGNING_KEY

PATHS = ["/webhook", "/webhook/", *(f"/webhook/{name}{slash}" for name in CONTRACTS for slash in ("", "/"))]
GRANT = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


def proof(body: bytes) -> dict[str, str]:
    return bearer() | signed(body)


@pytest.fixture
def client(serve: Serve, real_valkey_url: str) -> httpx.Client:
    return serve(REDIS_URL=real_valkey_url)


def raw(client: httpx.Client, method: str, target: str) -> int:
    """A request whose target is sent as it is written."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0, timeout=30)
    try:
        connection.request(method, target, b"{}", proof(b"{}"))
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("path", PATHS)
def test_a_slash_at_the_end_changes_nothing(client: httpx.Client, real_valkey_url: str, path: str) -> None:
    answer = client.post(path, content=b"{}", headers=proof(b"{}"))
    assert answer.status_code == 200
    provider = "afosto" if "afosto" in path else "instacart"
    assert stored(real_valkey_url) == [(answer.json()["id"], provider, b"{}")]
    assert client.post(path, content=b"{}").status_code == 401


def test_the_token_endpoint_may_end_in_a_slash(client: httpx.Client) -> None:
    assert client.post("/oauth/token/", data=GRANT).status_code == 200


def test_no_other_spelling_of_an_address_is_routed(client: httpx.Client, real_valkey_url: str) -> None:
    spellings = ["//webhook", "/webhook//", "/webhook//instacart", "/webhook/instacart//", "/webhook/./instacart", "/Webhook"]
    spellings += [
        "/webhook%2F",
        "/webhook%2finstacart",
        "/webhook/%69nstacart",
        "/%77ebhook",
        "/webhook/instacart%00",
        "/webhook;x",
    ]
    spellings += ["/oauth/token//", "/oauth%2Ftoken", "/oauth/tok%65n", "/webhook%3Fa=b"]
    assert {target: raw(client, "POST", target) for target in spellings} == dict.fromkeys(spellings, 404)
    assert {raw(client, "GET", target) for target in ("/webhook%2F", "/%77ebhook")} == {404}
    assert stored(real_valkey_url) == []
    assert raw(client, "POST", "/webhook?a=%2F") == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_provider_console_that_probes_the_address_gets_success(client: httpx.Client, path: str) -> None:
    told = client.get(path)
    assert (told.status_code, told.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert told.text.endswith("they are posted here.\n")
    assert not any(secret in told.text for secret in (AFOSTO_SECRET, CLIENT_ID, CLIENT_SECRET, SIGNING_KEY))
    head = client.head(path)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(told.content)))
    options = client.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    for method in ("PUT", "PATCH", "DELETE", "TRACE"):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert client.get("/healthz").status_code == 200, "the connection lives"


def test_the_token_endpoint_lists_its_allowed_methods(client: httpx.Client) -> None:
    answer = client.options("/oauth/token")
    assert (answer.status_code, answer.headers["allow"]) == (204, "OPTIONS, POST")
    assert client.get("/oauth/token").status_code == 405
