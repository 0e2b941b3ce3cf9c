"""Valkey answers, and refuses to write: the ingress says why, and accepts again by itself when that is over."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
import redis

from schemas.keys import REFUSED
from tests.support.ingress_client import Serve, bearer
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for

Client = Any


class Fault(NamedTuple):
    """A state of a server: how it comes, how it goes, the code of its errors, and the cause that is counted."""

    begin: Callable[[RealValkey, Client], object]
    end: Callable[[RealValkey, Client], object]
    code: str
    cause: str


def no_disk(server: RealValkey, client: Client) -> None:
    client.config_set("save", "3600 1")
    (server.folder / "dump.rdb").unlink(missing_ok=True)
    (server.folder / "dump.rdb").mkdir()  # the snapshot cannot be given its name
    client.bgsave()
    wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", what="a snapshot to fail")


def disk_again(server: RealValkey, client: Client) -> None:
    (server.folder / "dump.rdb").rmdir()
    client.config_set("save", "")
    client.bgsave()
    wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok", what="a snapshot")


FAULTS = {
    "OOM": Fault(lambda _, c: c.config_set("maxmemory", 1), lambda _, c: c.config_set("maxmemory", 0), "OOM", "memory"),
    "READONLY": Fault(
        lambda _, c: c.replicaof("127.0.0.1", "1"), lambda _, c: c.replicaof("NO", "ONE"), "READONLY", "read_only"
    ),
    "NOREPLICAS": Fault(
        lambda _, c: c.config_set("min-replicas-to-write", 1),
        lambda _, c: c.config_set("min-replicas-to-write", 0),
        "NOREPLICAS",
        "replicas",
    ),
    "NOPERM": Fault(
        lambda _, c: c.execute_command("ACL", "SETUSER", "default", "-xadd"),
        lambda _, c: c.execute_command("ACL", "SETUSER", "default", "+@all"),
        "NOPERM",
        "permission",
    ),
    "MISCONF": Fault(no_disk, disk_again, "MISCONF", "not_persisting"),
}


@pytest.fixture
def client(real_server: RealValkey) -> Iterator[Client]:
    with redis.Redis.from_url(real_server.url, decode_responses=True) as client:
        yield client


def post(client: httpx.Client) -> httpx.Response:
    return client.post("/webhook", content=b"{}", headers=bearer())


def until_accepted(client: httpx.Client) -> None:
    wait_for(lambda: post(client).status_code == 200, 5, "an event to be accepted again")
    wait_for(lambda: client.get("/readyz").status_code == 200, 5, "readiness")


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_of_valkey_is_503_with_a_cause_of_its_own_and_over_by_itself(
    serve: Serve, real_server: RealValkey, client: Client, name: str
) -> None:
    fault = FAULTS[name]
    provider = serve(REDIS_URL=real_server.url)
    assert post(provider).status_code == 200
    fault.begin(real_server, client)
    try:
        answer = post(provider)
        assert answer.status_code == 503
        assert f"Valkey refused: {fault.code}" in answer.json()["detail"] or fault.cause == "memory"
        ready = provider.get("/readyz")
        assert ready.status_code == 503
        assert fault.code in ready.json()["detail"] or fault.cause == "memory"
    finally:
        fault.end(real_server, client)
    until_accepted(provider)
    wait_for(lambda: client.hget(REFUSED, f"instacart|503|{fault.cause}"), what="the refusal to be counted")


@pytest.mark.parametrize("name", FAULTS)
def test_an_ingress_starts_while_valkey_refuses_says_what_it_waits_for_and_goes_on(
    serve: Serve, real_server: RealValkey, client: Client, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault = FAULTS[name]
    fault.begin(real_server, client)
    try:
        provider = serve(REDIS_URL=real_server.url)
        assert provider.get("/readyz").status_code == 503
        expected = "inbox: Valkey uses" if fault.cause == "memory" else f"Valkey refused: {fault.code}: no event is accepted"
        wait_for(lambda: expected in caplog.text, what="the log to say what is waited for")
    finally:
        fault.end(real_server, client)
    until_accepted(provider)
    again = "accepting again" if fault.cause == "memory" else "Valkey takes appends again"
    wait_for(lambda: again in caplog.text, what="the log to say that it is over")


def test_a_password_that_is_wrong_at_start_and_put_right_later(serve: Serve, real_server: RealValkey, client: Client) -> None:
    provider = serve(REDIS_URL=real_server.url.replace("redis://", "redis://ingress:pa55word@"))
    assert "Valkey refused: NOAUTH" in post(provider).json()["detail"]
    client.execute_command("ACL", "SETUSER", "ingress", "on", ">pa55word", "~*", "+@all")
    try:
        until_accepted(provider)
    finally:
        provider.close()
        client.execute_command("ACL", "DELUSER", "ingress")
