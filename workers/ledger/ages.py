"""How old news is when it is handled, for people and for the limit of `ALERT_MAX_AGE`. Pure."""

from datetime import datetime, timedelta

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def age_of(happened_at: datetime, now: datetime) -> timedelta:
    """How long ago it happened; never negative, since clocks differ."""
    return max(now - happened_at, timedelta(0))


def age_text(age: timedelta) -> str:
    """The age in whole minutes, hours or days: `4 min`, `3 h`, `5 days`; under a minute, in seconds."""
    if age < _MINUTE:
        return f"{age // timedelta(seconds=1)} s"
    if age < 2 * _HOUR:
        return f"{age // _MINUTE} min"
    return f"{age // _HOUR} h" if age < 2 * _DAY else f"{age // _DAY} days"


def reported(age: timedelta) -> str:
    """What a title says of the age: ` (reported 4 min ago)`; nothing under a minute."""
    return f" (reported {age_text(age)} ago)" if age >= _MINUTE else ""
