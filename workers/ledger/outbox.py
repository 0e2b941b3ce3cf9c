"""The channels of alerts: always the log, Apprise URLs, a signed webhook. A channel's name reveals no secret of its URL."""

import hashlib
from datetime import datetime
from typing import NamedTuple

from schemas.settings import Settings

LOG = "log"
WEBHOOK = "webhook"


class Message(NamedTuple):
    """An alert for one channel. `payload` is JSON; `idempotency_key` is the same each time the alert is sent."""

    idempotency_key: str
    channel: str
    topic: str
    title: str
    payload: str
    created_at: datetime


def channels_of(settings: Settings) -> list[str]:
    """The names of all configured channels."""
    webhook = [WEBHOOK] if settings.alert_webhook_url else []
    return [LOG, *webhook, *(apprise_channel(url) for url in settings.alert_urls)]


def apprise_channel(url: str) -> str:
    """The channel name of an Apprise URL."""
    return f"apprise:{hashlib.sha256(url.encode()).hexdigest()[:12]}"
