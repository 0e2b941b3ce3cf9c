"""The client's address: the other end of the connection, or the one that a trusted proxy names in `X-Forwarded-For`.

Anybody can send that header, so only what our own proxies (`TRUSTED_PROXIES`) wrote into it is believed. Each proxy appends the
address that it saw: the last one that is not a trusted proxy is the client. Pure. Results are cached, since every request needs
one.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

UNKNOWN = "-"
"""The address of a client without one: a connection over a Unix socket."""
MAX_FORWARDED_BYTES = 512
"""How much of the header is read, from its end: more than a chain of proxies needs."""
_REMEMBERED = 4096

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ClientAddresses:
    """Finds clients' addresses, given the networks of our own proxies."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Trust these addresses or networks (`10.0.0.0/8`). Raises ValueError for anything else."""
        self._trusted = [ipaddress.ip_network(each) for each in networks]
        self._peer = lru_cache(_REMEMBERED)(self._read_peer)
        self._sender = lru_cache(_REMEMBERED)(self._read_sender)

    def address(self, client: tuple[str, int] | None, forwarded_for: bytes | None) -> str:
        """The client's address, without port; the connection's own if the header names none that can be believed.

        `client` is ASGI's `scope["client"]`, `forwarded_for` the last `X-Forwarded-For` header. IPv4 in IPv6 is given as IPv4.
        """
        if client is None:
            return UNKNOWN
        peer, is_trusted = self._peer(client[0])
        if forwarded_for is None or not is_trusted:
            return peer
        return self._sender(forwarded_for[-MAX_FORWARDED_BYTES:]) or peer

    def _read_peer(self, host: str) -> tuple[str, bool]:
        address = _read(host.partition("%")[0])  # without the interface of a link-local one
        return (host, False) if address is None else (str(address), self._is_trusted(address))

    def _read_sender(self, header: bytes) -> str | None:
        """The last address that is not a trusted proxy, or else the first one. None if a value after it is no address."""
        if len(header) == MAX_FORWARDED_BYTES:
            header = header.partition(b",")[2]  # the first value may be cut
        address: Address | None = None
        for text in reversed(header.decode("latin-1").split(",")):
            address = _read(text.strip())
            if address is None or not self._is_trusted(address):
                break
        return None if address is None else str(address)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def network_of(address: str) -> str:
    """The address to rate-limit by: the /64 network of an IPv6 address, since one client has all of it; otherwise the address."""
    found = _read(address)
    if not isinstance(found, ipaddress.IPv6Address):
        return address
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def _read(text: str) -> Address | None:
    """`192.0.2.1`, `2001:db8::1`, and both with a port as some proxies write it: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
