"""Bearer tokens: which are accepted, and for how long."""

import hmac
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.bearer import ALGORITHM, ISSUER, LEEWAY_SECONDS, MAX_TOKEN_BYTES, Verifier, issue, key_id
from ingress.oauth import MAX_FORM_BYTES
from ingress.problems import RefusedError
from schemas.refusals import Cause

NEW, OLD, FOREIGN = (
    f"{name} key that signs the tokens of the tests, long enough for every HMAC" for name in ("the new", "the old", "a foreign")
)
CLIENT = "connect"
NOW = 1_700_000_000.0
HOUR = timedelta(hours=1)


def token_of(key: str, client: str = CLIENT) -> bytes:
    return issue(key, client, NOW, HOUR, None, None).encode()


def forged(key: str = NEW, algorithm: str = ALGORITHM, headers: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """A token whose claims are right but for these changes; a claim changed to None is left out."""
    claims = {"iss": ISSUER, "sub": CLIENT, "iat": int(NOW), "exp": int(NOW) + 60} | changes
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, key, algorithm, headers=headers or {"kid": key_id(NEW)}).encode()


def with_header(header: bytes) -> bytes:
    """A token of ours under another header."""
    return jwt.utils.base64url_encode(header) + b"." + token_of(NEW).partition(b".")[2]


def refusal(verifier: Verifier, token: bytes, now: float = NOW) -> Cause | None:
    try:
        verifier.check(token, now)
    except RefusedError as refused:
        cause, text = refused.cause, str(refused)
    else:
        return None
    assert text
    assert '"' not in text, "it is quoted in a header"
    return cause


def test_a_token_is_valid_until_it_expires_whether_remembered_or_not() -> None:
    expiry = NOW + HOUR.total_seconds() + LEEWAY_SECONDS
    for now, cause in ((NOW, None), (expiry - 1, None), (expiry, Cause.TOKEN_EXPIRED)):
        remembering = Verifier([NEW], CLIENT)
        assert refusal(remembering, token_of(NEW)) is None
        token = token_of(NEW)
        assert refusal(remembering, token) is None
        assert refusal(remembering, token, now) is cause
        assert refusal(Verifier([NEW], CLIENT), token, now) is cause


def test_keys_rotate_with_overlap() -> None:
    before, during, after = (Verifier(keys, CLIENT) for keys in ([OLD], [NEW, OLD], [NEW]))

    assert [refusal(each, token_of(OLD)) is None for each in (before, during, after)] == [True, True, False]
    assert [refusal(each, token_of(NEW)) is None for each in (before, during, after)] == [False, True, True]


MALFORMED, WRONG, EXPIRED, CLIENT_GONE = Cause.TOKEN_MALFORMED, Cause.TOKEN_WRONG, Cause.TOKEN_EXPIRED, Cause.TOKEN_CLIENT
REFUSED: dict[str, tuple[bytes, Cause]] = {
    "foreign key": (token_of(FOREIGN), WRONG),
    "foreign key under our key's name": (forged(FOREIGN), WRONG),
    "alg none": (forged("", "none"), MALFORMED),
    "alg none, signature kept": (with_header(b'{"alg":"none","kid":"%b"}' % key_id(NEW).encode()), MALFORMED),
    "another algorithm": (forged(algorithm="HS512"), MALFORMED),
    "no algorithm": (with_header(b'{"kid":"%b"}' % key_id(NEW).encode()), MALFORMED),
    "a key in the header": (with_header(b'{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}'), WRONG),
    "another issuer": (forged(iss="somebody else"), MALFORMED),
    "no issuer": (forged(iss=None), MALFORMED),
    "no subject": (forged(sub=None), CLIENT_GONE),
    "another client": (forged(sub="toyshop"), CLIENT_GONE),
    "a client that is no text": (forged(sub=["connect"]), CLIENT_GONE),
    "no expiry": (forged(exp=None), MALFORMED),
    "expiry NaN": (forged(exp=float("nan")), MALFORMED),
    "expiry infinite": (forged(exp=float("inf")), MALFORMED),
    "expiry a text": (forged(exp="4000000000"), MALFORMED),
    "expiry a list": (forged(exp=[NOW]), MALFORMED),
    "expiry a fraction": (forged(exp=NOW + 60.5), MALFORMED),
    "expiry true": (forged(exp=True), MALFORMED),
    "expiry huge": (forged(exp=10**30), MALFORMED),
    "expiry negative": (forged(exp=-1), EXPIRED),
    "no time of issue": (forged(iat=None), MALFORMED),
    "issued NaN": (forged(iat=float("nan")), MALFORMED),
    "issued in an hour": (forged(iat=int(NOW) + 3600, exp=int(NOW) + 7200), MALFORMED),
    "valid in an hour only": (forged(nbf=int(NOW) + 3600), MALFORMED),
    "valid from NaN": (forged(nbf=float("nan")), MALFORMED),
    "unknown key id": (forged(headers={"kid": key_id(FOREIGN)}), WRONG),
    "empty key id": (forged(headers={"kid": ""}), WRONG),
    "no key id": (jwt.encode({"iss": ISSUER, "sub": CLIENT, "exp": int(NOW) + 60}, NEW, ALGORITHM).encode(), WRONG),
    "a key id that is no text": (with_header(b'{"alg":"HS256","kid":["x"]}'), MALFORMED),
    "cut off": (token_of(NEW)[:-3], WRONG),
    "no signature": (token_of(NEW).rpartition(b".")[0] + b".", WRONG),
    "empty": (b"", MALFORMED),
    "dots": (b"..", MALFORMED),
    "not ASCII": (b"\xff.\xff.\xff", MALFORMED),
    "a number of 5,000 digits": (with_header(b'{"alg":"HS256","x":%b}' % (b"9" * 5000)), MALFORMED),
    "nested too deep": (with_header(b'{"alg":"HS256","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), MALFORMED),
    "nested deep and not closed": (b"W1tbW1tbW1tb" * 1500 + b".e30.e30", MALFORMED),
    "very long": (forged(scope="x" * MAX_TOKEN_BYTES), MALFORMED),
}


@pytest.mark.parametrize(("token", "cause"), REFUSED.values(), ids=REFUSED)
def test_a_token_that_is_not_ours_is_refused(token: bytes, cause: Cause) -> None:
    verifier = Verifier([NEW], CLIENT)
    assert refusal(verifier, token_of(NEW)) is None
    assert refusal(verifier, forged()) is None, "nothing else is wrong with what we forge"
    assert refusal(verifier, token) is cause
    assert refusal(verifier, token) is cause, "a refused token is not remembered"


def test_a_token_is_invalid_when_its_client_is_removed() -> None:
    assert refusal(Verifier([NEW], "connect-2"), token_of(NEW)) is Cause.TOKEN_CLIENT
    assert refusal(Verifier([NEW], "connect-2"), token_of(NEW, "connect-2")) is None


def test_the_longest_token_that_we_issue_is_taken() -> None:
    token = issue(NEW, CLIENT, NOW, HOUR, "s" * (MAX_FORM_BYTES - 100), None).encode()
    assert refusal(Verifier([NEW], CLIENT), token) is None


def test_a_very_long_token_is_not_parsed() -> None:
    """Its header alone would tell that the key is another; what is told is the length."""
    header = json.dumps({"alg": ALGORITHM, "kid": "x" * MAX_TOKEN_BYTES}).encode()
    with pytest.raises(RefusedError, match="too long"):
        Verifier([NEW], CLIENT).check(with_header(header), NOW)


@given(st.binary(max_size=200) | st.tuples(st.binary(), st.binary(), st.binary()).map(b".".join))
def test_no_token_makes_the_verifier_fail(token: bytes) -> None:
    assert refusal(Verifier([NEW], CLIENT), token)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def test_a_token_of_a_replica_whose_clock_is_ahead_is_taken() -> None:
    Verifier([NEW], CLIENT).check(forged(iat=int(NOW) + 60, exp=int(NOW) + 120), NOW)


@given(st.dictionaries(st.sampled_from(["iss", "sub", "iat", "exp", "nbf", "jti", "aud", "scope", "crit"]), json_values))
def test_property_no_claims_under_our_own_key_make_it_fail_or_are_valid_for_ever(claims: dict[str, Any]) -> None:
    payload = jwt.utils.base64url_encode(json.dumps({"iss": ISSUER, "sub": CLIENT, "iat": int(NOW)} | claims).encode())
    header = jwt.utils.base64url_encode(json.dumps({"alg": ALGORITHM, "kid": key_id(NEW)}).encode())
    signature = hmac.digest(NEW.encode(), header + b"." + payload, "sha256")
    token = b".".join((header, payload, jwt.utils.base64url_encode(signature)))
    verifier = Verifier([NEW], CLIENT)
    if refusal(verifier, token) is None:
        assert refusal(verifier, token, 253_402_300_805) is Cause.TOKEN_EXPIRED


def test_two_tokens_of_one_moment_differ() -> None:
    assert token_of(NEW) != token_of(NEW)


def test_more_tokens_than_are_remembered_stay_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingress.bearer._MAX_CACHED", 4)
    verifier = Verifier([NEW], CLIENT)
    tokens = [token_of(NEW) for _ in range(10)]
    assert [refusal(verifier, token) for token in tokens + tokens] == [None] * 20
