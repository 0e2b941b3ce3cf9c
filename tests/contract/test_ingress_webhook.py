"""POST /webhook over real HTTP: requests of providers and their answers."""

import dataclasses
import hashlib
import os
import uuid
from collections.abc import Iterator

import httpx
import pytest

from schemas.events import Provider
from tests.support.ingress_client import Serve, bearer, notifications, running_ingress, signed, stored
from tests.support.settings import SIGNING_KEY, make_settings
from tests.support.waiting import wait_for

BODY = b'{"event":"fulfillment.picking","order_id":"42"}'
ENDPOINT, OTHER_ENDPOINT = (str(uuid.UUID(int=number)) for number in (1, 2))
OLD, NEW, OTHER, SHARED = (f"{name} secret of the tests" for name in ("the old", "the new", "another", "the shared"))


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


@pytest.mark.parametrize("path", ["/webhook", "/webhook/instacart"])
def test_an_instacart_event_is_in_the_inbox_when_its_id_is_answered(serve: Serve, valkey_url: str, path: str) -> None:
    answer = serve(REDIS_URL=valkey_url).post(path, content=BODY, headers=bearer())

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert stored(valkey_url) == [(answer.json()["id"], Provider.INSTACART, BODY)]


def test_a_signed_afosto_event_is_in_the_inbox_when_its_id_is_answered(serve: Serve, valkey_url: str) -> None:
    answer = serve(REDIS_URL=valkey_url).post("/webhook/afosto", content=BODY, headers=signed(BODY))

    assert answer.status_code == 200
    assert stored(valkey_url) == [(answer.json()["id"], Provider.AFOSTO, BODY)]


@pytest.mark.parametrize("body", [b"\0", b"\r\n$-1\r\n", bytes(range(256)) * 40, b"not json", os.urandom(100_000)], ids=len)
def test_a_body_is_kept_byte_for_byte_whatever_it_holds(serve: Serve, valkey_url: str, body: bytes) -> None:
    client = serve(REDIS_URL=valkey_url)

    assert client.post("/webhook", content=body, headers=bearer()).status_code == 200
    assert client.post("/webhook/afosto", content=body, headers=signed(body)).status_code == 200
    assert [entry[2] for entry in stored(valkey_url)] == [body, body]


def test_events_on_one_connection_get_ids_in_their_order(serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url)

    answers = [client.post("/webhook", content=b"%d" % number, headers=bearer()) for number in range(20)]

    assert [(answer.json()["id"], b"%d" % number) for number, answer in enumerate(answers)] == [
        (event_id, body) for event_id, _, body in stored(valkey_url)
    ]


def test_a_chunked_body_is_stored_whole(serve: Serve, valkey_url: str) -> None:
    answer = serve(REDIS_URL=valkey_url).post("/webhook", content=iter([b"one ", b"two ", b"three"]), headers=bearer())

    assert answer.status_code == 200
    assert stored(valkey_url)[0][2] == b"one two three"


@pytest.mark.parametrize("content", [b"", iter([b"", b""])], ids=["no length", "no chunks"])
def test_an_empty_body_is_refused(serve: Serve, valkey_url: str, content: bytes | Iterator[bytes]) -> None:
    assert_problem(serve(REDIS_URL=valkey_url).post("/webhook", content=content, headers=bearer()), 400)
    assert stored(valkey_url) == []


def test_unknown_paths_are_404_and_unknown_methods_405(serve: Serve) -> None:
    client = serve()
    for path in ("/webhook/shopify", "/webhook/Instacart", "/webhook/a/b", "/", "/hooks"):
        assert_problem(client.post(path, content=BODY, headers=bearer()), 404)
    for method, path in (("PATCH", "/webhook"), ("PUT", "/webhook/afosto"), ("GET", "/oauth/token"), ("POST", "/healthz")):
        answer = client.request(method, path)
        assert_problem(answer, 405)
        assert answer.headers["allow"]


def test_instacart_without_a_valid_token_is_refused(serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url)
    for authorization in ("", "Bearer", "Bearer x", "Basic dTpw", SIGNING_KEY, None):
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = client.post("/webhook", content=BODY, headers=headers | signed(BODY))
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert stored(valkey_url) == []


def test_a_token_of_any_current_key_is_accepted_and_of_another_refused(serve: Serve, real_valkey_url: str) -> None:
    new, old, foreign = (f"{name} key that signs tokens of the tests" for name in ("the new", "the old", "a foreign"))
    client = serve(REDIS_URL=real_valkey_url, TOKEN_SIGNING_KEYS=f"{new},{old}")

    statuses = [client.post("/webhook", content=BODY, headers=bearer(key)).status_code for key in (new, old, foreign)]

    assert statuses == [200, 200, 401]


def test_afosto_without_a_valid_signature_is_refused(serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url)
    valid = signed(BODY)["X-Afosto-Hmac-Sha256"]
    wrong = {
        "missing": {},
        "empty": {"X-Afosto-Hmac-Sha256": ""},
        "truncated": {"X-Afosto-Hmac-Sha256": valid[:-1]},
        "not hexadecimal": {"X-Afosto-Hmac-Sha256": "z" * 64},
        "of another secret": signed(BODY, "another secret"),
        "of another body": signed(BODY + b" "),
        "without a secret": {"X-Afosto-Hmac-Sha256": hashlib.sha256(BODY).hexdigest()},
    }
    for what, headers in wrong.items():
        answer = client.post("/webhook/afosto", content=BODY, headers=bearer() | headers)
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("HMAC-SHA256 "), what
    assert stored(valkey_url) == []
    assert client.post("/webhook/afosto", content=BODY, headers={"X-Afosto-Hmac-Sha256": valid.upper()}).status_code == 200


def test_an_afosto_secret_is_valid_for_its_own_endpoint_only(serve: Serve, real_valkey_url: str) -> None:
    client = serve(
        REDIS_URL=real_valkey_url,
        AFOSTO_SECRETS=",".join([f"{ENDPOINT}={OLD}", f"{ENDPOINT}={NEW}", f"{OTHER_ENDPOINT}={OTHER}", SHARED]),
    )

    def status(secret: str, endpoint: str | None) -> int:
        headers = signed(BODY, secret) | ({"X-Afosto-Endpoint": endpoint} if endpoint else {})
        return client.post("/webhook/afosto", content=BODY, headers=headers).status_code

    assert [status(secret, ENDPOINT) for secret in (OLD, NEW, SHARED, OTHER)] == [200, 200, 200, 401]
    assert [status(secret, None) for secret in (OLD, NEW, SHARED, OTHER)] == [401, 401, 200, 401]
    assert status(OTHER, OTHER_ENDPOINT.upper()) == 200


def test_an_unexpected_error_is_a_problem_document_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    settings = dataclasses.replace(make_settings(), max_body_bytes=None)  # type: ignore[arg-type]
    with running_ingress(settings) as url:
        answer = httpx.post(f"{url}/webhook", content=BODY, headers=bearer())

    assert_problem(answer, 500)
    assert "TypeError" not in answer.text
    assert "ingress" not in answer.text
    assert "a bug in the ingress: TypeError" in caplog.text


def test_health_reports_a_live_process_and_readiness_that_writes_succeed(serve: Serve, valkey_url: str) -> None:
    client, without_valkey = serve(REDIS_URL=valkey_url), serve()

    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 200)
    assert without_valkey.get("/healthz").status_code == 200
    answer = without_valkey.get("/readyz")
    assert_problem(answer, 503)
    assert answer.headers["retry-after"]


def test_many_events_send_the_dispatcher_one_notification(serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url)

    for _ in range(5):
        assert client.post("/webhook", content=BODY, headers=bearer()).status_code == 200

    wait_for(lambda: notifications(valkey_url), what="a notification")
    assert notifications(valkey_url) == 1
