"""Signatures computed by the providers' own recipes, and the verdict of the ingress' `Signatures` on them."""

import base64
import hashlib
import hmac

from ingress.problems import RefusedError
from ingress.signatures import Signatures
from schemas.refusals import Cause

BODY = b'{"event":"DELIVERED"}'
SHARED, FIRST, SECOND, OLD, NEW = (f"the {name} secret of the tests" for name in ("shared", "first", "second", "old", "new"))
NOW = 1_700_000_000

Headers = dict[bytes, bytes]


def hmac_hex(secret: str, content: bytes, digest: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), content, getattr(hashlib, digest)).hexdigest().encode()


def hmac_base64(secret: str | bytes, content: bytes) -> bytes:
    key = secret.encode() if isinstance(secret, str) else secret
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())


def refusal(signatures: Signatures, headers: Headers, body: bytes = BODY, now: float = NOW) -> Cause | None:
    try:
        signatures.check_headers(headers, now)
        signatures.check_body(headers, body)
    except RefusedError as refused:
        cause, text = refused.cause, str(refused)
    else:
        return None
    assert text
    assert '"' not in text, "it is quoted in a header"
    return cause
