"""Logs and Celery messages hold no secret and no customer data."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import redis

from schemas.events import Provider
from tests.payloads import recorded
from tests.support.event_sums import failures, sums
from tests.support.ingress_client import ProviderClient
from tests.support.live_deployment import deployed
from tests.support.redis_monitor import RedisMonitor
from tests.support.settings import AFOSTO_SECRET, CLIENT_SECRET, SIGNING_KEY
from tests.support.valkey_servers import RealValkey, broker_of
from tests.support.waiting import wait_for

PASSWORD = "valkey-password-of-the-tests"
PERSONAL = ("jane.roe@example.org", "+31612345678", "Keizersgracht 123", "1015 CJ", "Roe-Janssen")
SECRETS = (PASSWORD, AFOSTO_SECRET, CLIENT_SECRET, SIGNING_KEY)
_STRANGER = (
    b'"customer": {"email": "jane.roe@example.org", "phone": "+31612345678", "name": "Jane Roe-Janssen",'
    b' "address": "Keizersgracht 123, 1015 CJ"}'
)


def _with_a_person(body: bytes) -> bytes:
    """A body with customer data in the provider's own fields and in unknown ones."""
    body = body.replace(b"customer@example.com", b"jane.roe@example.org").replace(b"+31000000000", b"+31612345678")
    body = body.replace(b"Voorbeeldstraat 1", b"Keizersgracht 123").replace(b"0000 AA", b"1015 CJ")
    return body.replace(b"{", b"{" + _STRANGER + b", ", 1)


BODIES = [
    *((Provider.AFOSTO, _with_a_person(recorded(f"afosto/{name}"))) for name in ("order_opened", "order_updated", "in_transit")),
    *((Provider.INSTACART, _with_a_person(recorded(f"instacart/{dialect}/{name}")))
      for dialect in ("flat", "envelope") for name in ("order_item_refund", "customer_mia", "late_delivery")),
    (Provider.INSTACART, b"{" + _STRANGER),
    (Provider.INSTACART, b'{"event": "fulfillment.picking", "order_id": "fc-1", "timestamp": "jane.roe@example.org"}'),
    (Provider.INSTACART, b'{"event": "fulfillment.picking", "order_id": ["jane.roe@example.org"]}'),
    (Provider.INSTACART, b'{"event": "fulfillment.order_item_refund", "order_id": "fc-2", "items": [{"refunded": true, "qty": "+31612345678x"}]}'),
    (Provider.INSTACART, b'{"event": "fulfillment.brand new for jane.roe@example.org", "order_id": "fc-3"}'),
]  # fmt: skip


def test_no_secret_and_nothing_of_a_customer_is_in_any_log_line_or_task_argument(
    real_valkey: RealValkey, tmp_path: Path
) -> None:
    with redis.Redis.from_url(real_valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", "curbside", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        try:
            _check(admin, real_valkey, tmp_path)
        finally:
            admin.execute_command("ACL", "DELUSER", "curbside")


def _check(admin: redis.Redis, real_valkey: RealValkey, folder: Path) -> None:
    url = urlsplit(real_valkey.url)._replace(netloc=f"curbside:{PASSWORD}@127.0.0.1:{real_valkey.port}").geturl()
    with (
        RedisMonitor(broker_of(real_valkey.url)) as monitor,
        deployed(folder, REDIS_URL=url, DATABASE_URL=f"sqlite:///{folder / 'ledger.db'}") as deployment,
        ProviderClient(deployment.ingress.url) as poster,
    ):
        for provider, body in BODIES:
            poster.post(provider, body)
        wait_for(lambda: sums(admin).received == len(BODIES) and sums(admin).is_settled, what="all to be handled")
        wait_for(lambda: deployment.logs.count("ALERT ") >= 2, what="the alerts in the log")
        assert len(failures(admin)) == 3, "two bodies without an order, and a refund of which a line cannot be read"
        token = poster.token
    told = {"a log": deployment.logs, "a Celery message": "\n".join([*monitor.commands, *monitor.message_bodies])}
    assert len(monitor.message_bodies) >= 3, "the messages were heard"
    assert deployment.logs.count("succeeded in") >= 3, "the logs were read"
    for where, text in told.items():
        shown = [value for value in (*PERSONAL, *SECRETS, token) if value in _unfolded(text)]
        assert not shown, f"{where} tells {shown}"


def _unfolded(text: str) -> str:
    """Without the escapes that may hide a value."""
    return re.sub(r"\\+", "", text)
