"""Compressed bodies at the edges: repeated, unknown and crowded-out headers, and what a stranger learns of them."""

import httpx
import msgspec
import pytest
import redis

from schemas import keys
from schemas.contracts import CONTRACTS
from schemas.drift import DriftKind
from schemas.refusals import Cause, Refused
from schemas.request_context import MAX_BYTES, RequestContext, decode_context, encode_context
from tests.payloads import recorded
from tests.support.compressed import compressed, raw_deflate
from tests.support.ingress_client import Serve, bearer, signed, stored
from tests.support.stepped_deployment import SteppedDeployment
from tests.support.waiting import wait_for
from workers.contract_drift import read_drift

REFUND = b'{"event":"order_item_refund","order_id":"o-1","user":"jane@example.org","items":[{"line_num":"1","refunded":true}]}'
OPENED = recorded("afosto/order_opened")
ACCEPTED = "gzip, deflate, br, zstd"


def under(header: str) -> bytes:
    """The request context of a body under this Content-Encoding."""
    return encode_context(RequestContext(content_encoding=header))


def post(client: httpx.Client, body: bytes, *headers: str) -> httpx.Response:
    return client.post("/webhook", content=body, headers=[*bearer().items(), *(("Content-Encoding", each) for each in headers)])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (compressed(REFUND, "gzip"), ("x-gzip",)),
        (raw_deflate(REFUND), ("deflate",)),
        (compressed(REFUND, "gzip", "br"), ("gzip", "br")),
        (compressed(REFUND, "br", "gzip"), ("br", "identity", "gzip")),
        (compressed(REFUND, "gzip"), ()),
        (compressed(REFUND, "zstd"), ()),
        (compressed(REFUND, "deflate"), ()),
        (compressed(REFUND, "zstd"), ("gzip",)),
        (REFUND, ("gzip",)),
        (REFUND, ("utf-8",)),
        (b" " + REFUND, ("br",)),
    ],
)
def test_a_missing_wrong_or_repeated_header_costs_no_refund(
    serve: Serve, real_valkey_url: str, stepped_deployment: SteppedDeployment, body: bytes, headers: tuple[str, ...]
) -> None:
    assert post(serve(REDIS_URL=real_valkey_url), body, *headers).status_code == 200
    stepped_deployment.work()
    assert stepped_deployment.failures.count() == 0
    assert len(stepped_deployment.ledger_fixture.rows("refunds")) == 1


@pytest.mark.parametrize(
    "headers", [("compress",), ("gzip, compress",), ("compress", "gzip"), ("gzip, gzip, gzip",), ("gzip," * 100,), ("gzi\xfe",)]
)
def test_another_coding_is_refused_before_the_200_and_counted(
    serve: Serve, real_valkey_url: str, headers: tuple[str, ...]
) -> None:
    client, body = serve(REDIS_URL=real_valkey_url), compressed(REFUND, "gzip")
    sent = [*bearer().items(), *(("Content-Encoding", each.encode("latin-1")) for each in headers)]
    answer = client.post("/webhook", content=body, headers=sent)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, ACCEPTED)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == f"the Content-Encoding is not one of {ACCEPTED}, or names more than 2"
    assert stored(real_valkey_url) == []
    assert post(client, REFUND).status_code == 200, "the connection goes on"
    field = Refused("instacart", 415, Cause.CODING).field
    with redis.Redis.from_url(real_valkey_url, decode_responses=True) as valkey:
        assert wait_for(lambda: valkey.hget(keys.REFUSED, field), 10, "the count") == "1"


def test_a_stranger_is_not_told_which_codings_are_read(serve: Serve, real_valkey_url: str) -> None:
    client, headers = serve(REDIS_URL=real_valkey_url), {"Content-Encoding": "compress"}
    answers = [
        client.post("/webhook", content=REFUND, headers=headers),
        client.post("/webhook/afosto", content=OPENED, headers=headers),
        client.post("/webhook/afosto", content=OPENED, headers=headers | signed(OPENED, "another secret, long enough")),
    ]
    assert [(each.status_code, "accept-encoding" in each.headers) for each in answers] == [(401, False)] * 3


def test_long_headers_push_everything_out_of_the_request_context_but_the_coding(serve: Serve, real_valkey_url: str) -> None:
    long = '"' * 256
    names = ("User-Agent", "Content-Type", "traceparent", "tracestate", *CONTRACTS["afosto"].kept_headers)
    body = compressed(OPENED, "zstd", "br")
    headers = signed(body) | dict.fromkeys(names, long) | {"Content-Encoding": "zstd, br"}
    assert serve(REDIS_URL=real_valkey_url).post("/webhook/afosto", content=body, headers=headers).status_code == 200
    with redis.Redis.from_url(real_valkey_url) as client:
        ((_, fields),) = client.xrange(keys.INBOX)
    assert len(fields[keys.FIELD_REQUEST]) <= MAX_BYTES
    assert decode_context(fields[keys.FIELD_REQUEST]).content_encoding == "zstd, br"


def test_a_compressed_body_is_inspected_for_drift(stepped_deployment: SteppedDeployment) -> None:
    body = msgspec.json.encode(msgspec.json.decode(REFUND) | {"field_of_tomorrow": 1})
    stepped_deployment.append(compressed(body, "br"), request=under("br"))
    stepped_deployment.work()
    stepped_deployment.drift.flush()
    found = [
        each.finding.path for each in read_drift(stepped_deployment.client) if each.finding.what is DriftKind.UNKNOWN_FIELD
    ]
    assert "$.field_of_tomorrow" in found
