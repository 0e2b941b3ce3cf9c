"""The self-check at start detects and logs a change in the installed libraries; the ingress then uses another parser."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httptools
import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ingress import http_protocol, self_check
from ingress.server import options
from tests.contract.raw_http import RawClient
from tests.support.ingress_client import bearer, running_ingress, stored
from tests.support.settings import make_settings
from tests.support.valkey_servers import RealValkey


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """No test hears another's answer."""
    self_check.failed_promise.cache_clear()
    yield
    self_check.failed_promise.cache_clear()


def test_the_locked_releases_pass_the_self_check() -> None:
    assert self_check.failed_promise() is None
    assert options(make_settings())["http"] == "ingress.http_protocol:Protocol"


def test_a_parser_that_reads_a_body_as_another_protocol_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "Parser", httptools.HttpRequestParser)
    assert self_check.failed_promise() == "a body behind an offer to upgrade is not read as a body"


def test_an_answer_that_is_never_reported_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol.Protocol, "on_response_complete", lambda self: None)
    assert self_check.failed_promise() == "pipelined requests are not answered one by one"


def test_trailers_among_the_headers_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_a_list_for_trailers(self: http_protocol.Protocol) -> None:
        if not self.parser.should_upgrade():
            HttpToolsProtocol.on_headers_complete(self)
            self.part, self.head_bytes = http_protocol.RequestPart.BODY, 0

    monkeypatch.setattr(http_protocol.Protocol, "on_headers_complete", without_a_list_for_trailers)
    assert self_check.failed_promise() == "a trailer is taken for a header"


def test_any_error_of_another_release_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: Any, transport: asyncio.Transport) -> None:
        raise AttributeError("no attribute 'flow'")

    monkeypatch.setattr(HttpToolsProtocol, "connection_made", gone)
    assert self_check.failed_promise() == "AttributeError: no attribute 'flow'"


def test_after_a_failed_self_check_the_ingress_uses_another_parser_and_logs_it(
    real_valkey: RealValkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingress.server.failed_promise", lambda: "it does not fit")
    with running_ingress(make_settings(REDIS_URL=real_valkey.url)) as url:
        assert httpx.post(f"{url}/webhook", content=b"{}", headers=bearer()).status_code == 200
        with RawClient(url) as client:
            client.send(
                b"POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 99\r\n\r\n"
            )
            assert client.status() == 401
    assert "it does not fit. HTTP is parsed by h11" in caplog.text
    assert len(stored(real_valkey.url)) == 1
