"""Signing schemes: each accepts what its provider's own recipe computes, and names the fault of anything else."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from ingress.signatures import MAX_SIGNATURES, Signatures, seconds_of
from schemas.proofs import Fields, Hmac, StandardWebhooks
from schemas.refusals import Cause
from schemas.settings.secrets import Secret
from tests.unit.signature_recipes import BODY, FIRST, NEW, NOW, OLD, SHARED, Headers, hmac_base64, hmac_hex, refusal

FIVE = timedelta(minutes=5)
KEY = bytes(range(24))
WEBHOOK_SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
GITHUB = Hmac(header="X-Hub-Signature-256", prefix="sha256=")
SHOPIFY = Hmac(header="X-Shopify-Hmac-Sha256", encoding="base64")
STRIPE = Hmac(header="Stripe-Signature", fields=Fields("v1", "t"), signed="{timestamp}.{body}", tolerance=FIVE)
SLACK = Hmac(
    header="X-Slack-Signature",
    prefix="v0=",
    signed="v0:{timestamp}:{body}",
    timestamp_header="X-Slack-Request-Timestamp",
    tolerance=FIVE,
)
PADDLE = Hmac(header="Paddle-Signature", fields=Fields("h1", "ts", ";"), signed="{timestamp}:{body}", tolerance=FIVE)
ZENDESK = Hmac(
    header="X-Zendesk-Webhook-Signature",
    encoding="base64",
    signed="{timestamp}{body}",
    timestamp_header="X-Zendesk-Webhook-Signature-Timestamp",
    tolerance=FIVE,
)
TRAILING = Hmac(header="X-Sig", digest="sha512", signed="{body}|{timestamp}", timestamp_header="X-Time", tolerance=FIVE)
RAW = b"\xff\x00 not UTF-8, \r\n not JSON"


def at(now: float) -> bytes:
    return str(int(now)).encode()


def rfc3339(now: float) -> bytes:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


Sign = Callable[[str, bytes, float], Headers]
SCHEMES: dict[str, tuple[Hmac, bool, Sign]] = {
    "github": (GITHUB, False, lambda key, body, now: {b"x-hub-signature-256": b"sha256=" + hmac_hex(key, body)}),
    "shopify": (SHOPIFY, False, lambda key, body, now: {b"x-shopify-hmac-sha256": hmac_base64(key, body)}),
    "stripe": (
        STRIPE,
        True,
        lambda key, body, now: {b"stripe-signature": b"t=%b,v1=%b,v0=0" % (at(now), hmac_hex(key, at(now) + b"." + body))},
    ),
    "slack": (
        SLACK,
        True,
        lambda key, body, now: {
            b"x-slack-signature": b"v0=" + hmac_hex(key, b"v0:" + at(now) + b":" + body),
            b"x-slack-request-timestamp": at(now),
        },
    ),
    "paddle": (
        PADDLE,
        True,
        lambda key, body, now: {b"paddle-signature": b"ts=%b;h1=%b" % (at(now), hmac_hex(key, at(now) + b":" + body))},
    ),
    "zendesk": (
        ZENDESK,
        True,
        lambda key, body, now: {
            b"x-zendesk-webhook-signature": hmac_base64(key, rfc3339(now) + body),
            b"x-zendesk-webhook-signature-timestamp": rfc3339(now),
        },
    ),
    "trailing time in milliseconds, SHA-512": (
        TRAILING,
        True,
        lambda key, body, now: {
            b"x-sig": hmac_hex(key, body + b"|" + at(now) + b"000", "sha512"),
            b"x-time": at(now) + b"000",
        },
    ),
}


@pytest.mark.parametrize(("proof", "is_timed", "sign"), SCHEMES.values(), ids=SCHEMES)
def test_each_scheme_accepts_its_providers_signatures_and_nothing_else(proof: Hmac, is_timed: bool, sign: Sign) -> None:
    signatures = Signatures(proof, [Secret(OLD), Secret(NEW)])
    for secret in (OLD, NEW):
        assert refusal(signatures, sign(secret, RAW, NOW), RAW) is None
    assert refusal(signatures, sign(FIRST, RAW, NOW), RAW) is Cause.SIGNATURE_WRONG
    assert refusal(signatures, sign(NEW, RAW, NOW), RAW + b" ") is Cause.SIGNATURE_WRONG
    assert refusal(signatures, {}, RAW) is Cause.SIGNATURE_MISSING
    for headers in (sign(NEW, RAW, NOW - 301), sign(NEW, RAW, NOW + 301)):
        assert refusal(signatures, headers, RAW) is (Cause.TIMESTAMP_OUT_OF_TOLERANCE if is_timed else None)
    for headers in (sign(NEW, RAW, NOW - 299), sign(NEW, RAW, NOW + 299)):
        assert refusal(signatures, headers, RAW) is None


def test_a_time_that_was_changed_is_refused() -> None:
    signatures = Signatures(SLACK, [Secret(SHARED)])
    headers = SCHEMES["slack"][2](SHARED, RAW, NOW - 3600)
    assert refusal(signatures, headers | {b"x-slack-request-timestamp": at(NOW)}, RAW) is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b"v1=" + b"0" * 64, Cause.TIMESTAMP_MISSING),
        (b"t=,v1=" + b"0" * 64, Cause.TIMESTAMP_MISSING),
        (b"t=soon,v1=" + b"0" * 64, Cause.TIMESTAMP_MALFORMED),
        (b"t=-1,v1=" + b"0" * 64, Cause.TIMESTAMP_MALFORMED),
        (b"t=nan,v1=" + b"0" * 64, Cause.TIMESTAMP_MALFORMED),
        (b"t=" + b"9" * 400 + b",v1=" + b"0" * 64, Cause.TIMESTAMP_MALFORMED),
        (b"t=\xb2,v1=" + b"0" * 64, Cause.TIMESTAMP_MALFORMED),
        (b"t=2023-11-14T22:13:20,v1=" + b"0" * 64, Cause.TIMESTAMP_MALFORMED),
        (b"t=1700000000,t=1700000000,v1=" + b"0" * 64, Cause.SIGNATURE_MALFORMED),
        (b"t=1700000000", Cause.SIGNATURE_MALFORMED),
        (b"t=1700000000,v0=" + b"0" * 64, Cause.SIGNATURE_MALFORMED),
        (b"t=1700000000,v1=", Cause.SIGNATURE_MISSING),
        (b"t=1700000000,v1=0", Cause.SIGNATURE_MALFORMED),
        (b"t=1700000000" + b",v1=" * 1 + b"0" * 64 + (b",v1=" + b"0" * 64) * MAX_SIGNATURES, Cause.SIGNATURE_MALFORMED),
        (b",,,,", Cause.SIGNATURE_MALFORMED),
        (b"t=0,v1=" + b"0" * 64, Cause.TIMESTAMP_OUT_OF_TOLERANCE),
    ],
)
def test_a_header_of_several_values_that_is_misshapen_says_what_is_wrong(value: bytes, cause: Cause) -> None:
    assert refusal(Signatures(STRIPE, [Secret(SHARED)]), {b"stripe-signature": value}) is cause


def test_all_of_several_signatures_in_one_header_are_checked() -> None:
    value = b"t=%b, v1=%b, v1=%b" % (at(NOW), b"0" * 64, hmac_hex(NEW, at(NOW) + b"." + BODY))
    assert refusal(Signatures(STRIPE, [Secret(OLD), Secret(NEW)]), {b"stripe-signature": value}) is None


def standard(body: bytes = BODY, name: str = "msg_1", now: float = NOW, key: bytes = KEY) -> Headers:
    return {
        b"webhook-id": name.encode(),
        b"webhook-timestamp": at(now),
        b"webhook-signature": b"v1," + hmac_base64(key, name.encode() + b"." + at(now) + b"." + body),
    }


def test_a_standard_webhook_is_taken_as_the_reference_library_signs_it() -> None:
    when = datetime.fromtimestamp(NOW, UTC)
    signature = standardwebhooks.Webhook(WEBHOOK_SECRET).sign("msg_1", when, BODY.decode())
    assert standard()[b"webhook-signature"] == signature.encode()
    assert refusal(Signatures(StandardWebhooks(), [Secret(WEBHOOK_SECRET)]), standard()) is None


def test_a_standard_webhook_holds_several_signatures_while_a_key_rotates() -> None:
    signatures = Signatures(
        StandardWebhooks(), [Secret(f"whsec_{base64.b64encode(b'k' * 32).decode()}"), Secret(WEBHOOK_SECRET)]
    )
    new, foreign = standard(RAW)[b"webhook-signature"], standard(RAW, key=b"f" * 24)[b"webhook-signature"]
    for value, cause in (
        (new, None),
        (b"v1a,b2xk " + foreign + b" " + new, None),
        (new + b" v2,anything", None),
        (foreign, Cause.SIGNATURE_WRONG),
        (b"v1a," + new[3:], Cause.SIGNATURE_MALFORMED),
        (new[3:], Cause.SIGNATURE_MALFORMED),
        (b"v1,!!!", Cause.SIGNATURE_MALFORMED),
        (b"", Cause.SIGNATURE_MISSING),
        (b"v1,", Cause.SIGNATURE_MALFORMED),
    ):
        assert refusal(signatures, standard(RAW) | {b"webhook-signature": value}, RAW) is cause, value


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        (standard(now=NOW - 301), Cause.TIMESTAMP_OUT_OF_TOLERANCE),
        (standard(now=NOW + 301), Cause.TIMESTAMP_OUT_OF_TOLERANCE),
        (standard() | {b"webhook-timestamp": b""}, Cause.TIMESTAMP_MISSING),
        (standard() | {b"webhook-timestamp": b"1.7e9"}, Cause.TIMESTAMP_MALFORMED),
        (standard() | {b"webhook-id": b""}, Cause.SIGNATURE_MISSING),
        (standard() | {b"webhook-id": b"msg_2"}, Cause.SIGNATURE_WRONG),
        (standard() | {b"webhook-id": b"msg.1"}, Cause.SIGNATURE_MALFORMED),
    ],
)
def test_a_standard_webhook_without_one_of_its_three_headers_is_refused(headers: Headers, cause: Cause) -> None:
    assert refusal(Signatures(StandardWebhooks(), [Secret(WEBHOOK_SECRET)]), headers) is cause


header_values = st.binary(max_size=200) | st.sampled_from(
    [b"t=1,v1=" + b"0" * 64, b"v1,", b"1700000000", b"sha256=" + b"0" * 64]
)


@given(st.sampled_from([*(proof for proof, _, _ in SCHEMES.values()), StandardWebhooks()]), st.data())
def test_property_no_headers_make_it_fail(proof: Hmac | StandardWebhooks, data: st.DataObject) -> None:
    names = ["webhook-id", "webhook-timestamp", "webhook-signature"]
    if isinstance(proof, Hmac):
        names = [each for each in (proof.header, proof.timestamp_header, proof.endpoint_header) if each]
    headers = {each.lower().encode(): data.draw(header_values) for each in names}
    secret = WEBHOOK_SECRET if isinstance(proof, StandardWebhooks) else SHARED
    assert refusal(Signatures(proof, [Secret(secret)]), headers)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"1700000000", NOW),
        (b"1700000000123", NOW + 0.123),
        (b"2023-11-14T22:13:20Z", NOW),
        (b"2023-11-14T23:13:20+01:00", NOW),
        (b"2023-11-14", None),
        (b"", None),
        (b"17000000001230000", None),
    ],
)
def test_a_signed_time_is_seconds_milliseconds_or_rfc3339(text: bytes, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


WRONG_PROOFS = [
    ({"header": "X Sig"}, "expected names of headers"),
    ({"header": "X-Sig", "digest": "md5"}, "digest: expected one of"),
    ({"header": "X-Sig", "encoding": "raw"}, "encoding: expected hex or base64"),
    ({"header": "X-Sig", "signed": "{url}{body}"}, "signed: expected {body} once"),
    ({"header": "X-Sig", "signed": "{timestamp}"}, "signed: expected {body} once"),
    ({"header": "X-Sig", "signed": "{body}{body}"}, "signed: expected {body} once"),
    ({"header": "X-Sig", "signed": "{timestamp}.{body}", "tolerance": FIVE}, "needs a timestamp_header or fields"),
    ({"header": "X-Sig", "signed": "{timestamp}.{body}", "timestamp_header": "X-Time"}, "tolerance: expected how far"),
    ({"header": "X-Sig", "timestamp_header": "X-Time"}, "a time that is not signed proves nothing"),
    ({"header": "X-Sig", "fields": Fields("v1", "t")}, "a time that is not signed proves nothing"),
    ({"header": "X-Sig", "tolerance": FIVE}, "tolerance: only a signed {timestamp} has one"),
    ({"header": "X-Sig", "signed": "{timestamp}.{body}", "timestamp_header": "T", "tolerance": -FIVE}, "expected a duration"),
]


@pytest.mark.parametrize(("data", "said"), WRONG_PROOFS, ids=[said for _, said in WRONG_PROOFS])
def test_a_scheme_that_cannot_work_is_refused_when_it_is_written_down(data: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=r"^Hmac: ") as refused:
        Hmac(**data)  # type: ignore[arg-type]
    assert said in str(refused.value)
    with pytest.raises(ValueError, match="above zero"):
        StandardWebhooks(tolerance=timedelta(0))
