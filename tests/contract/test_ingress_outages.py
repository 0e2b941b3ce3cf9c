"""Answers to providers while Valkey or the broker is down, full or frozen, and after it.

That it is told soon: the client gives up after half a minute, 60 commit timeouts, and so fails the test.
"""

from collections.abc import Callable

import httpx
import pytest
import redis

from schemas import keys
from tests.support.ingress_client import Serve, bearer, stored
from tests.support.settings import CLIENT_ID, CLIENT_SECRET, LOOPBACK, free_port
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for

COMMIT_TIMEOUT = "500ms"


def post(client: httpx.Client, body: bytes = b"{}") -> httpx.Response:
    return client.post("/webhook", content=body, headers=bearer())


def assert_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert "send it again" in answer.json()["detail"]


def until_accepted(client: httpx.Client) -> None:
    wait_for(lambda: post(client, b"after").status_code == 200, what="an event to be accepted again")


@pytest.mark.parametrize(
    ("outage", "recovery"),
    [(RealValkey.freeze, RealValkey.resume), (RealValkey.stop, RealValkey.start), (RealValkey.kill, RealValkey.start)],
    ids=["frozen", "stopped", "killed"],
)
def test_a_valkey_outage_is_503_within_seconds_and_ends_with_the_outage(
    serve: Serve, real_valkey: RealValkey, outage: Callable[[RealValkey], None], recovery: Callable[[RealValkey], None]
) -> None:
    client = serve(REDIS_URL=real_valkey.url, COMMIT_TIMEOUT=COMMIT_TIMEOUT)
    assert post(client, b"before").status_code == 200

    outage(real_valkey)
    assert_unavailable(post(client, b"meanwhile"))
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    recovery(real_valkey)

    until_accepted(client)
    wait_for(lambda: client.get("/readyz").status_code == 200, what="readiness")
    bodies = [body for _, _, body in stored(real_valkey.url)]
    assert (bodies[0], bodies[-1]) == (b"before", b"after")


def test_connections_that_valkey_closed_while_idle_are_told_to_nobody(serve: Serve, real_server: RealValkey) -> None:
    client = serve(REDIS_URL=real_server.url)
    assert (post(client, b"before").status_code, client.get("/readyz").status_code) == (200, 200)
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    for _ in range(5):
        with redis.Redis.from_url(real_server.url) as valkey:
            valkey.client_kill_filter(_type="normal", skipme=True)
        assert post(client, b"after").status_code == 200
        assert client.post("/oauth/token", data=form).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_a_flush_by_accident_is_noticed_without_another_event(serve: Serve, real_server: RealValkey) -> None:
    client = serve(REDIS_URL=real_server.url)
    posted = [post(client, body).json()["id"] for body in (b"1", b"2", b"3")]
    with redis.Redis.from_url(real_server.url) as valkey:
        valkey.flushall()
    wait_for(lambda: [event_id for event_id, _, _ in stored(real_server.url)] == posted, what="the events to be back")


def test_the_ingress_starts_without_valkey_and_accepts_when_it_comes(serve: Serve, real_valkey: RealValkey) -> None:
    real_valkey.stop()
    client = serve(REDIS_URL=real_valkey.url, COMMIT_TIMEOUT=COMMIT_TIMEOUT)
    assert_unavailable(post(client))
    real_valkey.start()
    until_accepted(client)


def test_a_frozen_valkey_does_not_keep_the_ingress_from_starting_and_stopping(serve: Serve, real_valkey: RealValkey) -> None:
    real_valkey.freeze()
    assert_unavailable(post(serve(REDIS_URL=real_valkey.url, COMMIT_TIMEOUT=COMMIT_TIMEOUT)))


def test_a_full_valkey_is_503_and_loses_nothing(serve: Serve, real_valkey: RealValkey) -> None:
    client = serve(REDIS_URL=real_valkey.url)
    before = post(client).json()["id"]

    with redis.Redis.from_url(real_valkey.url) as valkey:
        valkey.config_set("maxmemory", 1)
        answer = post(client)
        assert_unavailable(answer)
        assert client.get("/readyz").status_code == 503
        valkey.config_set("maxmemory", 0)

    until_accepted(client)
    assert stored(real_valkey.url)[0][0] == before


def test_past_the_backlog_limit_events_are_refused_until_the_dispatcher_has_caught_up(
    serve: Serve, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingress.backpressure.PERIOD_SECONDS", 0.05)
    client = serve(REDIS_URL=valkey_url, INBOX_MAX_BACKLOG="3")

    wait_for(lambda: post(client).status_code == 503, what="a refusal")
    answer = post(client)
    assert_unavailable(answer)
    assert "INBOX_MAX_BACKLOG" in answer.json()["detail"]
    assert client.get("/readyz").status_code == 503
    assert len(stored(valkey_url)) > 3

    with redis.Redis.from_url(valkey_url) as valkey:
        valkey.xtrim(keys.INBOX, maxlen=0)
    until_accepted(client)


def test_events_are_accepted_during_a_broker_outage(serve: Serve, fake_valkey_url: str) -> None:
    client = serve(REDIS_URL=fake_valkey_url, CELERY_BROKER_URL=f"redis://{LOOPBACK}:{free_port()}/0")

    assert [post(client).status_code for _ in range(10)] == [200] * 10
    assert len(stored(fake_valkey_url)) == 10


def test_a_wrong_valkey_password_is_503_and_is_not_shown(
    serve: Serve, real_valkey: RealValkey, caplog: pytest.LogCaptureFixture
) -> None:
    answer = post(serve(REDIS_URL=real_valkey.url.replace("redis://", "redis://user:pa55word@")))

    assert_unavailable(answer)
    assert "pa55word" not in answer.text + caplog.text


def test_valkey_settings_that_may_lose_events_are_logged_as_a_warning(
    serve: Serve, real_valkey: RealValkey, caplog: pytest.LogCaptureFixture
) -> None:
    serve(REDIS_URL=real_valkey.url)
    assert "may lose" not in caplog.text

    with redis.Redis.from_url(real_valkey.url) as valkey:
        valkey.config_set("appendfsync", "everysec")
        try:
            serve(REDIS_URL=real_valkey.url)
        finally:
            valkey.config_set("appendfsync", "always")
    assert "Valkey may lose acknowledged events when it crashes: it needs appendfsync always" in caplog.text
