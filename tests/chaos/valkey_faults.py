"""Faults of Valkey, which holds the inbox and the broker."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.kinds import Turn, fault
from tests.chaos.servers import USER
from tests.chaos.site import Site

_REFUSED_COMMANDS = ("xack", "xadd", "xdel", "hincrby", "hset", "zadd", "pexpireat", "evalsha", "xautoclaim", "xreadgroup")
_HEADROOM_BYTES = 64 * 1024


@fault("valkey-killed", "SIGKILL to Valkey, started again after a while", "valkey", 0.5, 4)
def kill(site: Site, turn: Turn) -> None:
    """Kill Valkey."""
    site.valkey.server.kill()
    try:
        site.wait(turn.seconds)
    finally:
        site.valkey.server.start()


def _freeze(site: Site, turn: Turn) -> None:
    site.valkey.server.freeze()
    try:
        site.wait(turn.seconds)
    finally:
        site.valkey.server.resume()


fault("valkey-frozen", "SIGSTOP to Valkey, for about 2 s", "valkey", 1.5, 3)(_freeze)
fault("valkey-frozen-long", "the same for 15 to 20 s", "valkey", 15, 20)(_freeze)


@fault("valkey-full", "maxmemory just above what is used", "valkey", 3, 6)
def fill(site: Site, turn: Turn) -> None:
    """Leave no room."""
    used = int(site.valkey.admin.info("memory")["used_memory"])
    with _configured(site, "maxmemory", used + _HEADROOM_BYTES):
        site.wait(turn.seconds)


@fault("valkey-misconf", "a snapshot failed: every write is refused with MISCONF", "valkey", 3, 6)
def refuse_writes(site: Site, turn: Turn) -> None:
    """Make a snapshot fail: its file is a folder."""
    admin, place = site.valkey.admin, site.valkey.server.folder / "dump.rdb"
    place.unlink(missing_ok=True)
    place.mkdir()
    try:
        admin.config_set("save", "3600 1")
        admin.bgsave()
        site.wait(turn.seconds)
    finally:
        admin.config_set("save", "")
        place.rmdir()


@fault("valkey-noreplicas", "min-replicas-to-write 1 without a replica: every write is refused with NOREPLICAS", "valkey", 2, 5)
def lose_replicas(site: Site, turn: Turn) -> None:
    """Demand a replica that there is not."""
    with _configured(site, "min-replicas-to-write", 1):
        site.wait(turn.seconds)


@fault(
    "valkey-readonly", "a replica of nobody for a while, then promoted: every write is refused with READONLY", "valkey", 2, 5
)
def demote(site: Site, turn: Turn) -> None:
    """Make it a replica whose primary does not answer."""
    admin = site.valkey.admin
    admin.replicaof("127.0.0.1", "1")
    try:
        site.wait(turn.seconds)
    finally:
        admin.replicaof("NO", "ONE")


@fault("valkey-connections-cut", "CLIENT KILL of every connection, three times", "valkey")
def cut_connections(site: Site, turn: Turn) -> None:
    """Close all connections to it."""
    for _ in range(3):
        for kind in ("normal", "pubsub"):
            site.valkey.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        site.wait(turn.chance.uniform(0.1, 1.0))


@fault("valkey-aof-rewritten", "BGREWRITEAOF", "valkey", 1, 2)
def rewrite(site: Site, turn: Turn) -> None:
    """Rewrite the append-only file under load."""
    site.valkey.admin.bgrewriteaof()
    site.wait(turn.seconds)


@fault("valkey-rewritten-killed", "BGREWRITEAOF, then SIGKILL: the server reads the rewritten file", "valkey", 1, 3)
def rewrite_and_kill(site: Site, turn: Turn) -> None:
    """Restart from a rewritten file."""
    rewrite(site, turn)
    kill(site, turn)


@fault("valkey-scripts-flushed", "SCRIPT FLUSH, five times", "valkey")
def flush_scripts(site: Site, turn: Turn) -> None:
    """Forget the scripts."""
    for _ in range(5):
        site.valkey.admin.script_flush()
        site.wait(turn.chance.uniform(0.05, 0.5))


@fault("broker-flushed", "FLUSHDB of the broker's database: every Celery message is gone", "valkey")
def flush_broker(site: Site, turn: Turn) -> None:
    """Delete all Celery messages, queues and bindings."""
    for _ in range(2):
        site.valkey.broker.flushdb()
        site.wait(turn.chance.uniform(0.1, 1.0))


@fault("valkey-right-revoked", "an ACL takes one command away for a while, also within scripts (NOPERM)", "valkey", 2, 5)
def revoke_right(site: Site, turn: Turn) -> None:
    """Take one command away."""
    command = turn.chance.choice(_REFUSED_COMMANDS)
    site.valkey.command("ACL", "SETUSER", USER, f"-{command}")
    try:
        site.wait(turn.seconds)
    finally:
        site.valkey.command("ACL", "SETUSER", USER, f"+{command}")


@fault("valkey-writes-paused", "CLIENT PAUSE … WRITE: writes wait, reads are answered", "valkey", 2, 5)
def pause(site: Site, turn: Turn) -> None:
    """Let writes wait."""
    site.valkey.command("CLIENT", "PAUSE", int(turn.seconds * 1000), "WRITE")
    try:
        site.wait(turn.seconds)
    finally:
        site.valkey.command("CLIENT", "UNPAUSE")


@contextmanager
def _configured(site: Site, name: str, value: int) -> Iterator[None]:
    """Set an option, and set it to 0 afterwards."""
    site.valkey.admin.config_set(name, value)
    try:
        yield
    finally:
        site.valkey.admin.config_set(name, 0)
