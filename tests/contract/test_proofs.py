"""Every kind of proof on the real ingress: a user's providers of each kind, declared by one module."""

import ast
import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import validate

from deploy.cli.provider import Sender
from deploy.documents.files import published
from schemas.contracts import BUILT_IN, CONTRACTS
from schemas.refusals import Cause
from schemas.settings import Settings
from tests.examples import proofs
from tests.examples.proofs import PROOFS, PROVIDERS
from tests.support.command_line import REPOSITORY
from tests.support.ingress_client import bearer, running_ingress, signed, stored
from tests.support.settings import make_settings

SECRET, OTHER = "a secret of sixteen and more", "another of sixteen and more"
ENDPOINT = "0d5d7a0e-52c1-4f43-9a35-3c2a9a1f7b10"
CREDENTIALS = {
    **{f"{name.upper()}_SECRETS": f"{SECRET},{OTHER}" for name in ("githublike", "shopifylike", "stripelike", "slacklike")},
    "ENDPOINTS_SECRETS": f"{{{ENDPOINT.upper()}}}={SECRET}",
    "STANDARD_SECRETS": f"whsec_{base64.b64encode(bytes(range(24))).decode()}",
    "BASIC_BASIC_AUTH": f"shöp:{SECRET}:with a colon,other:{OTHER}",
    "TOKEN_CLIENT_ID": "token-shop",
    "TOKEN_CLIENT_SECRET": SECRET,
}
BODY = b'\xff any bytes {"id":"n-1"}'


@pytest.fixture
def settings(valkey_url: str) -> Iterator[Settings]:
    yield make_settings(REDIS_URL=valkey_url, PROVIDER_MODULES="tests.examples.proofs", **CREDENTIALS)
    for name in PROVIDERS:
        CONTRACTS.pop(name, None)


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with running_ingress(settings) as url:
        yield url


def test_each_provider_s_own_proof_is_accepted_and_another_s_is_refused(url: str, settings: Settings, valkey_url: str) -> None:
    strangers: Mapping[str, Mapping[str, str]] = {
        "nothing": {},
        "Instacart's token": bearer(),
        "Afosto's signature": signed(BODY),
        "an unknown login": {"Authorization": f"Basic {base64.b64encode(b'other:' + SECRET.encode()).decode()}"},
        "a login that is no Base64": {"Authorization": "Basic !"},
        "a bearer that is none": {"Authorization": f"Bearer {SECRET}"},
    }
    with Sender(settings, url, None) as sender:
        for provider in PROOFS:
            assert sender.post(BODY, provider).status == 200, provider
            for who, headers in strangers.items():
                answer = httpx.post(f"{url}/webhook/{provider}", content=BODY, headers=headers)
                assert answer.status_code == 401, (provider, who)
                assert answer.headers["www-authenticate"]
                assert SECRET not in answer.text
    assert [entry[1:] for entry in stored(valkey_url)] == [(provider, BODY) for provider in PROOFS]


def test_each_of_several_logins_is_accepted(url: str) -> None:
    for login in (f"shöp:{SECRET}:with a colon", f"other:{OTHER}"):
        given = {"Authorization": f"basic {base64.b64encode(login.encode()).decode()}"}
        assert httpx.post(f"{url}/webhook/basic", content=BODY, headers=given).status_code == 200
    for login in (":", f"shöp:{OTHER}", f"other:{OTHER} ", f"Other:{OTHER}"):
        given = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        answer = httpx.post(f"{url}/webhook/basic", content=BODY, headers=given)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="curbside", charset="UTF-8"')


def test_a_token_is_valid_for_the_route_of_its_own_provider_only(url: str, settings: Settings) -> None:
    with Sender(settings, url, None) as sender:
        tokens = {name: {"Authorization": f"Bearer {sender.fetch_token(name)}"} for name in ("instacart", "token")}
    statuses = {
        (issued, route): httpx.post(f"{url}/webhook/{route}", content=BODY, headers=tokens[issued]).status_code
        for issued in tokens
        for route in tokens
    }
    assert statuses == {
        ("instacart", "instacart"): 200,
        ("token", "token"): 200,
        ("instacart", "token"): 401,
        ("token", "instacart"): 401,
    }
    mixed = {"grant_type": "client_credentials", "client_id": "token-shop", "client_secret": "the client secret of the tests"}
    assert httpx.post(f"{url}/oauth/token", data=mixed).status_code == 401, "one provider's id with another's secret"


def test_the_published_documents_describe_each_proof() -> None:
    document = json.loads(published("openapi", PROVIDERS))
    validate(document)
    schemes = document["components"]["securitySchemes"]
    assert {name: schemes[name]["type"] for name in PROOFS} == {
        **dict.fromkeys(("githublike", "shopifylike", "stripelike", "slacklike", "endpoints", "standard"), "apiKey"),
        "basic": "http",
        "token": "oauth2",
    }
    named = {name: [each["name"] for each in document["paths"][f"/webhook/{name}"]["post"]["parameters"]] for name in PROOFS}
    assert named["slacklike"] == ["X-Slack-Request-Timestamp"]
    assert named["standard"] == ["webhook-id", "webhook-timestamp"]
    assert named["endpoints"] == ["X-Endpoint"]
    assert json.loads(published("asyncapi", PROVIDERS))["channels"].keys() == {*BUILT_IN, *PROOFS}


def test_the_page_shows_the_example_and_a_proof_for_each_row_of_its_table() -> None:
    page = (REPOSITORY / "schemas" / "README.md").read_text()
    assert (REPOSITORY / "tests" / "examples" / "toyshop.py").read_text() in page
    cells = re.findall(r"\| `((?:Hmac|StandardWebhooks|Basic|Token)\(.*?\))` \|", page)
    (table,) = [
        node.value for node in ast.walk(ast.parse(Path(proofs.__file__).read_text())) if isinstance(node, ast.AnnAssign)
    ]
    assert isinstance(table, ast.Dict)
    assert [ast.dump(ast.parse(each, mode="eval").body) for each in cells] == [ast.dump(each) for each in table.values]


def test_refusal_causes_keep_their_names() -> None:
    """Their values are stored and shown: a new one may come, none may change."""
    of_senders = {each.value for each in Cause if each.value.startswith(("token", "signature", "timestamp", "login"))}
    assert of_senders == {
        "token_missing", "token_malformed", "token_wrong", "token_expired", "token_client",
        "signature_missing", "signature_malformed", "signature_wrong",
        "timestamp_missing", "timestamp_malformed", "timestamp_out_of_tolerance", "login_missing", "login_wrong",
    }  # fmt: skip
