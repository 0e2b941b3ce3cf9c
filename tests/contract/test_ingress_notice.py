"""What the ingress refuses is counted, logged and shown, and so is the start and the end of a Valkey outage."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from schemas import keys
from schemas.refusals import NOBODY
from tests.support.command_line import CommandResult, in_process
from tests.support.ingress_client import IngressProcess, Serve, bearer, running_ingress, signed
from tests.support.settings import CLIENT_ID, environment_for_tests, free_port, make_settings
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for

GRANT = {"grant_type": "client_credentials"}
Counts = dict[tuple[str, int, str], int]


def status(url: str, *arguments: str) -> CommandResult:
    environment = environment_for_tests(REDIS_URL=url, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nowhere")
    return in_process("status", *arguments, environment=environment)


def counted(url: str) -> Counts:
    rows: list[dict[str, Any]] = json.loads(status(url, "--json").output)["refused"]
    return {(each["provider"], each["status"], each["cause"]): each["count"] for each in rows}


def refuse_all(client: httpx.Client) -> Counts:
    """One request for everything that can be refused without an outage, and some more of the first."""
    post = client.post
    for _ in range(12):
        post("/webhook", content=b"{}", headers={"Authorization": "Bearer wrong"})
    post("/webhook/afosto", content=b"{}", headers=signed(b"another"))
    post("/webhook/", content=b"", headers=bearer())
    post("/webhook/instacart", content=b"x" * 2000, headers=bearer())
    post("/webhook/instacrat", content=b"{}", headers=bearer())
    client.put("/webhook/afosto")
    client.get("/oauth/token")
    post("/oauth/token", data={})
    post("/oauth/token", data=GRANT | {"client_id": CLIENT_ID, "client_secret": "wrong"})
    post("/oauth/token", data=GRANT | {"client_id": "stranger", "client_secret": "wrong"})
    post("/oauth/token", data=GRANT | {"scope": "x" * 20_000})
    return {
        ("instacart", 401, "token_malformed"): 12,
        ("afosto", 401, "signature_wrong"): 1,
        ("instacart", 400, "empty"): 1,
        ("instacart", 413, "too_large"): 1,
        (NOBODY, 404, "not_found"): 1,
        ("afosto", 405, "method"): 1,
        (NOBODY, 405, "method"): 1,
        (NOBODY, 400, "form"): 1,
        ("instacart", 401, "client"): 1,
        (NOBODY, 401, "client"): 1,
        (NOBODY, 413, "too_large"): 1,
    }


def test_every_refusal_is_counted_by_provider_status_and_cause_and_logged(real_valkey: RealValkey, tmp_path: Path) -> None:
    ingress = IngressProcess(tmp_path / "log", REDIS_URL=real_valkey.url, MAX_BODY_BYTES="1KiB")
    try:
        with httpx.Client(base_url=ingress.url, timeout=30) as client:
            expected = refuse_all(client)
            assert client.post("/webhook", content=b"{}", headers=bearer()).status_code == 200
        ingress.stop()  # at once: what is counted by then is stored all the same
    finally:
        ingress.kill()

    assert counted(real_valkey.url) == expected
    said = status(real_valkey.url)
    assert re.search(r"^instacart +401 +token_malformed +12 +\d+\.\d s ago$", said.output, re.MULTILINE), said.output
    assert (
        "instacart: 12 requests refused because of a malformed token in the last minutes:"
        " is somebody guessing?\n" in said.errors
    )
    assert (
        "unknown senders: 1 request refused because of an address that does not exist in the last minutes:"
        " was a provider given a wrong URL?\n" in said.errors
    )
    lines = [line for line in ingress.log.splitlines() if " refused " in line]
    assert sum(int(line.partition(" refused ")[2].split()[0]) for line in lines) == sum(expected.values())
    assert len(lines) < 20, "a line for each cause, and one at the end"


def test_nothing_refused_is_nothing_shown(real_valkey: RealValkey) -> None:
    said = status(real_valkey.url)
    assert "refused" not in said.output + said.errors
    assert counted(real_valkey.url) == {}


def test_old_refusals_are_in_the_table_and_not_in_the_notice(serve: Serve, real_valkey: RealValkey) -> None:
    client = serve(REDIS_URL=real_valkey.url)
    client.get("/nothing")
    wait_for(lambda: counted(real_valkey.url), what="the refusal to be counted")
    with redis.Redis.from_url(real_valkey.url) as valkey:
        valkey.hset(keys.REFUSED_LAST, f"{NOBODY}|404|not_found", "1700000000000")
    said = status(real_valkey.url)
    assert re.search(r"^- +404 +not_found +1 +\d+\.\d h ago$", said.output, re.MULTILINE), said.output
    assert "refused" not in said.errors


def test_an_outage_is_logged_at_its_start_and_its_end_and_its_503s_are_counted(real_valkey: RealValkey, tmp_path: Path) -> None:
    ingress = IngressProcess(tmp_path / "log", REDIS_URL=real_valkey.url)
    try:
        with httpx.Client(base_url=ingress.url, timeout=30) as client:
            for outage in (1, 2):
                real_valkey.kill()
                for _ in range(200):
                    assert client.post("/webhook", content=b"{}", headers=bearer()).status_code == 503
                wait_for(lambda outage=outage: ingress.log.count("Valkey is unreachable") == outage, what="a line")  # type: ignore[misc]
                real_valkey.start()
                wait_for(lambda outage=outage: ingress.log.count("Valkey is back") == outage, what="a line")  # type: ignore[misc]
            wait_for(
                lambda: counted(real_valkey.url) == {("instacart", 503, "unreachable"): 400}, what="the refusals to be counted"
            )
        ingress.stop()
    finally:
        ingress.kill()

    assert len([line for line in ingress.log.splitlines() if "because of Valkey being unreachable" in line]) in {1, 2}
    assert "instacart: 400 requests refused because of Valkey being unreachable" in status(real_valkey.url).errors


def test_a_valkey_outage_at_start_is_logged_once_and_its_settings_are_checked_later(tmp_path: Path) -> None:
    server = RealValkey()
    ingress = IngressProcess(tmp_path / "log", REDIS_URL=server.url)
    try:
        wait_for(lambda: "Valkey is unreachable (ConnectionError)" in ingress.log, what="a line")
        server.start()
        wait_for(lambda: "Valkey is back" in ingress.log, what="a line")
        ingress.stop()
    finally:
        ingress.kill()
        server.discard()
    assert ingress.log.count("Valkey is unreachable") == ingress.log.count("Valkey is back") == 1


def test_the_causes_of_a_503_are_distinguished(serve: Serve, real_valkey: RealValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingress.backpressure.PERIOD_SECONDS", 3600.0)
    client = serve(REDIS_URL=real_valkey.url, COMMIT_TIMEOUT="300ms")

    def post() -> int:
        return client.post("/webhook/afosto", content=b"{}", headers=signed(b"{}")).status_code

    assert post() == 200
    with redis.Redis.from_url(real_valkey.url) as valkey:
        valkey.config_set("maxmemory", 1)
        assert post() == 503
        valkey.config_set("maxmemory", 0)
        valkey.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        assert post() == 503
        valkey.execute_command("REPLICAOF", "NO", "ONE")
    real_valkey.freeze()
    assert post() == 503
    real_valkey.resume()
    causes = ("memory", "read_only", "valkey_slow")
    wait_for(lambda: counted(real_valkey.url) == {("afosto", 503, cause): 1 for cause in causes}, what="three causes")


def test_an_unexpected_error_is_logged_once_with_its_place_and_counted_each_time(
    real_valkey: RealValkey, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: dict[str, Any] = {"max_body_bytes": None, "token_signing_keys": ()}
    settings = dataclasses.replace(make_settings(REDIS_URL=real_valkey.url), **wrong)
    form = GRANT | {"client_id": CLIENT_ID, "client_secret": settings.credentials["instacart"].secrets[0].text}
    with running_ingress(settings) as url, httpx.Client(base_url=url) as client:
        for _ in range(10):
            assert client.post("/webhook/afosto", content=b"{}", headers=signed(b"{}")).status_code == 500
            assert client.post("/oauth/token", data=form).status_code == 500

    bugs = [each for each in caplog.records if "a bug in the ingress" in each.getMessage()]
    assert [bug.getMessage().partition(": ")[2] for bug in bugs] == ["TypeError", "IndexError"]
    assert all("line " in str(bug.exc_text) for bug in bugs), "where it happened"
    assert "Exception in ASGI" not in caplog.text
    assert "not supported between" not in caplog.text, "an exception's own text may quote a body"
    assert counted(real_valkey.url) == {("afosto", 500, "bug"): 10, (NOBODY, 500, "bug"): 10}
