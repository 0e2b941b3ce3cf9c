"""The AsyncAPI 3.0 document of all messages received: both providers, every dialect, with recorded examples. Pure."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from deploy.documents.json_schema import Components
from deploy.documents.proofs import address_of, security_scheme
from schemas.contracts import BUILT_IN, Contract
from schemas.events import Provider
from schemas.messages import MESSAGES, NOT_PUBLISHED, Message
from schemas.providers.afosto import webhooks as afosto
from schemas.providers.instacart import callbacks as instacart

Example = Callable[[str], bytes]
"""Returns a recorded body by name, such as `instacart/flat/picking`."""

_DIALECTS: dict[str, tuple[type, str, str]] = {
    "flat": (instacart.Flat, "event", "In the flat dialect, the published one."),
    "envelope": (instacart.Envelope, "event_name", "In the envelope dialect, shown in the provider's own documentation."),
}
_DELIVERIES = frozenset({"IN_TRANSIT", "DELIVERED"})


def document(version: str, example: Example) -> dict[str, Any]:
    """Return the whole document. `example` returns a recorded body."""
    components = Components()
    channels = {
        Provider.INSTACART: _instacart_messages(components, example),
        Provider.AFOSTO: _afosto_messages(components, example),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Curbside: what it receives",
            "version": version,
            "description": (
                "Order callbacks of Instacart Connect and webhooks of Afosto. Each is a POST, answered 200 after it is on disk."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "curbside": {
                "host": "{host}",
                "protocol": "https",
                "description": "Where the ingress is reached, behind a TLS proxy.",
                "variables": {"host": {"description": "The public name of the ingress."}},
            }
        },
        "channels": {provider.value: _channel(provider, messages) for provider, messages in channels.items()},
        "operations": {f"receive_{provider.value}": _operation(provider, messages) for provider, messages in channels.items()},
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "messages": {name: each for messages in channels.values() for name, each in messages.items()},
            "securitySchemes": {str(name): security_scheme(each.proof, asyncapi=True) for name, each in BUILT_IN.items()},
        },
    }


def add_provider(document: dict[str, Any], provider: str, contract: Contract) -> None:
    """Add a user's own provider: a message for each of its wire models, or one message with any JSON."""
    components = Components(prefix=f"{provider}.")
    messages = {
        f"{provider}.{model.__name__}": {
            "name": model.__name__,
            "title": model.__name__,
            "summary": inspect.cleandoc(model.__doc__ or f"An event of {provider}."),
            "payload": components.ref(model),
        }
        for model in contract.models
    } or {f"{provider}.event": {"name": "event", "title": "Event", "summary": f"An event of {provider}.", "payload": {}}}
    document["channels"][provider] = _channel(provider, messages)
    document["operations"][f"receive_{provider}"] = _operation(provider, messages)
    document["components"]["schemas"] |= components.schemas
    document["components"]["messages"] |= messages
    document["components"]["securitySchemes"][provider] = security_scheme(contract.proof, asyncapi=True)


def _channel(provider: str, messages: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "address": address_of(provider),
        "description": f"Events of {provider}. They may arrive in any order, and more than once.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operation(provider: str, messages: Mapping[str, Any]) -> dict[str, Any]:
    channel = f"#/channels/{provider}"
    return {
        "action": "receive",
        "channel": {"$ref": channel},
        "summary": f"Receive an event of {provider}.",
        "security": [{"$ref": f"#/components/securitySchemes/{provider}"}],
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in messages],
    }


def _instacart_messages(components: Components, example: Example) -> dict[str, Any]:
    messages = {}
    for dialect, (model, field, text) in _DIALECTS.items():
        for each in MESSAGES:
            if each.provider is Provider.INSTACART:
                body = example(f"instacart/{dialect}/{each.kind.value}")
                names = [each.name, *each.aliases]
                messages[f"{dialect}_{each.kind.value}"] = _message(each, text, components.ref(model), field, names, body)
        messages[f"{dialect}_other"] = {
            "name": f"other ({dialect})",
            "title": "Any other callback",
            "summary": "Stored under its own name, and counted as unrecognised.",
            "description": f"{text} The names of these events are not published: {', '.join(NOT_PUBLISHED)}.",
            "payload": components.ref(model),
        }
    return messages


def _afosto_messages(components: Components, example: Example) -> dict[str, Any]:
    messages = {}
    for each in MESSAGES:
        if each.provider is Provider.AFOSTO:
            model: type = afosto.DeliveryWebhook if each.name in _DELIVERIES else afosto.OrderWebhook
            name, body = each.name.lower(), example(f"afosto/{each.name.lower()}")
            messages[name] = _message(
                each, "The whole entity at the time of the event.", components.ref(model), "event", [each.name], body
            )
    return messages


def _message(each: Message, text: str, payload: Any, field: str, names: list[str], body: bytes) -> dict[str, Any]:
    return {
        "name": each.name,
        "title": each.title,
        "summary": each.summary,
        "description": text,
        "payload": {"allOf": [payload, {"required": [field], "properties": {field: {"enum": names}}}]},
        "examples": [{"name": each.name, "payload": msgspec.json.decode(body)}],
    }
