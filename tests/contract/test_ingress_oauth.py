"""POST /oauth/token after RFC 6749: the token that Instacart Connect fetches, and every refusal of section 5.2."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from urllib.parse import quote, quote_plus

import httpx
import jwt
import pytest

from ingress.bearer import issue
from ingress.oauth import MAX_FORM_BYTES
from tests.support.ingress_client import Serve, running_ingress, stored
from tests.support.settings import CLIENT_ID, CLIENT_SECRET, SIGNING_KEY, make_settings

GRANT = {"grant_type": "client_credentials"}
CLIENT = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
FORM = GRANT | CLIENT


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running_ingress(make_settings()) as url, httpx.Client(base_url=url) as client:
        yield client


def basic(client_id: str, secret: str) -> dict[str, str]:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def assert_never_cached(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


def assert_refused(answer: httpx.Response, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.json()["error_description"]
    assert ("www-authenticate" in answer.headers) == (error == "invalid_client")
    assert_never_cached(answer)


@pytest.mark.parametrize(
    ("form", "headers"),
    [(FORM, {}), (GRANT, basic(CLIENT_ID, CLIENT_SECRET)), (GRANT | {"client_id": CLIENT_ID}, basic(CLIENT_ID, CLIENT_SECRET))],
    ids=["form", "Basic", "Basic and id"],
)
def test_an_issued_token_is_accepted_by_the_webhook(
    serve: Serve, valkey_url: str, form: Mapping[str, str], headers: Mapping[str, str]
) -> None:
    client = serve(REDIS_URL=valkey_url, TOKEN_TTL="10m")

    answer = client.post("/oauth/token", data=form, headers=headers)

    assert answer.status_code == 200
    assert_never_cached(answer)
    granted = answer.json()
    assert granted.keys() == {"access_token", "token_type", "expires_in"}
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 600)
    event = client.post("/webhook", content=b"{}", headers={"Authorization": f"Bearer {granted['access_token']}"})
    assert [entry[0] for entry in stored(valkey_url)] == [event.json()["id"]]


def test_scope_and_resource_are_in_the_token_and_the_scope_is_in_the_answer(client: httpx.Client) -> None:
    answer = client.post("/oauth/token", data=FORM | {"scope": "orders:write events", "resource": "https://store.example"})

    assert answer.json()["scope"] == "orders:write events"
    claims = jwt.decode(answer.json()["access_token"], SIGNING_KEY, algorithms=["HS256"], audience="https://store.example")
    assert (claims["scope"], claims["sub"]) == ("orders:write events", CLIENT_ID)


def test_two_secrets_are_valid_while_one_replaces_the_other(serve: Serve) -> None:
    new, old, older = (f"the {name} secret of the client" for name in ("new", "old", "older"))
    client = serve(INSTACART_CLIENT_SECRET=f"{new}, {old}")

    statuses = [client.post("/oauth/token", data=FORM | {"client_secret": each}).status_code for each in (new, old, older)]

    assert statuses == [200, 200, 401]


def test_an_expired_token_is_refused_and_says_so(client: httpx.Client) -> None:
    token = issue(SIGNING_KEY, CLIENT_ID, time.time() - 7200, timedelta(hours=1), None, None)

    answer = client.post("/webhook", content=b"{}", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert "expired" in answer.json()["detail"]


@pytest.mark.parametrize(
    "form",
    [
        CLIENT,
        CLIENT | {"grant_type": ""},
        FORM | {"grant_type": ["client_credentials", "client_credentials"]},
        FORM | {"scope": ["a", "b"]},
        FORM | {"unknown": ["a", "b"]},
        FORM | {f"field{number}": "x" for number in range(40)},
    ],
    ids=["no grant type", "empty grant type", "grant type twice", "scope twice", "unknown twice", "too many"],
)
def test_a_malformed_request_is_invalid_request(client: httpx.Client, form: Mapping[str, str]) -> None:
    assert_refused(client.post("/oauth/token", data=form), "invalid_request")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"grant_type":"client_credentials"}', "application/json"),
        (b"grant_type=client_credentials", None),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
    ],
    ids=["json", "no type", "percent not UTF-8", "not UTF-8", "empty"],
)
def test_a_body_that_is_no_form_is_invalid_request(client: httpx.Client, content: bytes, kind: str | None) -> None:
    answer = client.post("/oauth/token", content=content, headers={"Content-Type": kind} if kind else {})
    assert_refused(answer, "invalid_request")


def test_a_form_may_name_its_charset(client: httpx.Client) -> None:
    content = httpx.Request("POST", "http://x", data=FORM).content
    headers = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}
    assert client.post("/oauth/token", content=content, headers=headers).status_code == 200


def test_a_huge_form_is_refused_before_it_is_read(client: httpx.Client) -> None:
    assert_refused(client.post("/oauth/token", data=FORM | {"scope": "x" * MAX_FORM_BYTES}), "invalid_request", 413)


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (GRANT, {}),
        (GRANT | {"client_id": CLIENT_ID}, {}),
        (FORM | {"client_secret": ""}, {}),
        (FORM | {"client_secret": "wrong"}, {}),
        (FORM | {"client_id": "wrong"}, {}),
        (FORM | {"client_id": "\u00fc", "client_secret": "\u20ac"}, {}),
        (GRANT, basic(CLIENT_ID, "wrong")),
        (GRANT, {"Authorization": "Basic !!!"}),
        (GRANT, {"Authorization": "Basic /w=="}),
        (GRANT, {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()}),
        (GRANT, {"Authorization": basic(CLIENT_ID, CLIENT_SECRET)["Authorization"].replace("Basic", "Bearer")}),
    ],
    ids=str,
)
def test_a_client_that_is_not_known_is_invalid_client(
    client: httpx.Client, form: Mapping[str, str], headers: Mapping[str, str]
) -> None:
    answer = client.post("/oauth/token", data=form, headers=headers)

    assert_refused(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "encode", [lambda text: text, quote_plus, lambda text: quote(text, safe="")], ids=["not", "form", "percent"]
)
def test_an_id_and_a_secret_that_hold_plus_and_percent_are_known_however_the_client_encodes_them(
    serve: Serve, valkey_url: str, encode: Callable[[str], str]
) -> None:
    """Authlib and requests-oauthlib do not encode for HTTP Basic; openid-client and simple-oauth2 do, as RFC 6749 2.3.1 says."""
    client_id, secret = "shop+1%2B@store", "s3cr3t+with%41%2bsigns/and=more"
    client = serve(REDIS_URL=valkey_url, INSTACART_CLIENT_ID=client_id, INSTACART_CLIENT_SECRET=secret)
    pair = base64.b64encode(f"{encode(client_id)}:{encode(secret)}".encode()).decode()

    answer = client.post("/oauth/token", data=GRANT, headers={"Authorization": f"Basic {pair}"})

    assert answer.status_code == 200, answer.text
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert client.post("/webhook", content=b"{}", headers=token).status_code == 200
    half = base64.b64encode(f"{client_id}:{quote_plus(secret)}!".encode()).decode()
    assert_refused(client.post("/oauth/token", data=GRANT, headers={"Authorization": f"Basic {half}"}), "invalid_client", 401)


def test_a_form_has_one_reading(serve: Serve) -> None:
    client = serve(INSTACART_CLIENT_SECRET="a secret with a plus+")
    wrong = FORM | {"client_secret": quote_plus("a secret with a plus+")}
    assert_refused(client.post("/oauth/token", data=wrong), "invalid_client", 401)


def test_a_client_that_authenticates_twice_is_refused(client: httpx.Client) -> None:
    answer = client.post("/oauth/token", data=FORM, headers=basic(CLIENT_ID, CLIENT_SECRET))
    assert_refused(answer, "invalid_request")


@pytest.mark.parametrize("grant_type", ["authorization_code", "password", "refresh_token", "CLIENT_CREDENTIALS"])
def test_another_grant_is_unsupported(client: httpx.Client, grant_type: str) -> None:
    assert_refused(client.post("/oauth/token", data=FORM | {"grant_type": grant_type}), "unsupported_grant_type")


@pytest.mark.parametrize("scope", ['say "hi"', "back\\slash", "\u00fc", "two  spaces", " ", "new\nline"])
def test_a_scope_outside_the_grammar_is_invalid(client: httpx.Client, scope: str) -> None:
    assert_refused(client.post("/oauth/token", data=FORM | {"scope": scope}), "invalid_scope")


def test_the_answer_does_not_reveal_which_of_id_and_secret_is_wrong(client: httpx.Client) -> None:
    answers = [client.post("/oauth/token", data=FORM | {field: "wrong"}).text for field in CLIENT]
    assert len(set(answers)) == 1
