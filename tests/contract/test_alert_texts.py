"""Alerts about an order whose id is an attack: people and channels read it as text, machines get it unchanged."""

import logging

import orjson
import pytest
from standardwebhooks import Webhook

from schemas.events import Kind
from tests.contract.handler_events import ORDER, at, event
from tests.support.alert_worker import SECRET, WEBHOOK, AlertWorker, Receiver, open_alert_worker, webhook_of

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it

HOSTILE = "@everyone <!channel> <@U123> **b** [pay](https://evil.example) <img src=x>\x1b[2J\n# \u202e"
PLAIN = "＠everyone ＜!channel＞ ＜＠U123＞ ＊＊b＊＊ ［pay］(https：//evil.example) ＜img src=x＞＼x1b［2J＼n# ＼u202e"

PLAIN_TITLE = PLAIN.replace("＼n", " ")


def _alerted(migrated_ledger_url: str, valkey_url: str, receiver: Receiver, order: str) -> None:
    """Alert the log, a webhook, and through Apprise a JSON, a Markdown (Mattermost) and an HTML service of a missing customer."""
    host = receiver.url.removeprefix("http://")
    receiver.answers["/hooks/abcdefgh12345"] = 200
    urls = f"json://{host}/json,mmost://{host}/abcdefgh12345,json://{host}/html?format=html"
    with open_alert_worker(migrated_ledger_url, valkey_url, **webhook_of(receiver), ALERT_URLS=urls) as alert_worker:
        _report(alert_worker, order)


def _report(alert_worker: AlertWorker, order: str) -> None:
    alert_worker.ledger_fixture.now = at(1)
    alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1, order))
    alert_worker.run()
    assert all(row["sent_at"] for row in alert_worker.ledger_fixture.rows("outbox"))


def test_people_read_an_order_id_as_plain_text_and_machines_unchanged(
    migrated_ledger_url: str, fake_valkey_url: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "curbside.alerts"):
        _alerted(migrated_ledger_url, fake_valkey_url, receiver, HOSTILE)
    (webhook,) = receiver.at(WEBHOOK)
    assert Webhook(SECRET).verify(webhook.body, webhook.headers)["data"]["order_id"] == HOSTILE
    (json_service,) = receiver.at("/json")
    told = orjson.loads(json_service.body)
    assert told["title"] == f"customer_mia: Customer of order {PLAIN_TITLE} cannot be found"
    assert orjson.loads(told["message"])["order_id"] == PLAIN
    (mattermost,) = receiver.at("/hooks/abcdefgh12345")
    (html,) = receiver.at("/html")
    for text in (json_service.body, mattermost.body, html.body):
        for sign in ("@everyone", "<!", "<@", "**", "](", "://evil", "<img", "\\u001b"):
            assert sign not in text, f"{sign} in {text}"


def test_a_usual_order_id_is_the_same_everywhere(migrated_ledger_url: str, fake_valkey_url: str, receiver: Receiver) -> None:
    _alerted(migrated_ledger_url, fake_valkey_url, receiver, ORDER)
    assert len(receiver.posts) == 4
    for post in receiver.posts:
        assert ORDER in post.body.replace("&nbsp;", " ")
