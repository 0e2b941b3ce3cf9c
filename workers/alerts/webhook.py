"""The signed outgoing webhook, as Standard Webhooks specifies it.

Each alert has a connection of its own, which is closed when the status is known: the body of the answer is not read, and no
redirect is followed.
"""

import hashlib
import re
from datetime import datetime
from typing import Any

import httpx
import orjson
import standardwebhooks

from workers.alerts.deadline import Deadline
from workers.errors import DeliveryError
from workers.ledger.outbox import Message

TIMEOUT_SECONDS = 5.0
"""For one connection attempt, or one read. `Deadline` ends the whole call."""

_HEADER_SAFE = re.compile(r"[A-Za-z0-9_:-]+")


class Webhook:
    """Posts alerts to one URL. Safe to share between threads."""

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._signer = url, standardwebhooks.Webhook(secret)
        self._tls = httpx.create_ssl_context()

    def post(self, message: Message, now: datetime, deadline: Deadline) -> None:
        """Post an alert. `webhook-id`: its idempotency key; the signature covers id, time, body. Raises `DeliveryError`."""
        name = webhook_id(message.idempotency_key)
        content: dict[str, Any] = {
            "type": message.topic,
            "timestamp": message.created_at,
            "data": {"title": message.title, **orjson.loads(message.payload)},
        }
        body = orjson.dumps(content).decode()
        headers = {
            "connection": "close",
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(name, now, body),
        }
        try:
            status = self._status(body, headers, deadline)
        except httpx.HTTPError as error:
            raise DeliveryError(f"the webhook did not answer: {type(error).__name__}") from error
        if not httpx.codes.is_success(status):
            raise DeliveryError(f"the webhook answered {status}")

    def _status(self, body: str, headers: dict[str, str], deadline: Deadline) -> int:
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, verify=self._tls) as http,
            http.stream("POST", self._url, content=body, headers=headers, extensions={"trace": deadline.watch}) as response,
        ):
            return response.status_code


def webhook_id(idempotency_key: str) -> str:
    """The key, or its digest if it does not fit a header or contains a dot, which separates the signed parts."""
    if _HEADER_SAFE.fullmatch(idempotency_key):
        return idempotency_key
    return f"sha256:{hashlib.sha256(idempotency_key.encode()).hexdigest()}"
