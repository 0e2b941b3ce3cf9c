"""Access to Flower: it listens on loopback by default, and on other addresses only with a login.

Stock Flower listens on every address, and without a login shows every failure and its orders to anybody.
"""

import ipaddress
import socket
import sys
from functools import partial
from typing import Any

import flower.urls

from deploy.flower.guard import Guard, credential_digest
from schemas.settings import Settings


def guard_access(options: Any, settings: Settings) -> None:
    """Check access after Flower has read all its options: its command line is parsed after the configuration file."""
    options.add_parse_callback(lambda: _check_access(options, settings))


def _check_access(options: Any, settings: Settings) -> None:
    """Set address and login. Exits with an error text if the address is not loopback and there is no login."""
    credentials = [each for each in options.basic_auth or [] if each]
    if not all(_is_complete(each) for each in credentials):
        sys.exit(
            "FLOWER_BASIC_AUTH is wrong: expected user:password, several separated by commas; a password cannot hold a comma"
        )
    if not options.address:
        options.address = settings.host
    is_open = not (credentials or options.auth)
    if is_open and not options.unix_socket and not is_loopback(options.address):
        sys.exit(
            f"Flower would show failures to everybody who reaches {options.address}, since it has no login: set"
            " FLOWER_BASIC_AUTH (user:password) or Flower's --auth, or make it listen on 127.0.0.1 (--address, CURBSIDE_HOST)"
        )
    options.basic_auth = [credential_digest(each.encode("utf-8", "surrogateescape")) for each in credentials]
    is_encrypted = bool(options.certfile and options.keyfile)
    flower.urls.settings["xsrf_cookie_kwargs"] = {"samesite": "Lax", "secure": is_encrypted}  # Flower's scripts read the cookie
    flower.urls.settings["transforms"] = [partial(Guard, requires_login=bool(credentials))]


def _is_complete(credentials: str) -> bool:
    user, _, password = credentials.partition(":")
    return bool(user and password)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address: every address that a name resolves to must be loopback."""
    try:
        found = {
            str(each[4][0]) for each in socket.getaddrinfo(address, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        }
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_is_loopback(each) for each in found)


def _is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)
