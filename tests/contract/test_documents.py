"""The published documents: current, valid by the official tools, served, and printed."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from deploy.documents.files import GENERATORS, is_current, path_of, published
from deploy.documents.json_schema import STRICT, Components
from schemas.contracts import CONTRACTS
from schemas.events import Provider
from tests.examples.proofs import PROVIDERS
from tests.examples.toyshop import PROVIDERS as TOYSHOP
from tests.examples.toyshop import Notice
from tests.support.command_line import curbside, in_process
from tests.support.ingress_client import Serve, bearer

CHECKER = Path(__file__).parents[1] / "asyncapi"
REQUIRED = os.environ.get("CURBSIDE_ASYNCAPI_PARSER") == "required"


def parser() -> str:
    """The official parser's interpreter; skips the test, saying why, where it is not installed."""
    node = shutil.which("node")
    if node is not None and (CHECKER / "node_modules").is_dir():
        return node
    why = "node is not installed" if node is None else f"the parser is not installed: npm ci, in {CHECKER}"
    if REQUIRED:
        pytest.fail(why)
    pytest.skip(why)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_committed_documents_match_the_models(name: str) -> None:
    assert is_current(name), "run `curbside schema --write`, and commit what it writes"


def test_the_official_parser_finds_the_asyncapi_document_valid() -> None:
    checked = subprocess.run(
        [parser(), "validate.mjs", str(path_of("asyncapi"))],
        cwd=CHECKER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "valid: 31 messages" in checked.stdout


def test_the_official_parser_finds_a_user_s_own_providers_valid(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_bytes(published("asyncapi", {**PROVIDERS, **TOYSHOP}))
    checked = subprocess.run(
        [parser(), "validate.mjs", str(tmp_path / "own.json")],
        cwd=CHECKER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"valid: {31 + len(PROVIDERS) + 1} messages" in checked.stdout


def test_the_official_parser_finds_what_is_wrong(tmp_path: Path) -> None:
    document = json.loads(path_of("asyncapi").read_bytes())
    document["operations"]["receive_afosto"]["action"] = "swallow"
    (tmp_path / "wrong.json").write_text(json.dumps(document))
    checked = subprocess.run(
        [parser(), "validate.mjs", str(tmp_path / "wrong.json")],
        cwd=CHECKER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 1
    assert "not valid" in checked.stdout


def test_the_openapi_document_is_valid_and_names_every_path(serve: Serve) -> None:
    document = json.loads(path_of("openapi").read_bytes())
    validate(document)
    assert {f"/webhook/{provider}" for provider in Provider} < document["paths"].keys()
    client = serve()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answer = client.request(method, path)
            assert str(answer.status_code) in operation["responses"], f"{method} {path} answered {answer.status_code}"


def test_every_answer_to_a_post_is_in_the_openapi_document_with_its_headers(serve: Serve, real_valkey_url: str) -> None:
    paths = json.loads(path_of("openapi").read_bytes())["paths"]
    client = serve(REDIS_URL=real_valkey_url, MAX_BODY_BYTES="100")
    sent: list[tuple[str, dict[str, str], bytes, int]] = [
        ("/webhook", bearer(), b"{}", 200),
        ("/webhook", bearer(), b"", 400),
        ("/webhook", {}, b"{}", 401),
        ("/webhook", bearer(), b"x" * 101, 413),
        ("/webhook/afosto", {}, b"{}", 401),
        ("/webhook/{provider}", {}, b"{}", 404),
        ("/oauth/token", {}, b"", 400),
        ("/oauth/token", {"Content-Type": "application/x-www-form-urlencoded"}, b"grant_type=client_credentials", 401),
    ]
    for path, headers, body, status in sent:
        answer = client.post(path, headers=headers, content=body)
        assert answer.status_code == status
        told = paths[path]["post"]["responses"][str(status)]
        assert answer.headers["content-type"] in told["content"]
        assert {name.lower() for name in told.get("headers", {})} <= answer.headers.keys(), path
    assert all("500" in operation["responses"] for methods in paths.values() for operation in methods.values())


def test_a_provider_that_is_received_is_in_both_documents() -> None:
    """A row of `CONTRACTS` without its messages and addresses here would be a provider that the documents pass over."""
    documents = {name: json.loads(path_of(name).read_bytes()) for name in GENERATORS}
    assert documents["asyncapi"]["channels"].keys() == CONTRACTS.keys()
    named = {path.removeprefix("/webhook/") for path in documents["openapi"]["paths"] if path.startswith("/webhook/")}
    assert named == {*CONTRACTS, "{provider}"}


def test_lenient_fields_show_their_documented_type_and_strict_ones_say_so() -> None:
    schemas: dict[str, Any] = json.loads(path_of("asyncapi").read_bytes())["components"]["schemas"]
    item = schemas["Item"]["properties"]
    assert item["name"] == {"type": ["string", "null"]}
    assert item["quantity"] == {"type": ["number", "null"]}
    components = Components()
    components.ref(Notice)
    assert components.schemas["Notice"]["properties"]["id"] == {"type": "string", "description": STRICT}
    assert schemas["DeliveryData"]["properties"]["from"]["anyOf"][0] == {"$ref": "#/components/schemas/Place"}
    assert "required" not in schemas["Item"]


@pytest.mark.parametrize("name", GENERATORS)
def test_the_ingress_serves_the_document_and_answers_304_when_it_is_unchanged(serve: Serve, name: str) -> None:
    client = serve()
    answer = client.get(f"/{name}.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.content == path_of(name).read_bytes()
    for known in (answer.headers["etag"], f'"another", W/{answer.headers["etag"]}', "*"):
        again = client.get(f"/{name}.json", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/{name}.json", headers={"If-None-Match": '"another"'}).status_code == 200


def test_the_command_prints_and_checks_a_document_and_refuses_an_unknown_one() -> None:
    assert json.loads(in_process("schema", "openapi", environment={}).output)["openapi"] == "3.1.0"
    assert in_process("schema", "--check", environment={}) == (0, "current\n", "")
    refused = in_process("schema", "swagger", environment={})
    assert (refused.exit_code, refused.errors) == (2, "There is no document 'swagger': expected asyncapi or openapi.\n")
    assert "Examples: curbside schema asyncapi" in curbside("schema", "--help", environment={}).output


def test_a_document_that_is_not_current_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.documents.files.DIRECTORY", tmp_path)
    said = in_process("schema", "--check", environment={})
    assert said.exit_code == 1
    assert "Run `curbside schema --write`" in said.errors
