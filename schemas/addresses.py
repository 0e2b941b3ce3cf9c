"""Addresses of services: which are understood, and what of one may be shown.

A password in an address is its owner's secret, and a wrong address is most often one whose password was not percent-encoded: so an
error never quotes an address, and what is not understood in full is shown as `***`.
"""

import re
from urllib.parse import urlsplit

MASK = "***"
ENCODED = "in a password, special characters are written percent-encoded, such as %2F for /"
"""What to say of an address that cannot be read."""

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


def masked_addresses(text: str) -> str:
    """One or several addresses, parted by `;`, without their passwords and parameters; `***` if any of them is not understood."""
    found = [_UNDERSTOOD.fullmatch(each) for each in text.split(";")]
    return MASK if None in found else ";".join(_masked(each) for each in found if each)


def shown(text: str) -> str:
    """A value that should hold no secret, as an error or a table may quote it: what looks like an address is masked."""
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
    """Whether every client library reads the same in it: the port is a number, and no sign of the password cuts it short."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    is_cut = "@" in parts.path or "@" in parts.query or bool(parts.fragment)
    return not is_cut and (port is None or parts.hostname is not None)


def scheme_of(address: str) -> str | None:
    """The scheme, in lower case; None of what cannot be read. Python's own error would quote the password."""
    try:
        return urlsplit(address).scheme
    except ValueError:
        return None
