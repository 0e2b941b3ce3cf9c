"""Afosto's signatures: which secret is valid for which endpoint."""

import hashlib
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.problems import RefusedError
from ingress.signatures import Signatures
from schemas.contracts import BUILT_IN
from schemas.events import Provider
from schemas.proofs import Hmac
from schemas.refusals import Cause
from schemas.settings.secrets import Secret, endpoint_secret
from tests.unit.signature_recipes import BODY, FIRST, NEW, NOW, OLD, SECOND, SHARED, hmac_base64, hmac_hex, refusal

ONE, TWO = (str(uuid.UUID(int=number)) for number in (1, 2))
AFOSTO = Hmac(header="X-Afosto-Hmac-Sha256", endpoint_header="X-Afosto-Endpoint")


def afosto(*secrets: str) -> Callable[[bytes | None, bytes | None], Cause | None]:
    signatures = Signatures(AFOSTO, [endpoint_secret(each) for each in secrets])

    def check(signature: bytes | None, endpoint: bytes | None) -> Cause | None:
        given = {b"x-afosto-hmac-sha256": signature, b"x-afosto-endpoint": endpoint}
        return refusal(signatures, {name: value for name, value in given.items() if value is not None})

    return check


def test_afosto_signs_as_its_documentation_says() -> None:
    assert BUILT_IN[Provider.AFOSTO].proof == AFOSTO


@pytest.mark.parametrize("endpoint", [None, b"", ONE.encode(), b"\xff"])
def test_a_shared_secret_is_valid_for_every_endpoint(endpoint: bytes | None) -> None:
    assert afosto(SHARED)(hmac_hex(SHARED, BODY), endpoint) is None


def test_an_endpoint_s_secret_is_valid_for_it_alone_in_any_spelling() -> None:
    check = afosto(f"{ONE}={FIRST}", f" {{{TWO}}} = {SECOND} ")

    assert check(hmac_hex(FIRST, BODY), ONE.encode()) is None
    for spelling in (TWO, TWO.upper(), f"urn:uuid:{TWO}", f"{{{TWO}}}", TWO.replace("-", ""), f" {TWO} "):
        assert check(hmac_hex(SECOND, BODY), spelling.encode()) is None
    for endpoint in (TWO.encode(), None, b"unknown", b""):
        assert check(hmac_hex(FIRST, BODY), endpoint) is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize("secrets", [[f"{ONE}={OLD}", f"{ONE}={NEW}"], [OLD, NEW], [f"{ONE}={OLD}", NEW]])
def test_two_secrets_are_valid_during_a_rotation(secrets: list[str]) -> None:
    check = afosto(*secrets)
    assert [check(hmac_hex(secret, BODY), ONE.encode()) for secret in (OLD, NEW)] == [None, None]
    assert check(hmac_hex(FIRST, BODY), ONE.encode())


def test_upper_case_digits_are_accepted() -> None:
    assert afosto(SHARED)(hmac_hex(SHARED, BODY).upper(), None) is None


@pytest.mark.parametrize("secret", ["c2VjcmV0c2VjcmV0MQ==", "a=b=c=d=e=f=g=h=i"])
def test_a_secret_may_have_equals_signs_in_it(secret: str) -> None:
    assert afosto(secret)(hmac_hex(secret, BODY), ONE.encode()) is None


def test_a_pair_is_not_a_secret() -> None:
    pair = f"{ONE}={FIRST}"
    assert afosto(pair)(hmac_hex(pair, BODY), ONE.encode())


def test_the_empty_key_is_never_valid() -> None:
    for endpoint in (ONE, TWO, "unknown"):
        assert afosto(f"{ONE}={FIRST}")(hmac_hex("", BODY), endpoint.encode()) is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize(
    ("signature", "cause"),
    [
        (None, Cause.SIGNATURE_MISSING),
        (b"", Cause.SIGNATURE_MISSING),
        (hmac_hex(SHARED, BODY)[:-1], Cause.SIGNATURE_MALFORMED),
        (hmac_hex(SHARED, BODY) + b"0", Cause.SIGNATURE_MALFORMED),
        (b"sha256=" + hmac_hex(SHARED, BODY), Cause.SIGNATURE_MALFORMED),
        (b"z" * 64, Cause.SIGNATURE_MALFORMED),
        (b" " * 64, Cause.SIGNATURE_MALFORMED),
        (b"\xff" * 64, Cause.SIGNATURE_MALFORMED),
        (hmac_base64(SHARED, BODY), Cause.SIGNATURE_MALFORMED),
        (hmac_hex(SHARED, BODY + b" "), Cause.SIGNATURE_WRONG),
        (hashlib.sha256(BODY).hexdigest().encode(), Cause.SIGNATURE_WRONG),
    ],
)
def test_a_missing_misshapen_or_wrong_signature_is_refused(signature: bytes | None, cause: Cause) -> None:
    assert afosto(SHARED)(signature, None) is cause


def test_a_fault_in_the_headers_is_refused_before_the_body() -> None:
    signatures = Signatures(AFOSTO, [Secret(SHARED)])
    for headers in ({}, {b"x-afosto-hmac-sha256": b""}, {b"x-afosto-hmac-sha256": b"0" * 63}):
        with pytest.raises(RefusedError):
            signatures.check_headers(headers, NOW)


@given(body=st.binary(), other=st.binary(), signature=st.binary(min_size=64, max_size=64))
def test_property_only_the_signature_of_the_body_itself_is_taken(body: bytes, other: bytes, signature: bytes) -> None:
    signatures = Signatures(AFOSTO, [Secret(SHARED)])
    assert refusal(signatures, {b"x-afosto-hmac-sha256": hmac_hex(SHARED, body)}, body) is None
    assert (refusal(signatures, {b"x-afosto-hmac-sha256": hmac_hex(SHARED, other)}, body) is None) == (body == other)
    assert refusal(signatures, {b"x-afosto-hmac-sha256": signature}, body)
