# ruff: noqa: RUF009 - `_setting` is a field, as dataclasses.field is
"""Every setting, each with its environment variable, default and meaning. `curbside settings` prints this file's table.

A value is taken from the environment, else from what `make run` generated into the data folder, else from its default.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from zoneinfo import ZoneInfo

from schemas.addresses import ENCODED, is_readable, scheme_of, shown
from schemas.durations import read_duration, read_size

MIN_SIGNING_KEY_CHARS = 32
_POSTGRESQL = re.compile(
    r"postgresql\+psycopg://(?:[^:/@]*(?::[^@]*)?@)?(?:\[[^/?@]+\]|[^/:?@]*)(?::\d{0,5})?(?:/[^?@]*)?(?:\?[^@]*)?"
)
"""As SQLAlchemy reads it, whose password may hold a `/`; its port is a number, and one @ parts the login from the host."""
_BROKER_PARTS = {"transport", "hostname", "port", "userid", "password", "virtual_host"}
_HOST = re.compile(r"[\w.:%-]+")
_UUID = re.compile(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


class SettingError(Exception):
    """A setting is missing or wrong. `str()` is one line for each such variable: its name, what is wrong, what to do."""


def _text(text: str) -> str:
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _modules(text: str) -> tuple[str, ...]:
    names = _names(text)
    if not all(part.isidentifier() for name in names for part in name.split(".")):
        raise ValueError("expected names of modules such as shop.loyalty, separated by commas")
    return names


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("expected an address or a name of this machine, such as 127.0.0.1")
    return text


def _secrets(text: str) -> tuple[str, ...]:
    if not (secrets := _names(text)):
        raise ValueError("expected at least one secret; several, separated by commas, are all valid")
    return secrets


def _signing_keys(text: str) -> tuple[str, ...]:
    keys = _secrets(text)
    if short := [key for key in keys if len(key) < MIN_SIGNING_KEY_CHARS]:
        raise ValueError(f"expected keys of at least {MIN_SIGNING_KEY_CHARS} characters, got one of {len(short[0])}")
    return keys


def _afosto_secrets(text: str) -> tuple[str, ...]:
    for part in (secrets := _secrets(text)):
        endpoint, equals, secret = part.partition("=")
        if equals and not (endpoint.strip() and (secret.strip() or not _UUID.match(endpoint.strip()))):
            raise ValueError("expected secrets, or endpoint-uuid=secret pairs, separated by commas")
    return secrets


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.strip().isdecimal() or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return read


def _size(text: str) -> int:
    if (size := read_size(text)) < 1:
        raise ValueError("expected at least one byte")
    return size


def _span(text: str) -> timedelta:
    if (span := read_duration(text)) <= timedelta(0):
        raise ValueError("expected a duration above zero")
    return span


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("expected a time zone such as UTC or Europe/Amsterdam") from error


def _valkey_url(text: str) -> str:
    if scheme_of(text) not in {"redis", "rediss"} or not is_readable(text):
        raise ValueError(f"expected redis://… or rediss://…; {ENCODED}")
    return text


def _broker_urls(text: str) -> str:
    addresses = text.split(";") if text else []
    if any(dict(parse_qsl(each.partition("?")[2])).keys() & _BROKER_PARTS for each in addresses):
        raise ValueError(
            "expected login, host and port before the ?, not among the parameters"
        )  # Celery takes them for given twice
    if not all("://" in each and is_readable(each) for each in addresses):
        raise ValueError(
            f"expected amqp://…, redis://… or another broker's address, several separated by semicolons; {ENCODED}"
        )
    return text


def _database_url(text: str) -> str:
    for asked, driver in (("postgresql://", "postgresql+psycopg://"), ("postgres://", "postgresql+psycopg://")):
        if text.startswith(asked):
            text = driver + text.removeprefix(asked)
    if not text.startswith("sqlite:///") and not _POSTGRESQL.fullmatch(text):
        raise ValueError(f"expected sqlite:///path or postgresql://user@host/database; {ENCODED}")
    return text


def _http_url(text: str) -> str:
    if text and (scheme_of(text) not in {"http", "https"} or not is_readable(text)):
        raise ValueError(f"expected http://… or https://…; {ENCODED}")
    return text


def _setting(name: str, read: Callable[[str], Any], default: str | None, meaning: str, *, secret: bool = False) -> Any:
    """Declare a setting. Without a default it must be given (or generated by `make run`)."""
    return field(
        repr=not secret, metadata={"name": name, "read": read, "default": default, "meaning": meaning, "secret": secret}
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, read and checked. `load` makes one; nothing else reads the environment."""

    data_dir: Path = _setting("CURBSIDE_DATA_DIR", Path, ".data", "folder of the embedded parts' data and generated secrets")
    host: str = _setting("CURBSIDE_HOST", _host, "127.0.0.1", "address the ingress and Flower listen on")
    port: int = _setting("CURBSIDE_PORT", _whole(1, 65535), "8080", "port of the ingress")
    flower_port: int = _setting("CURBSIDE_FLOWER_PORT", _whole(1, 65535), "5555", "port of Flower")
    valkey_port: int = _setting("CURBSIDE_VALKEY_PORT", _whole(1, 65535), "6390", "port of the embedded Valkey, on loopback")
    redis_url: str = _setting("REDIS_URL", _valkey_url, None, "Valkey or Redis 7 and later; unset: embedded", secret=True)
    celery_broker_url: str = _setting(
        "CELERY_BROKER_URL", _broker_urls, "", "broker of the doorbells; unset: the next database of REDIS_URL", secret=True
    )
    database_url: str = _setting(
        "DATABASE_URL",
        _database_url,
        None,
        "ledger: sqlite:///… or postgresql://…; unset: SQLite in the data folder",
        secret=True,
    )
    instacart_client_id: str = _setting(
        "INSTACART_CLIENT_ID", _text, None, "client id that Instacart Connect fetches tokens with"
    )
    instacart_client_secret: tuple[str, ...] = _setting(
        "INSTACART_CLIENT_SECRET",
        _secrets,
        None,
        "secret of INSTACART_CLIENT_ID; several, separated by commas, are all valid",
        secret=True,
    )
    token_signing_keys: tuple[str, ...] = _setting(
        "TOKEN_SIGNING_KEYS",
        _signing_keys,
        None,
        "keys of our tokens, separated by commas: the first signs, all verify",
        secret=True,
    )
    token_ttl: timedelta = _setting("TOKEN_TTL", _span, "1h", "how long a token is valid")
    afosto_secrets: tuple[str, ...] = _setting(
        "AFOSTO_SECRETS",
        _afosto_secrets,
        None,
        "secrets for every endpoint, or endpoint-uuid=secret, separated by commas",
        secret=True,
    )
    max_body_bytes: int = _setting("MAX_BODY_BYTES", _size, "1MiB", "a larger body is answered 413")
    commit_timeout: timedelta = _setting(
        "COMMIT_TIMEOUT",
        _span,
        "2s",
        "longest wait for Valkey; behind another commit it is twice as long before the answer is 503",
    )
    inbox_max_backlog: int = _setting(
        "INBOX_MAX_BACKLOG", _whole(1, 10**12), "1000000", "more events waiting in the inbox are answered 503"
    )
    inbox_retention: timedelta = _setting("INBOX_RETENTION", _span, "72h", "how long handled bodies are kept for replay")
    dedupe_window: timedelta = _setting("DEDUPE_WINDOW", _span, "72h", "how long identities are remembered")
    store_timezone: ZoneInfo = _setting("STORE_TIMEZONE", _zone, "UTC", "where a time sent without a zone is read")
    late_alert_minutes: int = _setting("LATE_ALERT_MINUTES", _whole(0, 10**6), "15", "lateness from which people are alerted")
    alert_urls: tuple[str, ...] = _setting(
        "ALERT_URLS", _names, "", "Apprise URLs that alerts go to, separated by commas", secret=True
    )
    alert_webhook_url: str = _setting(
        "ALERT_WEBHOOK_URL", _http_url, "", "URL that alerts are posted to (Standard Webhooks)", secret=True
    )
    alert_webhook_secret: str = _setting(
        "ALERT_WEBHOOK_SECRET", _text, "", "secret that signs them, whsec_…; needed with ALERT_WEBHOOK_URL", secret=True
    )
    handler_modules: tuple[str, ...] = _setting(
        "HANDLER_MODULES", _modules, "", "modules with your own handlers, separated by commas"
    )
    flower_basic_auth: str = _setting("FLOWER_BASIC_AUTH", _text, "", "user:password of Flower", secret=True)
    valkey_password: str = _setting("CURBSIDE_VALKEY_PASSWORD", _text, "", "password of the embedded Valkey", secret=True)
    worker_processes: int = _setting(
        "WORKER_PROCESSES", _whole(1, 256), "2", "worker processes that `make run` starts beside the one for what is urgent"
    )


def embedded_valkey_url(port: int, password: str) -> str:
    """Where the embedded Valkey listens."""
    return f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0"


def load(environment: Mapping[str, str], generated: Mapping[str, str] | None = None) -> Settings:
    """Read all settings. Raises `SettingError` naming every variable that is missing or wrong, and showing no secret."""
    given = _derive({**(generated or {}), **{name: value for name, value in environment.items() if value}})
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for each in fields(Settings):
        name, default = each.metadata["name"], each.metadata["default"]
        text = given.get(name, default)
        if text is None:
            wrong.append(f"{name} is missing ({each.metadata['meaning']}): set it, or let `make run` make one")
            continue
        try:
            values[each.name] = each.metadata["read"](text)
        except ValueError as error:
            got = "" if each.metadata["secret"] else f", got {shown(text)!r}"
            wrong.append(f"{name} is wrong: {error}{got}")
    if values.get("alert_webhook_url") and not values.get("alert_webhook_secret"):
        wrong.append("ALERT_WEBHOOK_SECRET is missing: ALERT_WEBHOOK_URL needs it to sign what it posts")
    if wrong:
        raise SettingError("\n".join(wrong))
    return Settings(**values)


def _derive(given: dict[str, str]) -> dict[str, str]:
    """Fill in what follows from other settings: the embedded servers' addresses, and the broker beside the inbox."""
    password = given.get("CURBSIDE_VALKEY_PASSWORD")
    if "REDIS_URL" not in given and password:
        port = given.get("CURBSIDE_VALKEY_PORT", "6390")
        given["REDIS_URL"] = embedded_valkey_url(int(port) if port.isdecimal() and len(port) <= 5 else 0, password)
    if "DATABASE_URL" not in given:
        folder = Path(given.get("CURBSIDE_DATA_DIR", ".data")).absolute()
        given["DATABASE_URL"] = f"sqlite:///{folder / 'ledger.db'}"
    if "CELERY_BROKER_URL" not in given and scheme_of(given.get("REDIS_URL", "")):
        given["CELERY_BROKER_URL"] = _next_database(given["REDIS_URL"])
    return given


def _next_database(url: str) -> str:
    """The database after the one in a Redis URL; the same server needs no second address."""
    parts = urlsplit(url)
    number = parts.path.strip("/") or "0"
    return parts._replace(path=f"/{int(number) + 1 if number.isdecimal() and len(number) < 10 else 1}").geturl()
