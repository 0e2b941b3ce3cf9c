"""Describes a provider's proof in the published documents: as a security scheme, parameters and text. Pure."""

from typing import Any

from schemas.events import Provider
from schemas.proofs import BODY, Basic, Hmac, Proof, StandardWebhooks, Token


def security_scheme(proof: Proof, *, asyncapi: bool) -> dict[str, Any]:
    """Return the security scheme of a proof."""
    match proof:
        case Token():
            flow = {"tokenUrl": "https://example.com/oauth/token", "availableScopes": {}}
            if not asyncapi:
                flow = {"tokenUrl": "/oauth/token", "scopes": {}}
            text = "A token is fetched at /oauth/token and sent as `Authorization: Bearer …`."
            return {"type": "oauth2", "description": text, "flows": {"clientCredentials": flow}}
        case Basic():
            return {"type": "http", "scheme": "basic", "description": "User and password with every request."}
        case Hmac():
            return _header(proof.header, _description(proof), asyncapi=asyncapi)
        case StandardWebhooks():
            return _header("webhook-signature", "Standard Webhooks 1.0.0, symmetric signatures (`v1`).", asyncapi=asyncapi)


def parameters(proof: Proof) -> list[dict[str, Any]]:
    """Return the other headers of a proof, as OpenAPI parameters."""
    match proof:
        case Hmac():
            return _of_endpoint(proof) + _of_time(proof.timestamp_header)
        case StandardWebhooks():
            return [_parameter("webhook-id", "The message's id.", required=True), *_of_time("webhook-timestamp")]
        case Token() | Basic():
            return []


def address_of(provider: str) -> str:
    """Return the path that a provider posts to."""
    return "/webhook" if provider == Provider.INSTACART else f"/webhook/{provider}"


def _header(name: str, text: str, *, asyncapi: bool) -> dict[str, Any]:
    return {"type": "httpApiKey" if asyncapi else "apiKey", "name": name, "in": "header", "description": text}


def _description(proof: Hmac) -> str:
    what = "the raw body" if proof.signed == BODY else f"`{proof.signed}`, the body being raw"
    form = {"hex": "Hexadecimal", "base64": "Base64 of the"}[proof.encoding]
    text = f"{form} HMAC-{proof.digest.upper()} of {what}"
    if proof.endpoint_header:
        text += f" under the secret of the endpoint that `{proof.endpoint_header}` names"
    text += f", after `{proof.prefix}`" if proof.prefix else ""
    if fields := proof.fields:
        text += f", as `{fields.timestamp}=<time>{fields.separator}{fields.signature}=<signature>`"
    return f"{text}."


def _of_endpoint(proof: Hmac) -> list[dict[str, Any]]:
    if proof.endpoint_header is None:
        return []
    schema = {"type": "string", "format": "uuid"}
    return [_parameter(proof.endpoint_header, "The endpoint's UUID: chooses the secret.", required=False, schema=schema)]


def _of_time(header: str | None) -> list[dict[str, Any]]:
    return [] if header is None else [_parameter(header, "When it was signed; too old or too new is refused.", required=True)]


def _parameter(name: str, text: str, *, required: bool, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": text,
        "schema": schema or {"type": "string"},
    }
