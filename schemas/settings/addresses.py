"""Addresses of services: which are valid, and what of one may be shown.

An address may hold a password, and an invalid address is most often one whose password was not percent-encoded. So an error
never quotes an address, and one that cannot be parsed in full is shown as `***`.
"""

import re
from urllib.parse import parse_qsl, urlsplit

MASK = "***"
ENCODED = "in a password, special characters are written percent-encoded, such as %2F for /"
"""The hint for an address that cannot be parsed."""

_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_UNDERSTOOD = re.compile(
    rf"""
      (?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://
      (?:(?P<user>[\w.%+-]*)(?::(?P<password>[^\s@/?\#\[\]]*))?@)?
      (?P<hosts>{_HOST}(?:,{_HOST})*)?
      (?P<path>/[\w\ .%~+/-]*)?
      (?P<query>\?[^@\#]*)?
    """,
    re.VERBOSE,
)

_POSTGRESQL = re.compile(
    r"postgresql\+psycopg://(?:[^:/@]*(?::[^@]*)?@)?(?:\[[^/?@]+\]|[^/:?@]*)(?::\d{0,5})?(?:/[^?@]*)?(?:\?[^@]*)?"
)
"""As SQLAlchemy reads it, whose password may hold a `/`; its port is a number, and one @ separates the login from the host."""
_BROKER_PARTS = {"transport", "hostname", "port", "userid", "password", "virtual_host"}


def masked_addresses(text: str) -> str:
    """One or several addresses, separated by `;`, without passwords and parameters; `***` if any cannot be parsed."""
    found = [_UNDERSTOOD.fullmatch(each) for each in text.split(";")]
    return MASK if None in found else ";".join(_masked(each) for each in found if each)


def shown(text: str) -> str:
    """A value as an error or a table may quote it: what looks like an address is masked."""
    return masked_addresses(text) if "://" in text or "@" in text else text


def _masked(address: re.Match[str]) -> str:
    scheme, user, password = address["scheme"], address["user"], address["password"]
    if user is None:
        login = ""
    elif password or scheme.startswith("postgres"):
        login = f"{user}:{MASK}@" if password else f"{user}@"
    else:
        login = f"{MASK}@"  # a user alone may be a password at a user's place
    return f"{scheme}://{login}{address['hosts'] or ''}{address['path'] or ''}{f'?{MASK}' if address['query'] else ''}"


def is_readable(address: str) -> bool:
    """Whether all client libraries parse it alike: the port is a number, and no character of the password cuts it short."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    is_cut = "@" in parts.path or "@" in parts.query or bool(parts.fragment)
    return not is_cut and (port is None or parts.hostname is not None)


def scheme_of(address: str) -> str | None:
    """The scheme, in lower case; None if it cannot be parsed. Python's own error would quote the password."""
    try:
        return urlsplit(address).scheme
    except ValueError:
        return None


def read_valkey_url(text: str) -> str:
    """Validate the address of a Valkey or Redis. Raises ValueError, which quotes nothing."""
    if scheme_of(text) not in {"redis", "rediss"} or not is_readable(text):
        raise ValueError(f"expected redis://… or rediss://…; {ENCODED}")
    return text


def read_broker_urls(text: str) -> str:
    """Validate the addresses of a broker, separated by `;`; empty for none. Raises ValueError, which quotes nothing."""
    addresses = text.split(";") if text else []
    if any(dict(parse_qsl(each.partition("?")[2])).keys() & _BROKER_PARTS for each in addresses):
        raise ValueError("expected login, host and port before the ?, not among the parameters")  # Celery would get them twice
    if not all("://" in each and is_readable(each) for each in addresses):
        raise ValueError(
            f"expected amqp://…, redis://… or another broker's address, several separated by semicolons; {ENCODED}"
        )
    return text


def read_database_url(text: str) -> str:
    """Validate the address of a database, and add the driver. Raises ValueError, which quotes nothing."""
    for asked, driver in (("postgresql://", "postgresql+psycopg://"), ("postgres://", "postgresql+psycopg://")):
        if text.startswith(asked):
            text = driver + text.removeprefix(asked)
    if not text.startswith("sqlite:///") and not _POSTGRESQL.fullmatch(text):
        raise ValueError(f"expected sqlite:///path or postgresql://user@host/database; {ENCODED}")
    return text


def read_http_url(text: str) -> str:
    """Validate a URL; empty for none. Raises ValueError, which quotes nothing."""
    if text and (scheme_of(text) not in {"http", "https"} or not is_readable(text)):
        raise ValueError(f"expected http://… or https://…; {ENCODED}")
    return text
