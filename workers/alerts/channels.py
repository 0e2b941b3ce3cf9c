"""Sends one alert through one channel."""

import logging
from contextvars import ContextVar
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING

from schemas.settings import Settings
from workers.alerts.deadline import Deadline
from workers.alerts.plain_text import plain, plain_json
from workers.errors import DeliveryError, UnknownChannelError
from workers.ledger.outbox import LOG, WEBHOOK, Message, apprise_channel, channels_of

if TYPE_CHECKING:
    from apprise import Apprise

    from workers.alerts.webhook import Webhook

log = logging.getLogger("curbside.alerts")

_parsing_url: ContextVar[bool] = ContextVar("parsing_url", default=False)
logging.getLogger("apprise").addFilter(lambda _: not _parsing_url.get())  # it logs a wrong URL, secrets included


class Channels:
    """All configured channels. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._names = channels_of(settings)
        self._webhook = _webhook(settings) if settings.alert_webhook_url else None
        self._apprise = {apprise_channel(url): url for url in settings.alert_urls}
        if self._apprise:
            import_module("apprise")  # 3 MB and a second, needed only if configured: not for the first alert to wait for

    @property
    def names(self) -> list[str]:
        """The names of the channels."""
        return self._names

    def send(self, message: Message, now: datetime, deadline: Deadline) -> None:
        """Send an alert through its channel. Raises `DeliveryError` or `UnknownChannelError`.

        The deadline ends a call of the webhook. Apprise may call by any protocol: its call ends when its library gives up.
        """
        if message.channel == LOG:
            log.warning("ALERT %s: %s", message.topic, message.title)
        elif message.channel == WEBHOOK and self._webhook is not None:
            self._webhook.post(message, now, deadline)
        elif url := self._apprise.get(message.channel):
            _notify(url, message)
        else:
            raise UnknownChannelError(f"{message.channel} is no longer set up")


def _webhook(settings: Settings) -> "Webhook":
    from workers.alerts.webhook import Webhook  # noqa: PLC0415 - 3 MB, needed only if configured

    return Webhook(settings.alert_webhook_url, settings.alert_webhook_secret)


def _notify(url: str, message: Message) -> None:
    """Send it as plain text. Apprise escapes it where a service takes HTML or Markdown; `plain` removes the rest.

    In the caller's thread: Apprise's own threads are shared by all services, few, and waited for at the end of the process.
    """
    import apprise  # noqa: PLC0415 - see `Channels`

    service = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, service_timeout=0))
    if not _add_url(service, url):
        raise DeliveryError("Apprise does not understand this ALERT_URLS entry")
    title, body = plain(f"{message.topic}: {message.title}"), plain_json(message.payload)
    if not service.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT):
        raise DeliveryError("Apprise could not deliver")


def _add_url(service: "Apprise", url: str) -> bool:
    token = _parsing_url.set(True)
    try:
        return bool(service.add(url))
    finally:
        _parsing_url.reset(token)
