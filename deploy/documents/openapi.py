"""The OpenAPI 3.1 document of the ingress' HTTP interface. Pure."""

from typing import Any

from deploy.documents.json_schema import Components
from deploy.documents.proofs import address_of, parameters, security_scheme
from schemas.contracts import BUILT_IN, Contract
from schemas.events import Provider

Answers = dict[str, Any]

_PROBLEM = "#/components/schemas/Problem"
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_CHALLENGE = {"WWW-Authenticate": {"description": "What is missing or wrong.", "schema": {"type": "string"}}}
_ACCEPTS = {"Accept-Encoding": {"description": "The codings that are accepted.", "schema": {"type": "string"}}}
_CACHED = {
    "ETag": {"description": "Version of this document, for `If-None-Match`.", "schema": {"type": "string"}},
    "Cache-Control": {"schema": {"type": "string"}},
}


def document(version: str) -> dict[str, Any]:
    """Return the whole document."""
    components, instacart = Components(), BUILT_IN[Provider.INSTACART]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Curbside ingress",
            "version": version,
            "description": (
                "Receives events and answers after they are on disk. Errors are RFC 9457 problem details, including 404 for "
                "any other path and 405, with `Allow`, for any other method. The paths of POST may end in a slash."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/webhook": _address("Instacart", _event("receiveInstacart", Provider.INSTACART, instacart, components)),
            "/webhook/instacart": _address(
                "InstacartByName", _event("receiveInstacartByName", Provider.INSTACART, instacart, components)
            ),
            "/webhook/afosto": _address(
                "Afosto", _event("receiveAfosto", Provider.AFOSTO, BUILT_IN[Provider.AFOSTO], components)
            ),
            "/webhook/{provider}": {"post": _NO_SUCH_PROVIDER},
            "/oauth/token": {"post": _token(), "options": _options("optionsToken")},
            "/healthz": {"get": _get("healthz", "Whether the process is running.", {"status": "ok"})},
            "/readyz": {"get": _get("readyz", "Whether Valkey accepts writes.", {"status": "ready"}, _unavailable())},
            "/asyncapi.json": {"get": _get("asyncapi", "The AsyncAPI document of all messages.", None, _UNCHANGED, _CACHED)},
            "/openapi.json": {"get": _get("openapi", "This document.", None, _UNCHANGED, _CACHED)},
        },
        "components": {
            "schemas": dict(sorted((components.schemas | _SCHEMAS).items())),
            "securitySchemes": {str(name): security_scheme(each.proof, asyncapi=False) for name, each in BUILT_IN.items()}
            | _CLIENT,
        },
    }


def add_provider(document: dict[str, Any], provider: str, contract: Contract) -> None:
    """Add a user's own provider: its path, its proof and its wire models."""
    components = Components(prefix=f"{provider}.")
    document["paths"][address_of(provider)] = _address(
        f"_{provider}", _event(f"receive_{provider}", provider, contract, components)
    )
    document["components"]["schemas"] |= components.schemas
    document["components"]["securitySchemes"][provider] = security_scheme(contract.proof, asyncapi=False)


_UNCHANGED: Answers = {"304": {"description": "Not modified: `If-None-Match` names the current version.", "headers": _CACHED}}
_CLIENT = {
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": "Client id and secret (RFC 6749, 2.3.1). Alternatively both are form fields.",
    },
}
_TITLES: dict[str, str] = {Provider.INSTACART: "Instacart Connect", Provider.AFOSTO: "Afosto"}
_TEXT = {"type": "string"}
_SCHEMAS: dict[str, Any] = {
    "Accepted": {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {**_TEXT, "description": "The event's id.", "examples": ["1732230000000-0"]}},
    },
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT},
    },
    "TokenRequest": {
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": {"const": "client_credentials"},
            **dict.fromkeys(("client_id", "client_secret", "scope", "resource"), _TEXT),
        },
    },
    "Token": {
        "type": "object",
        "required": ["access_token", "token_type", "expires_in"],
        "properties": {
            "access_token": _TEXT,
            "token_type": {"const": "Bearer"},
            "expires_in": {"type": "integer", "description": "Seconds."},
            "scope": _TEXT,
        },
    },
    "OAuthError": {
        "type": "object",
        "description": "RFC 6749, 5.2.",
        "required": ["error"],
        "properties": {"error": _TEXT, "error_description": _TEXT},
    },
}


def _address(name: str, post: dict[str, Any]) -> dict[str, Any]:
    """Return the operations of a webhook path: POST, and GET, HEAD and OPTIONS for consoles that check the URL."""
    get: Answers = {"200": {"description": "Events are posted here.", "content": {"text/plain": {"schema": _TEXT}}}}
    head: Answers = {"200": {"description": "Events are posted here."}}
    checks = {
        method: {
            "operationId": f"{method}{name}",
            "summary": "Check the webhook URL.",
            "security": [],
            "responses": answers,
        }
        for method, answers in (("get", get | _BUG), ("head", head | _BUG))
    }
    return {"post": post, **checks, "options": _options(f"options{name}")}


def _options(operation: str) -> dict[str, Any]:
    allowed = {"description": "See `Allow`.", "headers": {"Allow": {"schema": _TEXT}}}
    return {
        "operationId": operation,
        "summary": "List the allowed methods.",
        "security": [],
        "responses": {"204": allowed, **_BUG},
    }


def _event(operation: str, provider: str, contract: Contract, components: Components) -> dict[str, Any]:
    models = [components.ref(each) for each in contract.models]
    body = {"anyOf": models} if len(models) > 1 else models[0] if models else {}
    problems = {
        "400": ("The body is empty.", {}),
        "401": ("Token, signature or login is missing, wrong or expired.", _CHALLENGE),
        "408": ("The body did not arrive in time.", {}),
        "413": ("The body is larger than MAX_BODY_BYTES.", {}),
        "415": ("The Content-Encoding is none that `Accept-Encoding` lists, or names more than two.", _ACCEPTS),
    }
    return {
        "operationId": operation,
        "summary": f"Receive an event of {_TITLES.get(provider, provider)}.",
        "description": (
            "The body may be compressed, as `Content-Encoding` says. It is decoded after the answer: an undecodable one is accepted, "
            "and kept as a failure."
        ),
        "security": [{str(provider): []}],
        "parameters": parameters(contract.proof),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _answer("The event is on disk.", {"$ref": "#/components/schemas/Accepted"}),
            **{status: _problem(text, more) for status, (text, more) in problems.items()},
            **_unavailable(),
            **_BUG,
        },
    }


def _token() -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/OAuthError"}
    return {
        "operationId": "token",
        "summary": "The OAuth 2.0 client-credentials endpoint that Instacart Connect needs.",
        "security": [{"client": []}, {}],
        "requestBody": {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/TokenRequest"}}},
        },
        "responses": {
            "200": _answer("The token.", {"$ref": "#/components/schemas/Token"}),
            "400": _answer("The request is wrong.", error),
            "401": {**_answer("The client is not known, or its secret is wrong.", error), "headers": _CHALLENGE},
            "408": _answer("The form did not arrive in time.", error),
            "413": _answer("The form is too large.", error),
            "429": {
                **_answer("Too many wrong credentials: wait. Correct credentials are accepted at any time.", error),
                "headers": _RETRY_AFTER,
            },
            **_BUG,
        },
    }


def _get(operation: str, summary: str, example: Any, more: Answers | None = None, headers: Any = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"} | ({"examples": [example]} if example else {})
    found = _answer(summary, schema) | ({"headers": headers} if headers else {})
    answers = {"200": found, **(more or {}), **_BUG}
    return {"operationId": operation, "summary": summary, "security": [], "responses": answers}


def _answer(text: str, schema: Any) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _problem(text: str, headers: Any) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _PROBLEM}}}
    return {"description": text, "content": content} | ({"headers": headers} if headers else {})


def _unavailable() -> Answers:
    return {"503": _problem("Valkey is unavailable, full or too slow. The event is not accepted: send it again.", _RETRY_AFTER)}


_BUG: Answers = {"500": _problem("An internal error: send it again.", {})}
_NO_SUCH_PROVIDER: dict[str, Any] = {
    "operationId": "receiveFromNobody",
    "summary": "Any other name: an unknown provider.",
    "security": [],
    "parameters": [{"name": "provider", "in": "path", "required": True, "schema": _TEXT}],
    "responses": {"404": _problem("Unknown provider; the detail names the known ones.", {}), **_BUG},
}
