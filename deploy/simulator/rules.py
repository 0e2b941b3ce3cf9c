"""The deployment's settings that decide what the ledger must hold."""

from datetime import timedelta
from typing import NamedTuple

from schemas.settings import Settings
from workers.ledger.outbox import channels_of


class Rules(NamedTuple):
    """`channels`: where each alert goes. For the others see the settings of the same names."""

    clock_tolerance: timedelta
    alert_max_age: timedelta
    late_alert_minutes: int
    channels: tuple[str, ...]


def rules_of(settings: Settings) -> Rules:
    """Return the rules under these settings."""
    return Rules(settings.clock_tolerance, settings.alert_max_age, settings.late_alert_minutes, tuple(channels_of(settings)))
