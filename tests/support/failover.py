"""A primary and an asynchronous replica behind one address, as after a failover by hand or by a load balancer."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import redis

from tests.support.settings import LOOPBACK
from tests.support.switched_address import SwitchedAddress, proxied
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for


class Pair:
    """Two servers. Each reaches the other through a link, a proxy that may be stopped. `address` leads to the primary."""

    def __init__(
        self, servers: tuple[RealValkey, RealValkey], links: tuple[SwitchedAddress, SwitchedAddress], address: SwitchedAddress
    ) -> None:
        self.primary, self.replica = servers
        self._link, self._other_link = links
        self.address = address
        for server in servers:
            with redis.Redis.from_url(server.url) as client:
                client.config_set("repl-diskless-sync-delay", 0)
        self.follow()

    def follow(self) -> None:
        """Make the replica follow the primary, and wait until it does."""
        with redis.Redis.from_url(self.replica.url) as client:
            client.replicaof(LOOPBACK, self._link.port)
        self.catch_up()

    def catch_up(self) -> None:
        """Wait until the replica has everything."""
        self._link.passes = True
        with redis.Redis.from_url(self.primary.url) as primary, redis.Redis.from_url(self.replica.url) as replica:

            def has_all() -> bool:
                there, wanted = replica.info("replication"), primary.info("replication")["master_repl_offset"]
                return bool(there["master_link_status"] == "up" and there["slave_repl_offset"] >= wanted)

            wait_for(has_all, 20, "the replica to catch up")

    def lag(self) -> None:
        """From now on the replica receives nothing."""
        self._link.passes = False

    def promote(self, *, cut: bool = True) -> None:
        """Make the replica the primary: the address leads to it, and connections to the old one are cut."""
        with redis.Redis.from_url(self.replica.url) as client:
            client.replicaof("NO", "ONE")
        self._link.passes = True
        self.primary, self.replica = self.replica, self.primary
        self._link, self._other_link = self._other_link, self._link
        self.address.target = self.primary.port
        if cut:
            self.address.cut()


@contextmanager
def replicated(first: RealValkey) -> Iterator[Pair]:
    """This server and a replica of the same program, which ends with the context."""
    second = RealValkey(first.program)
    try:
        second.start()
        with ExitStack() as stack:
            links = (stack.enter_context(proxied(first.port)), stack.enter_context(proxied(second.port)))
            yield Pair((first, second), links, stack.enter_context(proxied(first.port)))
        with redis.Redis.from_url(first.url) as client:
            client.replicaof("NO", "ONE")
    finally:
        second.discard()


@contextmanager
def two_servers(program: str | None) -> Iterator[Pair]:
    """A pair of new servers."""
    server = RealValkey(program)
    try:
        server.start()
        with replicated(server) as pair:
            yield pair
    finally:
        server.discard()
