"""Request contexts: named fields only, each bounded and printable, never a credential."""

from datetime import UTC

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.client_addresses import ClientAddresses
from ingress.request_contexts import ContextEncoder
from schemas.contracts import CONTRACTS
from schemas.decoding import decode
from schemas.events import Event, Provider
from schemas.failures import Failure, Reason, decode_failure, encode_failure
from schemas.request_context import (
    COMMON,
    LEAST_FIRST,
    MAX_BYTES,
    MAX_VALUE_BYTES,
    NO_CONTEXT,
    KeptHeaderError,
    RequestContext,
    decode_context,
    encode_context,
)
from tests.payloads import recorded

CLIENT = ("203.0.113.9", 40_000)
PROXY = ("127.0.0.1", 40_000)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
AFOSTO = ContextEncoder(CONTRACTS[Provider.AFOSTO].kept_headers, ClientAddresses(("127.0.0.1",)))
NAMES = [*COMMON, b"x-afosto-tenant", b"x-afosto-endpoint"]


def kept(headers: dict[bytes, bytes], client: tuple[str, int] | None = CLIENT) -> RequestContext:
    """What a worker reads of what the ingress keeps."""
    return decode_context(AFOSTO.encode(client, headers))


def values(context: RequestContext) -> list[str]:
    """All of them, of every field."""
    fields = msgspec.structs.asdict(context)
    return [*fields.pop("headers").values(), *fields.values()]


def test_every_field_comes_back_as_it_was_sent() -> None:
    headers = {header: b"value of " + header for header in NAMES}
    assert kept(headers) == RequestContext(
        peer="203.0.113.9",
        user_agent="value of user-agent",
        content_type="value of content-type",
        content_encoding="value of content-encoding",
        traceparent="value of traceparent",
        tracestate="value of tracestate",
        headers={"x-afosto-tenant": "value of x-afosto-tenant", "x-afosto-endpoint": "value of x-afosto-endpoint"},
    )


def test_each_field_is_filled_from_a_header_or_is_the_peer_or_the_provider_s_own() -> None:
    assert {*COMMON.values(), "peer", "headers"} == set(RequestContext.__struct_fields__)
    assert sorted([*LEAST_FIRST, "content_encoding"]) == sorted(COMMON.values()), "a body cannot be read without its coding"


def test_no_other_header_is_kept() -> None:
    others = (
        b"authorization",
        b"cookie",
        b"x-afosto-hmac-sha256",
        b"proxy-authorization",
        b"host",
        b"x-forwarded-for",
        b"x-other",
    )
    assert AFOSTO.encode(None, dict.fromkeys(others, b"a secret")) == b""


def test_the_peer_is_the_client_that_a_trusted_proxy_names_and_untrusted_peers_cannot_choose_it() -> None:
    forwarded = {b"x-forwarded-for": b"198.51.100.1, 203.0.113.77"}
    assert kept(forwarded, PROXY).peer == "203.0.113.77"
    assert kept(forwarded, CLIENT).peer == "203.0.113.9"
    assert kept({}, None) is NO_CONTEXT, "a connection over a Unix socket has no address"


@given(headers=st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=1200)))
def test_kept_values_are_bounded_and_printable_whatever_is_sent(headers: dict[bytes, bytes]) -> None:
    encoded = AFOSTO.encode(CLIENT, headers)
    assert len(encoded) <= MAX_BYTES
    assert orjson.loads(encoded)["peer"] == "203.0.113.9"
    for value in values(decode_context(encoded)):
        assert len(value) <= MAX_VALUE_BYTES
        assert value.isascii()
        assert value == "" or value.isprintable()


@pytest.mark.parametrize("junk", [b'"', b"\\", b"\0", b"\x1b[31m", b"\xff", b"\r\n", b"a,"])
def test_sixty_kilobytes_in_every_header_are_bounded_and_the_most_important_stays(junk: bytes) -> None:
    long = junk * (60_000 // len(junk))
    encoded = AFOSTO.encode(CLIENT, dict.fromkeys(NAMES, long) | {b"content-encoding": b"gzip, br"})
    context = decode_context(encoded)
    assert len(encoded) <= MAX_BYTES
    assert (context.peer, context.user_agent, context.tracestate) == ("203.0.113.9", "", "")
    assert context.content_encoding == "gzip, br", (
        "the ingress accepts no longer one, and without it no worker could read the body"
    )
    expected = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in long[:MAX_VALUE_BYTES])
    assert context.headers["x-afosto-tenant"] == expected


def test_a_few_long_values_leave_out_what_matters_least_and_no_more() -> None:
    long = b"x" * MAX_VALUE_BYTES
    context = kept(
        {b"tracestate": b"a=1", b"user-agent": long, b"content-type": b"t", b"x-afosto-tenant": long, b"traceparent": long}
    )
    assert (context.tracestate, context.user_agent) == ("a=1", "x" * MAX_VALUE_BYTES)
    context = kept(
        {name: long for name in NAMES if name not in {b"content-type", b"content-encoding"}} | {b"content-type": b"t"}
    )
    assert (context.tracestate, context.user_agent, context.content_type) == ("", "", "t")
    assert context.traceparent == "x" * MAX_VALUE_BYTES


def test_a_provider_s_own_headers_can_fill_it_and_the_last_ones_are_left_out() -> None:
    names = tuple(f"X-Own-{number}" for number in range(20))
    encoded = ContextEncoder(names, ClientAddresses(())).encode(CLIENT, {name.lower().encode(): b"y" * 90 for name in names})
    own = list(decode_context(encoded).headers)
    assert own == [name.lower() for name in names[: len(own)]]
    assert 5 < len(own) < 20
    assert len(encoded) <= MAX_BYTES


def test_of_a_long_tracestate_whole_members_are_kept() -> None:
    members = ",".join(f"vendor{number}=00f067aa0ba902b7" for number in range(40))
    state = kept({b"traceparent": TRACEPARENT.encode(), b"tracestate": members.encode()}).tracestate
    assert members.startswith(f"{state},")
    assert MAX_VALUE_BYTES - 30 < len(state) < MAX_VALUE_BYTES
    assert kept({b"tracestate": b"x" * 400}).tracestate == ""


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "cookie",
        "X-Hub-Signature-256",
        "webhook-signature",
        "X-Shop-Hmac",
        "X-Api-Key",
        "X-Auth",
    ],
)
def test_a_contract_cannot_have_a_credential_kept(name: str) -> None:
    with pytest.raises(KeptHeaderError, match=name):
        ContextEncoder(("X-Shop", name), ClientAddresses(()))


def test_other_names_can_be_kept_in_any_case() -> None:
    encoder = ContextEncoder(("X-Shop", "idempotency-key", "X-Author"), ClientAddresses(()))
    encoded = encoder.encode(CLIENT, {b"x-shop": b"1", b"idempotency-key": b"2", b"x-author": b"3"})
    assert decode_context(encoded).headers == {"x-shop": "1", "idempotency-key": "2", "x-author": "3"}


@pytest.mark.parametrize("odd", [b"{", b"[]", b"null", b"\xff", b'{"peer":7}', b'{"headers":[]}', b'{"headers":{"a":{}}}'])
def test_an_unreadable_request_context_is_an_empty_one(odd: bytes) -> None:
    assert decode_context(odd) is NO_CONTEXT


def test_fields_of_a_later_release_are_ignored() -> None:
    assert decode_context(b'{"peer":"203.0.113.9","of_tomorrow":[1]}') == RequestContext(peer="203.0.113.9")


@given(headers=st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=300)))
def test_a_claim_check_carries_the_request_context_unchanged(headers: dict[bytes, bytes]) -> None:
    context = kept(headers)
    assert decode_context(encode_context(context)) == context


def picking(request: RequestContext = NO_CONTEXT) -> Event:
    return decode(Provider.INSTACART, recorded("instacart/flat/picking"), "1732230000000-0", UTC, request)


def test_an_event_has_its_request_and_its_identity_does_not_depend_on_it() -> None:
    event = picking(RequestContext(peer="203.0.113.9", traceparent=TRACEPARENT))
    assert event.request.traceparent == TRACEPARENT
    assert event.identity == picking().identity
    assert msgspec.structs.replace(event, request=NO_CONTEXT) == picking()


def test_a_record_of_failure_without_it_is_read_as_before_and_one_without_content_is_written_as_before() -> None:
    failure = Failure(
        event_id="1732230000000-0", handler="refunds", provider="afosto", reason=Reason.REJECTED, message="no", body=b"{}"
    )
    assert b"request" not in encode_failure(failure)
    assert decode_failure(encode_failure(failure)).request is NO_CONTEXT
    with_it = msgspec.structs.replace(failure, request=RequestContext(peer="203.0.113.9", headers={"x-afosto-tenant": "shop"}))
    assert decode_failure(encode_failure(with_it)) == with_it
