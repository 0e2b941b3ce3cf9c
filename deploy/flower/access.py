"""Who reaches Flower: it listens on loopback unless told otherwise, and elsewhere only behind a login.

Flower itself listens on every address of the machine, and without a login shows everybody what failed and for which orders.
"""

import ipaddress
import socket
import sys
from functools import partial
from typing import Any

import flower.urls

from deploy.flower.guard import Guard, sealed
from schemas.settings import Settings


def guard_access(options: Any, settings: Settings) -> None:
    """Have it checked when Flower has read all its options: its command line comes after the configuration file."""
    options.add_parse_callback(lambda: _ack_batch(options, settings))


def _ack_batch(options: Any, settings: Settings) -> None:
    """Settle address and login. Ends the program, with a sentence, if they do not go together."""
    credentials = [each for each in options.basic_auth or [] if each]
    if not all(_is_whole(each) for each in credentials):
        sys.exit(
            "FLOWER_BASIC_AUTH is wrong: expected user:password, several separated by commas; a password cannot hold a comma"
        )
    if not options.address:
        options.address = settings.host
    is_open = not (credentials or options.auth)
    if is_open and not options.unix_socket and not is_loopback(options.address):
        sys.exit(
            f"Flower would show failures to whoever reaches {options.address}, since it has no login: set FLOWER_BASIC_AUTH"
            " (user:password) or Flower's --auth, or have it listen on 127.0.0.1 (--address, CURBSIDE_HOST)"
        )
    options.basic_auth = [sealed(each.encode("utf-8", "surrogateescape")) for each in credentials]
    is_encrypted = bool(options.certfile and options.keyfile)
    flower.urls.settings["xsrf_cookie_kwargs"] = {"samesite": "Lax", "secure": is_encrypted}  # its pages' scripts read it
    flower.urls.settings["transforms"] = [partial(Guard, asks=bool(credentials))]


def _is_whole(credentials: str) -> bool:
    user, _, password = credentials.partition(":")
    return bool(user and password)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches what listens there: so it is for every address that a name stands for."""
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
