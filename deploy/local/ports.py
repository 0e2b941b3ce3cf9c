"""Checks that the ports of the services are free."""

import errno
import socket
from collections.abc import Sequence
from typing import NamedTuple

from deploy.errors import CommandError
from schemas.settings import Settings

LOOPBACK = "127.0.0.1"


class Listener(NamedTuple):
    """An address to listen on, and the variable that changes its port."""

    variable: str
    host: str
    port: int


def listeners_of(settings: Settings, *, embedded_valkey: bool) -> list[Listener]:
    """Return every address that `make run` listens on."""
    found = [
        Listener("CURBSIDE_PORT", settings.host, settings.port),
        Listener("CURBSIDE_FLOWER_PORT", settings.host, settings.flower_port),
    ]
    if embedded_valkey:
        found.append(Listener("CURBSIDE_VALKEY_PORT", LOOPBACK, settings.valkey_port))
    return found


def check_ports(listeners: Sequence[Listener]) -> None:
    """Check every port. Raises CommandError at the first one that is not available."""
    seen: dict[int, str] = {}
    for each in listeners:
        if each.port in seen:
            raise CommandError(f"{seen[each.port]} and {each.variable} are both {each.port}: give each its own port.")
        seen[each.port] = each.variable
        _check(each)


def _check(listener: Listener) -> None:
    variable, host, port = listener
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise CommandError(f"CURBSIDE_HOST is wrong: {host!r} is not an address of this machine.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"Port {port} on {host} is taken: set {variable} to a free one, or stop what listens there."
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise CommandError(f"CURBSIDE_HOST is wrong: {host!r} is not an address of this machine.") from error
        raise CommandError(f"{variable}: cannot listen on port {port} of {host}: {error.strerror}.") from error


def url_of(host: str, port: int) -> str:
    """Return the URL at which a client on this machine reaches a listener."""
    reached = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
