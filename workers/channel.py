"""Sending one alert through one channel."""

import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apprise
import httpx
import orjson
from standardwebhooks import Webhook

from schemas.settings import Settings
from workers.channels import LOG, WEBHOOK, apprise_channel

WEBHOOK_TIMEOUT_SECONDS = 10.0

_HEADER_SAFE = re.compile(r"[A-Za-z0-9_:-]+")

log = logging.getLogger("curbside.alerts")


class NotDelivered(Exception):  # noqa: N818 - reads as what it says
    """The channel did not take the alert; worth trying again. `str()` says why, and quotes no address."""


class NoSuchChannel(Exception):  # noqa: N818 - reads as what it says
    """The channel was set up when the alert was written, and is no longer."""


@dataclass(frozen=True)
class Message:
    """An alert on its way: `payload` is JSON, `idempotency_key` the same each time it is sent."""

    idempotency_key: str
    channel: str
    topic: str
    title: str
    payload: str
    created_at: datetime


class Channels:
    """All channels that are set up. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._webhook_url = settings.alert_webhook_url
        self._webhook = Webhook(settings.alert_webhook_secret) if settings.alert_webhook_url else None
        self._http = httpx.Client(timeout=WEBHOOK_TIMEOUT_SECONDS)
        self._apprise = {apprise_channel(url): url for url in settings.alert_urls}

    def send(self, message: Message, now: datetime) -> None:
        """Send. Raises `NotDelivered` or `NoSuchChannel`."""
        if message.channel == LOG:
            log.warning("ALERT %s: %s", message.topic, message.title)
        elif message.channel == WEBHOOK and self._webhook is not None:
            self._post(self._webhook, message, now)
        elif url := self._apprise.get(message.channel):
            _notify(url, message)
        else:
            raise NoSuchChannel(f"{message.channel} is no longer set up")

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def _post(self, webhook: Webhook, message: Message, now: datetime) -> None:
        """Post after Standard Webhooks: `webhook-id` is the idempotency key, `webhook-signature` covers id, time and body."""
        name = webhook_id(message.idempotency_key)
        content: dict[str, Any] = {
            "type": message.topic,
            "timestamp": message.created_at,
            "data": {"title": message.title, **orjson.loads(message.payload)},
        }
        body = orjson.dumps(content).decode()
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": webhook.sign(name, now, body),
        }
        try:
            response = self._http.post(self._webhook_url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NotDelivered(f"the webhook did not answer: {type(error).__name__}") from error
        if not response.is_success:
            raise NotDelivered(f"the webhook answered {response.status_code}")


def webhook_id(idempotency_key: str) -> str:
    """The key as a header can hold it, and without a dot, which parts what is signed: as it is, or a digest of it."""
    if _HEADER_SAFE.fullmatch(idempotency_key):
        return idempotency_key
    return f"sha256:{hashlib.sha256(idempotency_key.encode()).hexdigest()}"


def _notify(url: str, message: Message) -> None:
    service = apprise.Apprise()
    if not service.add(url):
        raise NotDelivered("Apprise does not understand this ALERT_URLS entry")
    if not service.notify(title=f"{message.topic}: {message.title}", body=message.payload):
        raise NotDelivered("Apprise could not deliver")
