"""Signatures of raw bodies: reads what the headers claim, and verifies it against the body. Pure. Times are seconds since 1970.

Several secrets are valid during a rotation, and a header may hold several signatures: each secret is tried on each, in constant
time. If no time is signed, deduplication drops a replayed request.
"""

import hmac
import re
from binascii import Error, a2b_base64, unhexlify
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from ingress.problems import RefusedError
from schemas.proofs import BODY, DIGEST_BYTES, TIMESTAMP, Hmac, StandardWebhooks
from schemas.refusals import Cause
from schemas.settings.secrets import Secret, endpoint_id, key_of

Headers = Mapping[bytes, bytes]
MAX_SIGNATURES = 16
"""Signatures in one header. There are two while a secret is rotated."""
_from_base64: Callable[[bytes], bytes] = partial(a2b_base64, strict_mode=True)
_DIGITS = re.compile(rb"[0-9]{1,14}")
_MILLISECONDS_FROM_CHARS = 12
"""A time of so many digits is in milliseconds: as seconds it would be after the year 5000."""


class Claim(NamedTuple):
    """What the headers claim: digests, one of which must match `before + body + after`, and the signed time."""

    digests: Sequence[bytes]
    before: bytes = b""
    after: bytes = b""
    timestamp: bytes | None = None


class Signatures:
    """One provider's: `check_headers`, then `check_body`; both raise `RefusedError`."""

    def __init__(self, proof: Hmac | StandardWebhooks, secrets: Sequence[Secret]) -> None:
        self._read: Callable[[Headers], Claim]
        key: Callable[[str], bytes]
        self._plain: HmacReader | None = None
        if isinstance(proof, StandardWebhooks):
            self._read, self._digest, key, endpoint = read_standard_webhooks, "sha256", key_of, None
        else:
            reader = HmacReader(proof)
            self._read, self._digest, key, endpoint = reader.read, proof.digest, str.encode, proof.endpoint_header
            self._plain = reader if proof.signed == BODY else None
        self._header, self._plain_chars = (self._plain.header, self._plain.chars) if self._plain else (b"", -1)
        self._endpoint = endpoint.lower().encode() if endpoint else None
        self._tolerance_seconds = (proof.tolerance or timedelta(0)).total_seconds()
        self._shared = tuple(key(each.text) for each in secrets if each.owner is None)
        self._of_endpoint: dict[bytes, tuple[bytes, ...]] = {
            each.owner.encode(): tuple(key(other.text) for other in secrets if other.owner in (None, each.owner))
            for each in secrets
            if each.owner is not None
        }

    def check_headers(self, headers: Headers, now_seconds: float) -> None:
        """Refuse a claim that is missing or malformed, and one whose time is too far from `now_seconds`."""
        if len(headers.get(self._header, b"")) == self._plain_chars:
            return  # only the body is signed: nothing more can be checked without it
        timestamp = self._read(headers).timestamp
        if timestamp is None:
            return
        if (seconds := seconds_of(timestamp)) is None:
            raise RefusedError("the signed time is malformed", Cause.TIMESTAMP_MALFORMED)
        if abs(now_seconds - seconds) > self._tolerance_seconds:
            side = "old" if seconds < now_seconds else "new"
            raise RefusedError(f"the signed time is too {side}", Cause.TIMESTAMP_OUT_OF_TOLERANCE)

    def check_body(self, headers: Headers, body: bytes) -> None:
        """Refuse a body that is not signed under a secret of this endpoint."""
        if self._plain is not None:  # most schemes: no need to copy the body
            digests: Sequence[bytes] = (self._plain.digest(headers[self._header]),)
            signed = body
        else:
            digests, before, after, _ = self._read(headers)
            signed = b"".join((before, body, after))
        valid = False
        for key in self._keys(headers):
            expected = hmac.digest(key, signed, self._digest)
            for each in digests:
                valid |= hmac.compare_digest(expected, each)
        if not valid:
            whose = "of this endpoint" if self._endpoint else "in use"
            raise RefusedError(f"the signature does not match the body under a secret {whose}", Cause.SIGNATURE_WRONG)

    def _keys(self, headers: Headers) -> Sequence[bytes]:
        if not self._of_endpoint or self._endpoint is None or (named := headers.get(self._endpoint)) is None:
            return self._shared
        if (keys := self._of_endpoint.get(named)) is not None:
            return keys
        usual = endpoint_id(named.decode("latin-1")) or ""
        return self._of_endpoint.get(usual.encode(), self._shared)


class HmacReader:
    """Reads the headers of one HMAC scheme. Raises `RefusedError` if something is missing or malformed."""

    def __init__(self, proof: Hmac) -> None:
        self._name, self.header, self._fields = proof.header, proof.header.lower().encode(), proof.fields
        self._size = size = DIGEST_BYTES[proof.digest]
        self._decode, chars = (unhexlify, size * 2) if proof.encoding == "hex" else (_from_base64, (size + 2) // 3 * 4)
        self._prefix, self.chars = proof.prefix.encode(), len(proof.prefix) + chars
        self._timestamp = proof.timestamp_header.lower().encode() if proof.timestamp_header else None
        before, _, after = proof.signed.partition(BODY)
        self._before, self._after = before.encode(), after.encode()

    def read(self, headers: Headers) -> Claim:
        """What the headers claim."""
        value = headers.get(self.header, b"")
        if self._fields is None:
            digests = [self.digest(value)]
            return (
                self._timed(digests, headers.get(self._timestamp))
                if self._timestamp
                else Claim(digests, self._before, self._after)
            )
        pairs = [pair.strip().partition(b"=") for pair in value.split(self._fields.separator.encode())]
        digests = [self.digest(text) for name, _, text in pairs if name == self._fields.signature.encode()]
        times = [text for name, _, text in pairs if name == self._fields.timestamp.encode()]
        if not 1 <= len(digests) <= MAX_SIGNATURES or len(times) > 1:
            raise self._malformed() if value else self._missing()
        return self._timed(digests, times[0] if times else None)

    def digest(self, text: bytes) -> bytes:
        """The digest in one signature."""
        if not text:
            raise self._missing()
        try:
            digest = self._decode(text[len(self._prefix) :])
        except Error:
            raise self._malformed() from None
        if len(digest) != self._size or not text.startswith(self._prefix):
            raise self._malformed()
        return digest

    def _missing(self) -> RefusedError:
        return RefusedError(f"the header {self._name} is missing", Cause.SIGNATURE_MISSING)

    def _malformed(self) -> RefusedError:
        return RefusedError(f"the header {self._name} is malformed", Cause.SIGNATURE_MALFORMED)

    def _timed(self, digests: Sequence[bytes], timestamp: bytes | None) -> Claim:
        if not timestamp:
            raise RefusedError("the signed time is missing", Cause.TIMESTAMP_MISSING)
        place = TIMESTAMP.encode()
        return Claim(digests, self._before.replace(place, timestamp), self._after.replace(place, timestamp), timestamp)


def read_standard_webhooks(headers: Headers) -> Claim:
    """What the headers of a Standard Webhook claim. Only signatures of version 1 are read."""
    value, name, timestamp = (headers.get(each, b"") for each in (b"webhook-signature", b"webhook-id", b"webhook-timestamp"))
    if not value or not name:
        raise RefusedError(f"the header webhook-{'id' if value else 'signature'} is missing", Cause.SIGNATURE_MISSING)
    if not timestamp:
        raise RefusedError("the header webhook-timestamp is missing", Cause.TIMESTAMP_MISSING)
    try:
        digests = [_from_base64(each[3:]) for each in value.split(b" ")[:MAX_SIGNATURES] if each.startswith(b"v1,")]
    except Error:
        digests = []
    digests = [each for each in digests if len(each) == DIGEST_BYTES["sha256"]]
    if not digests or b"." in name:  # a dot in the id could move the line between id and time
        raise RefusedError("the header webhook-signature or webhook-id is malformed", Cause.SIGNATURE_MALFORMED)
    return Claim(digests, b"%b.%b." % (name, timestamp), b"", timestamp)


def seconds_of(timestamp: bytes) -> float | None:
    """Read a signed time: digits (seconds or milliseconds since 1970) or RFC 3339. None if it is neither."""
    if _DIGITS.fullmatch(timestamp):
        return int(timestamp) / (1000 if len(timestamp) >= _MILLISECONDS_FROM_CHARS else 1)
    try:
        time = datetime.fromisoformat(timestamp.decode("ascii"))
    except ValueError:
        return None
    return time.timestamp() if time.tzinfo else None
