"""Compressed bodies: stored as they came, decompressed by the workers under a limit; a coding that nobody reads is answered 415."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from schemas.failures import Reason
from schemas.request_context import RequestContext
from tests.contract.context_deployment import ContextDeployment
from tests.payloads import recorded
from tests.support.compressed import COMPRESS, compressed, raw_deflate, zeros
from tests.support.ingress_client import Serve, bearer, signed
from tests.support.stepped_deployment import open_stepped_deployment
from workers.ledger.tables import refunds

REFUND = recorded("instacart/flat/order_item_refund")
OPENED = recorded("afosto/order_opened")


@pytest.mark.parametrize("codings", [*((each,) for each in COMPRESS), ("gzip", "br")], ids="+".join)
def test_a_compressed_refund_is_accepted_and_refunded_once(
    codings: tuple[str, ...], serve: Serve, real_valkey_url: str, migrated_sqlite: Path, tmp_path: Path
) -> None:
    client = serve(REDIS_URL=real_valkey_url)
    body, headers = compressed(REFUND, *codings), bearer() | {"Content-Encoding": ", ".join(codings).upper()}
    assert client.post("/webhook", content=body, headers=headers).status_code == 200
    assert client.post("/webhook", content=REFUND, headers=bearer()).status_code == 200, "the same event, not compressed"
    (tmp_path / "ledger.db").write_bytes(migrated_sqlite.read_bytes())
    with open_stepped_deployment(real_valkey_url, f"sqlite:///{tmp_path / 'ledger.db'}") as deployment:
        deployment.work()
        with deployment.ledger_fixture.ledger.begin() as connection:
            assert connection.scalar(select(func.count()).select_from(refunds)) == 1
        assert deployment.sums.count("duplicate") == 1, "compression is no part of the identity"


def test_a_signature_is_of_the_bytes_as_they_are_sent(serve: Serve, valkey_url: str) -> None:
    client, body = serve(REDIS_URL=valkey_url), compressed(OPENED, "zstd")
    coded = {"Content-Encoding": "zstd"}
    assert client.post("/webhook/afosto", content=body, headers=signed(body) | coded).status_code == 200
    assert client.post("/webhook/afosto", content=body, headers=signed(OPENED) | coded).status_code == 401


@pytest.mark.parametrize("coding", ["compress", "aws-chunked", "gzip, br, zstd", "gzip;q=1", "gz ip", "br,"])
def test_a_coding_that_nobody_reads_is_answered_before_the_200(coding: str, serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url)
    answer = client.post("/webhook", content=REFUND, headers=bearer() | {"Content-Encoding": coding})
    if coding == "br,":  # an empty member of a list counts for nothing (RFC 9110, 5.6.1)
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate, br, zstd")
    assert "Content-Encoding" in answer.json()["detail"]
    assert client.post("/webhook", content=REFUND, headers={"Content-Encoding": coding}).status_code == 401, "no proof, no news"


@pytest.mark.parametrize("label", ["", "identity", "gzip"])
@pytest.mark.parametrize(
    "body", [REFUND, compressed(REFUND, "gzip"), compressed(REFUND, "deflate")], ids=["plain", "gzip", "zlib"]
)
def test_a_label_that_is_missing_or_wrong_costs_nothing(body: bytes, label: str, context_deployment: ContextDeployment) -> None:
    deployment = context_deployment.stepped_deployment
    context_deployment.append(body, "instacart", RequestContext(content_encoding=label))
    deployment.work()
    assert (deployment.failures.count(), len(deployment.ledger_fixture.rows("order_events"))) == (0, 1)


def test_deflate_without_its_frame_is_read(context_deployment: ContextDeployment) -> None:
    context_deployment.append(raw_deflate(REFUND), "instacart", RequestContext(content_encoding="deflate"))
    context_deployment.stepped_deployment.work()
    assert context_deployment.stepped_deployment.failures.count() == 0


@pytest.mark.parametrize("coding", COMPRESS)
def test_a_bomb_is_a_named_failure_that_keeps_its_bytes_and_costs_no_other_event(
    coding: str, context_deployment: ContextDeployment
) -> None:
    deployment, bomb = context_deployment.stepped_deployment, zeros(coding, 64)
    bad = context_deployment.append(bomb, "instacart", RequestContext(content_encoding=coding))
    context_deployment.append(REFUND, "instacart")
    deployment.work()
    (failure,) = deployment.failures.all()
    assert (failure.event_id, failure.reason, failure.body) == (bad, Reason.COMPRESSION, bomb)
    assert failure.message == f"$: expected at most 1 MiB after decompression ({coding}), got more"
    shown = context_deployment("failed", "show", bad).output
    assert f"unreadable, {len(bomb)} bytes" in shown
    assert len(deployment.ledger_fixture.rows("order_events")) == 1


@pytest.mark.parametrize(
    "damage", [slice(0, -9), slice(0, 20), slice(3, None)], ids=["no end", "nearly nothing", "no beginning"]
)
@pytest.mark.parametrize("coding", COMPRESS)
def test_damaged_data_are_a_named_failure(coding: str, damage: slice, context_deployment: ContextDeployment) -> None:
    body = compressed(REFUND, coding)[damage]
    context_deployment.append(body, "instacart", RequestContext(content_encoding=coding))
    context_deployment.stepped_deployment.work()
    (failure,) = context_deployment.stepped_deployment.failures.all()
    assert (failure.reason, failure.body) == (Reason.COMPRESSION, body)


def test_a_compressed_event_that_failed_is_shown_retried_and_replayed(context_deployment: ContextDeployment) -> None:
    deployment, handler = context_deployment.stepped_deployment, context_deployment.recording_handler
    event_id = context_deployment.append(
        compressed(REFUND, "br"), "instacart", RequestContext(content_encoding="br", user_agent="Connect")
    )
    handler.bug = RuntimeError("down")
    deployment.work()
    shown = context_deployment.json("failed", "show", f"recording:{event_id}")
    assert shown["compressed"] == f"br, {len(compressed(REFUND, 'br'))} bytes"
    assert '"event": "fulfillment.order_item_refund"' in shown["body"]
    handler.bug = None
    context_deployment.trim_inbox()
    assert deployment.run_retries_until_settled() == ["applied"]
    assert handler.seen[-1].user_agent == "Connect"
    assert deployment.failures.count() == 0


def test_compressed_bodies_are_replayed(context_deployment: ContextDeployment) -> None:
    deployment = context_deployment.stepped_deployment
    context_deployment.append(compressed(REFUND, "br"), "instacart", RequestContext(content_encoding="br"))
    deployment.work()
    replayed = context_deployment("replay", "--since", "1h", "--yes")
    assert (replayed.exit_code, "1 event" in replayed.output) == (0, True), replayed
    deployment.handle()
    assert deployment.sums.count("routed:timeline") == deployment.sums.count("applied:timeline") == 2


def test_a_body_that_an_older_release_could_not_decompress_is_routed_by_a_retry(context_deployment: ContextDeployment) -> None:
    deployment = context_deployment.stepped_deployment
    event_id = context_deployment.append(compressed(REFUND, "br"), "instacart", RequestContext(content_encoding="br"))
    deployment.dispatch_with_an_older_release()
    assert context_deployment("retry", event_id, "--yes").exit_code == 0
    assert deployment.run_retries_until_settled() == ["applied"]
    context_deployment.trim_inbox()
    deployment.work()
    assert (deployment.failures.count(), len(deployment.ledger_fixture.rows("order_events"))) == (0, 1)
