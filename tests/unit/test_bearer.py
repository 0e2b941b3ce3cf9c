"""Tokens: whose are taken, and for how long."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.bearer import ALGORITHM, ISSUER, LEEWAY_SECONDS, Verifier, issue, key_id

NEW, OLD, FOREIGN = (
    f"{name} key that signs the tokens of the tests, long enough for every HMAC" for name in ("the new", "the old", "a foreign")
)
NOW = 1_700_000_000.0
HOUR = timedelta(hours=1)


def token_of(key: str) -> bytes:
    return issue(key, "connect", NOW, HOUR, None, None).encode()


def forged(key: str = NEW, algorithm: str = ALGORITHM, headers: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """A token whose claims are right but for these changes; a claim changed to None is left out."""
    claims = {"iss": ISSUER, "sub": "connect", "iat": NOW, "exp": NOW + 60} | changes
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, key, algorithm, headers=headers or {"kid": key_id(NEW)}).encode()


def test_a_token_is_valid_until_it_expires_whether_remembered_or_not() -> None:
    expiry = NOW + HOUR.total_seconds() + LEEWAY_SECONDS
    for now, refusal in ((NOW, None), (expiry - 1, None), (expiry, "the token has expired")):
        remembering = Verifier([NEW])
        assert remembering.refusal(token_of(NEW), NOW) is None
        token = token_of(NEW)
        assert remembering.refusal(token, NOW) is None
        assert remembering.refusal(token, now) == refusal
        assert Verifier([NEW]).refusal(token, now) == refusal


def test_keys_rotate_with_overlap() -> None:
    before, during, after = Verifier([OLD]), Verifier([NEW, OLD]), Verifier([NEW])

    assert [each.refusal(token_of(OLD), NOW) is None for each in (before, during, after)] == [True, True, False]
    assert [each.refusal(token_of(NEW), NOW) is None for each in (before, during, after)] == [False, True, True]


@pytest.mark.parametrize(
    "token",
    [
        token_of(FOREIGN),
        forged(FOREIGN),
        forged("", "none"),
        forged(algorithm="HS512"),
        forged(iss="somebody else"),
        forged(iss=None),
        forged(exp=None),
        forged(sub=None),
        forged(headers={"kid": key_id(FOREIGN)}),
        forged(headers={"kid": ""}),
        jwt.encode({"iss": ISSUER, "sub": "connect", "exp": NOW + 60}, NEW, ALGORITHM).encode(),
        token_of(NEW)[:-1],
        token_of(NEW).rpartition(b".")[0] + b".",
        b"",
        b"..",
        b"\xff.\xff.\xff",
        b"W1tbW1tbW1tb" * 2000 + b".e30.e30",
    ],
    ids=[
        "foreign key",
        "foreign key under our key's name",
        "alg none",
        "another algorithm",
        "another issuer",
        "no issuer",
        "no expiry",
        "no subject",
        "unknown key id",
        "empty key id",
        "no key id",
        "cut off",
        "no signature",
        "empty",
        "dots",
        "not ASCII",
        "nested too deep",
    ],
)
def test_a_token_that_is_not_ours_is_refused(token: bytes) -> None:
    verifier = Verifier([NEW])
    assert verifier.refusal(token_of(NEW), NOW) is None
    refusal = verifier.refusal(token, NOW)
    assert refusal is not None
    assert '"' not in refusal, "it is quoted in a header"


@given(st.binary(max_size=200) | st.tuples(st.binary(), st.binary(), st.binary()).map(b".".join))
def test_no_token_makes_the_verifier_fail(token: bytes) -> None:
    assert isinstance(Verifier([NEW]).refusal(token, NOW), str)


def test_two_tokens_of_one_moment_differ() -> None:
    assert token_of(NEW) != token_of(NEW)


def test_more_tokens_than_are_remembered_stay_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingress.bearer._MAX_CACHED", 4)
    verifier = Verifier([NEW])
    tokens = [token_of(NEW) for _ in range(10)]
    assert [verifier.refusal(token, NOW) for token in tokens + tokens] == [None] * 20
