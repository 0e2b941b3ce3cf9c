"""Afosto's signatures: which secret opens which endpoint."""

import hashlib
import hmac
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.signatures import Signatures

BODY = b'{"event":"DELIVERED"}'
ONE, TWO = (str(uuid.UUID(int=number)) for number in (1, 2))


def sign(secret: str, body: bytes = BODY) -> bytes:
    return hmac.digest(secret.encode(), body, hashlib.sha256).hex().encode()


@pytest.mark.parametrize("endpoint", [None, b"", ONE.encode(), b"\xff"])
def test_a_shared_secret_opens_every_endpoint(endpoint: bytes | None) -> None:
    assert Signatures(["shared"]).refusal(BODY, sign("shared"), endpoint) is None


def test_an_endpoint_s_secret_opens_it_alone() -> None:
    signatures = Signatures([f"{ONE}=first", f" {TWO} = second "])

    assert signatures.refusal(BODY, sign("first"), ONE.encode()) is None
    assert signatures.refusal(BODY, sign("second"), TWO.upper().encode()) is None
    for endpoint in (TWO.encode(), None, b"unknown"):
        assert signatures.refusal(BODY, sign("first"), endpoint)


@pytest.mark.parametrize("secrets", [[f"{ONE}=old", f"{ONE}=new"], ["old", "new"], [f"{ONE}=old", "new"]])
def test_two_secrets_are_valid_during_a_rotation(secrets: list[str]) -> None:
    signatures = Signatures(secrets)
    assert [signatures.refusal(BODY, sign(secret), ONE.encode()) for secret in ("old", "new")] == [None, None]
    assert signatures.refusal(BODY, sign("older"), ONE.encode())


def test_upper_case_digits_are_taken() -> None:
    assert Signatures(["shared"]).refusal(BODY, sign("shared").upper(), None) is None


@pytest.mark.parametrize("secret", ["c2VjcmV0c2VjcmV0MQ==", "a=b"])
def test_a_secret_may_have_equals_signs_in_it(secret: str) -> None:
    assert Signatures([secret]).refusal(BODY, sign(secret), ONE.encode()) is None


def test_a_pair_is_not_a_secret() -> None:
    pair = f"{ONE}=first"
    assert Signatures([pair]).refusal(BODY, sign(pair), ONE.encode())


@pytest.mark.parametrize(
    "signature", [None, b"", sign("shared")[:-1], sign("shared") + b"0", b"sha256=" + sign("shared"), b"z" * 64]
)
def test_a_missing_or_misshapen_signature_is_refused(signature: bytes | None) -> None:
    assert Signatures(["shared"]).refusal(BODY, signature, None)


def test_without_a_secret_for_the_endpoint_nothing_is_taken() -> None:
    assert Signatures([f"{ONE}=first"]).refusal(BODY, sign(""), TWO.encode())


@given(body=st.binary(), other=st.binary(), signature=st.binary(min_size=64, max_size=64))
def test_only_the_signature_of_the_body_itself_is_taken(body: bytes, other: bytes, signature: bytes) -> None:
    signatures = Signatures(["shared"])
    assert signatures.refusal(body, sign("shared", body), None) is None
    assert (signatures.refusal(body, sign("shared", other), None) is None) == (body == other)
    assert signatures.refusal(body, signature, None)
