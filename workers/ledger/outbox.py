"""Where alerts go: the log always, Apprise URLs, a signed webhook. A channel's name tells no secret of its URL."""

import hashlib
from datetime import datetime
from typing import NamedTuple

from schemas.settings import Settings

LOG = "log"
WEBHOOK = "webhook"


class Message(NamedTuple):
    """An alert on its way through one channel: `payload` is JSON, `idempotency_key` the same each time it is sent."""

    idempotency_key: str
    channel: str
    topic: str
    title: str
    payload: str
    created_at: datetime


def channels_of(settings: Settings) -> list[str]:
    """The names of all channels that are set up."""
    webhook = [WEBHOOK] if settings.alert_webhook_url else []
    return [LOG, *webhook, *(apprise_channel(url) for url in settings.alert_urls)]


def apprise_channel(url: str) -> str:
    """The name of one Apprise URL's channel."""
    return f"apprise:{hashlib.sha256(url.encode()).hexdigest()[:12]}"
