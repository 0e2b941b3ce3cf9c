"""Parses secrets from settings, and refuses texts that are no secret. Errors are ValueError, and quote no secret.

White space around a secret is stripped. Quotes around it and invisible characters in it are refused: they come from copying,
and no provider's secret has them. Every secret has at least 16 characters.
"""

import binascii
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

_T = TypeVar("_T")
MIN_SECRET_CHARS = 16
MIN_KEY_BYTES = 16
STANDARD_KEY_BYTES = range(24, 65)
"""The length of a key in Standard Webhooks, in bytes."""
_QUOTES = (('"', '"'), ("'", "'"), ("`", "`"), ("“", "”"), ("„", "“"), ("‘", "’"), ("«", "»"))
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
_ENDPOINT = re.compile(
    r"(?:urn:uuid:)?(\{)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})(?(1)\})", re.I
)
_NAME = re.compile(r"(?:[a-z0-9]+|[A-Z0-9]+)(?:[-_.:/ ](?:[a-z0-9]+|[A-Z0-9]+))*=")
"""Words in one case and an equals sign: not Base64, but the name of an endpoint without its secret."""


@dataclass(frozen=True)
class Secret:
    """A secret and its owner: an endpoint's UUID, a user's name, or None for all. Its text is never shown."""

    text: str = field(repr=False)
    owner: str | None = None


def several(text: str, read: Callable[[str], _T]) -> tuple[_T, ...]:
    """Parse secrets separated by commas, all of which are valid. An error says which one is wrong."""
    _refuse_quotes(text.strip())
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError("expected at least one secret; several, separated by commas, are all valid")
    read_ones = []
    for place, part in enumerate(parts, 1):
        try:
            read_ones.append(read(part))
        except ValueError as error:
            raise ValueError(f"{error} (value {place} of {len(parts)})" if len(parts) > 1 else str(error)) from None
    return tuple(read_ones)


def visible(text: str) -> str:
    """The text without surrounding white space. Raises ValueError for quotes around it or invisible characters in it."""
    text = text.strip()
    _refuse_quotes(text)
    if any(unicodedata.category(each) in _INVISIBLE and each != " " for each in text):
        raise ValueError("an invisible character is in it: type it anew, or copy it without")
    return text


def secret(text: str, least_chars: int = MIN_SECRET_CHARS, what: str = "every secret") -> str:
    """One secret that is long enough."""
    text = visible(text)
    if len(text) < least_chars:
        raise ValueError(f"expected at least {least_chars} characters for {what}, got {len(text)}")
    return text


def exact_secret(text: str) -> str:
    """One secret that other programs read unchanged: surrounding white space is refused."""
    if visible(text) != text:
        raise ValueError("white space is around it")
    return secret(text)


def endpoint_id(text: str) -> str | None:
    """An endpoint's UUID in its usual spelling, from any other (capitals, braces, `urn:uuid:`, no hyphens); None if it is no UUID."""
    found = _ENDPOINT.fullmatch(text.strip())
    return "-".join(found.groups()[1:]).lower() if found else None


def endpoint_secret(text: str) -> Secret:
    """`endpoint=secret` if a UUID is before the first equals sign; anything else is a secret for every endpoint, as a whole."""
    text = visible(text)
    name, _, rest = text.partition("=")
    if text.startswith("="):
        raise ValueError("no endpoint is before the =: expected a secret, or endpoint-uuid=secret")
    if (endpoint := endpoint_id(name)) is None or "=" not in text:
        if _NAME.fullmatch(text):
            raise ValueError("no secret is behind the =, and what is before it is no endpoint's UUID")
        return Secret(secret(text))
    if not rest.strip():
        raise ValueError(f"no secret is behind the = of endpoint {endpoint}")
    return Secret(secret(rest, what=f"every secret, that of endpoint {endpoint} too"), endpoint)


def login(text: str) -> Secret:
    """`user:password`."""
    user, colon, password = visible(text).partition(":")
    if not colon or not user:
        raise ValueError("expected user:password")
    return Secret(secret(password, what="every password"), user)


def key_of(text: str) -> bytes:
    """The key of a Standard Webhooks secret, `whsec_` and Base64, with or without padding."""
    encoded = visible(text).removeprefix("whsec_").rstrip("=").encode()
    try:
        return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)
    except binascii.Error:
        raise ValueError("expected whsec_ and Base64 (letters, digits, + and /)") from None


def webhook_secret(text: str) -> str:
    """A provider's Standard Webhooks secret, whose key has at least 16 bytes; the provider chooses the length."""
    if (count := len(key_of(text))) < MIN_KEY_BYTES:
        raise ValueError(f"expected a key of at least {MIN_KEY_BYTES} bytes, which are 22 characters of Base64, got {count}")
    return visible(text)


def own_webhook_secret(text: str) -> str:
    """The secret of our own Standard Webhooks, whose key has 24 to 64 bytes, as the standard demands."""
    if text and (count := len(key_of(text))) not in STANDARD_KEY_BYTES:
        raise ValueError(f"expected a key of 24 to 64 bytes, which are 32 to 88 characters of Base64, got {count}")
    return visible(text)


def _refuse_quotes(text: str) -> None:
    if any(len(text) > 1 and text[0] == left and text[-1] == right for left, right in _QUOTES):
        raise ValueError("quotes are around it: leave them away")
