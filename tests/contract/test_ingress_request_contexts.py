"""POST /webhook over real HTTP: which headers are stored with the body, and which never are."""

import hmac

import pytest
import redis

from schemas import keys
from schemas.contracts import CONTRACTS
from schemas.request_context import MAX_BYTES, RequestContext, decode_context
from tests.contract.context_deployment import ENDPOINT, TRACEPARENT, ContextDeployment
from tests.examples import toyshop
from tests.payloads import recorded
from tests.support.ingress_client import Serve, bearer, signed
from tests.support.valkey_servers import RealValkey

OPENED = recorded("afosto/order_opened")
REFUND = b'{"event":"order_item_refund","order_id":"o-1","items":[{"line_num":"1","refunded":true}]}'
AFOSTO_HEADERS = {
    "X-Afosto-Tenant": "shop-nl",
    "X-Afosto-Endpoint": ENDPOINT,
    "User-Agent": "Afosto/1.0",
    "traceparent": TRACEPARENT,
}


def kept(url: str) -> list[RequestContext | None]:
    """What the inbox keeps of each request, oldest first; None of an entry without the field."""
    with redis.Redis.from_url(url) as client:
        entries = client.xrange(keys.INBOX)
    return [decode_context(fields[keys.FIELD_REQUEST]) if keys.FIELD_REQUEST in fields else None for _, fields in entries]


def test_tenant_endpoint_trace_and_peer_of_an_afosto_request_are_kept(serve: Serve, valkey_url: str) -> None:
    headers = (
        signed(OPENED) | AFOSTO_HEADERS | {"Content-Type": "application/json", "tracestate": "a=1", "Content-Encoding": "br"}
    )
    assert serve(REDIS_URL=valkey_url).post("/webhook/afosto", content=OPENED, headers=headers).status_code == 200
    (context,) = kept(valkey_url)
    assert context == RequestContext(
        peer="127.0.0.1",
        user_agent="Afosto/1.0",
        content_type="application/json",
        content_encoding="br",
        traceparent=TRACEPARENT,
        tracestate="a=1",
        headers={"x-afosto-tenant": "shop-nl", "x-afosto-endpoint": ENDPOINT},
    )


def test_another_provider_s_own_headers_are_not_kept(serve: Serve, valkey_url: str) -> None:
    client = serve(REDIS_URL=valkey_url)
    assert client.post("/webhook", content=REFUND, headers=bearer() | AFOSTO_HEADERS).status_code == 200
    (context,) = kept(valkey_url)
    assert context == RequestContext(peer="127.0.0.1", user_agent="Afosto/1.0", traceparent=TRACEPARENT)


def test_a_users_provider_declares_its_own_headers(serve: Serve, real_valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTRACTS, toyshop.NAME, toyshop.PROVIDERS[toyshop.NAME])  # and gone again after the test
    secret, body = "the secret of the toyshop", b"{}"
    signature = {"X-Toyshop-Signature": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()}
    client = serve(REDIS_URL=real_valkey_url, PROVIDER_MODULES=toyshop.__name__, TOYSHOP_SECRETS=secret)
    headers = signature | {"x-toyshop-branch": "Utrecht", "User-Agent": ""}
    assert client.post("/webhook/toyshop", content=body, headers=headers).status_code == 200
    (context,) = kept(real_valkey_url)
    assert context is not None
    assert context.headers == {"x-toyshop-branch": "Utrecht"}


def test_behind_a_trusted_proxy_the_peer_is_the_client_it_names(serve: Serve, real_valkey_url: str) -> None:
    ours, strangers = (serve(REDIS_URL=real_valkey_url, TRUSTED_PROXIES=networks) for networks in ("127.0.0.1", "10.0.0.0/8"))
    for client in (ours, strangers):
        client.post("/webhook", content=REFUND, headers=bearer() | {"X-Forwarded-For": "198.51.100.1, 203.0.113.77"})
    assert [context and context.peer for context in kept(real_valkey_url)] == ["203.0.113.77", "127.0.0.1"]


def test_the_last_of_repeated_headers_is_kept(serve: Serve, valkey_url: str) -> None:
    headers = [*signed(OPENED).items(), ("X-Afosto-Tenant", "first"), ("x-afosto-tenant", "last")]
    assert serve(REDIS_URL=valkey_url).post("/webhook/afosto", content=OPENED, headers=headers).status_code == 200
    (context,) = kept(valkey_url)
    assert context is not None
    assert context.headers == {"x-afosto-tenant": "last"}


def test_a_header_of_sixty_kilobytes_and_other_bytes_is_cut_and_made_printable(serve: Serve, valkey_url: str) -> None:
    names = (b"X-Afosto-Tenant", b"User-Agent", b"Content-Type", b"traceparent")
    mine = {name.encode(): value.encode() for name, value in signed(OPENED).items()}
    client = serve(REDIS_URL=valkey_url)
    for value in (b"x" * 60_000, "é\u202e".encode() * 20, b'"\\' * 100):
        headers = mine | (dict.fromkeys(names, value) if len(value) < 1000 else {names[0]: value})
        assert client.post("/webhook/afosto", content=OPENED, headers=headers).status_code == 200
    with redis.Redis.from_url(valkey_url) as admin:
        fields = [fields[keys.FIELD_REQUEST] for _, fields in admin.xrange(keys.INBOX)]
    assert [decode_context(each).headers["x-afosto-tenant"] for each in fields] == ["x" * 256, "?" * 100, '"\\' * 100]
    assert max(map(len, fields)) <= MAX_BYTES


def test_no_credential_reaches_valkey_whatever_the_outcome_of_the_event(
    serve: Serve, real_valkey: RealValkey, real_context_deployment: ContextDeployment
) -> None:
    client = serve(REDIS_URL=real_valkey.url)
    real_context_deployment.recording_handler.bug = KeyError("a bug")
    secrets = {"Cookie": "session=cookie-of-a-stranger", "Proxy-Authorization": "Basic c3RyYW5nZXI6cHc="}
    token, bodies = bearer(), (b'{"event":"picking","order_id":"marked-17"}', b'{"marked-18')
    for body in bodies:
        assert client.post("/webhook", content=body, headers=token | secrets).status_code == 200
        assert client.post("/webhook/afosto", content=body, headers=token | signed(body) | secrets).status_code == 200
    real_context_deployment.stepped_deployment.work()
    assert real_context_deployment.stepped_deployment.failures.count() == 4, "one of a handler, three that cannot be decoded"
    written = b"".join(path.read_bytes() for path in sorted((real_valkey.folder / "appendonlydir").iterdir()))
    assert b"marked-17" in written
    assert b"marked-18" in written
    credentials = [*secrets.values(), *token.values(), *(value for body in bodies for value in signed(body).values())]
    found = [value for value in credentials if value.partition(" ")[2 if " " in value else 0].encode() in written]
    assert found == []
