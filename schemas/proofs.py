"""How a provider proves its identity, as data: the ingress verifies a proof, `curbside send` makes one, the published documents describe it.

Credentials are not part of it: they are settings under the provider's name (`schemas.settings.credentials`). A proof that
cannot work raises ValueError when it is constructed.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
"""The digests of an HMAC, with their lengths."""
BODY, TIMESTAMP = "{body}", "{timestamp}"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PLACE = re.compile(r"\{[^}]*\}?|\}")


@dataclass(frozen=True)
class Token:
    """A bearer token, which the provider fetches at `/oauth/token` (RFC 6749, 4.4)."""


@dataclass(frozen=True)
class Basic:
    """HTTP Basic: a user and a password with every request (RFC 7617)."""


class Fields(NamedTuple):
    """The fields of a header that holds time and signatures: `t=1492774577,v1=5257a8…,v1=…`. Other fields are ignored."""

    signature: str
    timestamp: str
    separator: str = ","


@dataclass(frozen=True, kw_only=True)
class Hmac:
    """An HMAC of the raw body under a shared secret.

    - `header`: holds the signature, after `prefix`, in hexadecimal or Base64 (RFC 4648, section 4).
    - `fields`: the header holds several values, time and signatures among them.
    - `signed`: what is signed; `{body}` stands for the raw body, `{timestamp}` for the text of the time.
    - `timestamp_header`: holds the time: seconds or milliseconds since 1970, or RFC 3339.
    - `tolerance`: how far that time may be from ours. Must be given where a time is signed, and nowhere else.
    - `endpoint_header`: holds the UUID of the provider's endpoint, by which a secret is chosen.
    """

    header: str
    digest: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    fields: Fields | None = None
    signed: str = BODY
    timestamp_header: str | None = None
    tolerance: timedelta | None = None
    endpoint_header: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if this proof cannot work."""
        for wrong, why in self._mistakes():
            if wrong:
                raise ValueError(f"Hmac: {why}")

    def _mistakes(self) -> tuple[tuple[bool, str], ...]:
        headers = [each for each in (self.header, self.timestamp_header, self.endpoint_header) if each is not None]
        sources = (self.timestamp_header is not None) + (self.fields is not None)
        timed = TIMESTAMP in self.signed
        return (
            (not all(_HEADER.fullmatch(each) for each in headers), f"expected names of headers, got {headers}"),
            (self.digest not in DIGEST_BYTES, f"digest: expected one of {', '.join(DIGEST_BYTES)}"),
            (self.encoding not in {"hex", "base64"}, "encoding: expected hex or base64"),
            (
                sorted(_PLACE.findall(self.signed)) not in ([BODY], [BODY, TIMESTAMP]),
                "signed: expected {body} once, {timestamp} at most once, and no other braces",
            ),
            (timed and sources != 1, "a signed {timestamp} needs a timestamp_header or fields, one of the two"),
            (not timed and sources > 0, "a time that is not signed proves nothing: signed needs {timestamp}"),
            (timed and not self.tolerance, "tolerance: expected how far the signed time may be off, above zero"),
            (not timed and self.tolerance is not None, "tolerance: only a signed {timestamp} has one"),
            (self.tolerance is not None and self.tolerance < timedelta(0), "tolerance: expected a duration above zero"),
        )


@dataclass(frozen=True)
class StandardWebhooks:
    """Standard Webhooks 1.0.0, symmetric signatures (`v1`): https://www.standardwebhooks.com. Several may stand in the header."""

    tolerance: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        """Raise ValueError if this proof cannot work."""
        if self.tolerance <= timedelta(0):
            raise ValueError("StandardWebhooks: tolerance: expected a duration above zero")


Proof = Token | Basic | Hmac | StandardWebhooks
