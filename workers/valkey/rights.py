"""What the workers' user in Valkey must be allowed to do, and whether it is.

Each command is tried on a scratch key that holds a text for a minute. Valkey checks the rights first; then most of the commands
fail, since the key is of another type, and the others change nothing else. An outage says nothing about rights.

A right that is taken away later is an outage: `workers.errors.ScriptStoppedError`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from redis import Redis, RedisError
from redis.exceptions import NoPermissionError

from schemas import keys

SCRATCH = f"{keys.TAG}:rights"
_LIFETIME_MS = 60_000
_GROUP = (SCRATCH, keys.GROUP, "rights")
_TRIED: dict[str, Sequence[str | int]] = {
    "DEL": (f"{SCRATCH}:none",),
    "EVALSHA": ("0" * 40, 0),
    "EXISTS": (SCRATCH,),
    "EXPIRE": (SCRATCH, 60),
    "GET": (SCRATCH,),
    "HDEL": (SCRATCH, "field"),
    "HEXISTS": (SCRATCH, "field"),
    "HGET": (SCRATCH, "field"),
    "HGETALL": (SCRATCH,),
    "HINCRBY": (SCRATCH, "field", 1),
    "HLEN": (SCRATCH,),
    "HMGET": (SCRATCH, "field"),
    "HSCAN": (SCRATCH, 0),
    "HSET": (SCRATCH, "field", "value"),
    "HSETNX": (SCRATCH, "field", "value"),
    "INCR": (SCRATCH,),
    "INFO": ("memory",),
    "PEXPIRE": (SCRATCH, _LIFETIME_MS),
    "PEXPIREAT": (SCRATCH, 1 << 45, "LT"),
    "PTTL": (SCRATCH,),
    "SCRIPT LOAD": ("return 1",),
    "SET": (SCRATCH, 1, "PX", _LIFETIME_MS),
    "TIME": (),
    "UNLINK": (f"{SCRATCH}:none",),
    "XACK": (SCRATCH, keys.GROUP, "1-0"),
    "XADD": (SCRATCH, "*", "field", "value"),
    "XCLAIM": (*_GROUP, 0, "1-0"),
    "XDEL": (SCRATCH, "1-0"),
    "XGROUP CREATE": (SCRATCH, keys.GROUP, "0"),
    "XGROUP DELCONSUMER": _GROUP,
    "XINFO CONSUMERS": (SCRATCH, keys.GROUP),
    "XINFO GROUPS": (SCRATCH,),
    "XINFO STREAM": (SCRATCH,),
    "XPENDING": (SCRATCH, keys.GROUP),
    "XRANGE": (SCRATCH, "-", "+"),
    "XREVRANGE": (SCRATCH, "+", "-"),
    "XREADGROUP": ("GROUP", keys.GROUP, "rights", "STREAMS", SCRATCH, ">"),
    "XTRIM": (SCRATCH, "MAXLEN", 0),
    "ZADD": (SCRATCH, 1, "member"),
    "ZCARD": (SCRATCH,),
    "ZMSCORE": (SCRATCH, "member"),
    "ZRANGE": (SCRATCH, 0, 0),
    "ZRANGEBYSCORE": (SCRATCH, 0, 0),
    "ZREM": (SCRATCH, "member"),
    "ZSCORE": (SCRATCH, "member"),
    "MULTI": (),
    "EXEC": (),
}
"""Every command that the workers use, with arguments that are harmless on the scratch key. The last two belong together."""


class MissingRightsError(Exception):
    """The user may not do what the workers do. `str()` is one sentence that says which rights to grant."""


COMMANDS = tuple(_TRIED)
"""Every command that the user must be allowed to run."""


def check_rights(client: Redis) -> None:
    """Raises `MissingRightsError` if the client's user lacks a right. Does nothing if Valkey does not answer."""
    try:  # without SET, the others would create the key
        refused = _refused(client, ["SET"]) or _refused(client, _TRIED)
    except RedisError:
        return
    if refused:
        user = client.get_connection_kwargs().get("username") or "default"
        names = ", ".join(sorted(name for name, _ in refused))
        rights = " ".join(sorted({_right(name, why) for name, why in refused}))
        raise MissingRightsError(
            f"Valkey's user {user!r} may not run {names} on the keys {keys.TAG}:*, as the workers must: ACL SETUSER {user} {rights}"
        )


def _refused(client: Redis, names: Iterable[str]) -> list[tuple[str, str]]:
    """Those of the commands that the user may not run, each with what Valkey says."""
    tried = list(names)
    pipeline: Any = client.pipeline(transaction=False)
    for name in tried:
        command, *sub = name.split()
        pipeline.execute_command(command.encode(), *sub, *_TRIED[name])
    replies = pipeline.execute(raise_on_error=False)
    answers = zip(tried, map(_text, replies), strict=True)
    return [(name, text) for name, text in answers if "NOPERM" in text]


def _text(reply: Any) -> str:
    """An error's text with its code, which redis-py removes."""
    return f"NOPERM {reply}" if isinstance(reply, NoPermissionError) else str(reply)


def _right(name: str, why: str) -> str:
    """What to grant, as ACL SETUSER takes it."""
    right = name.lower().replace(" ", "|")
    return f"+{right}" if f"'{right}'" in why else f"~{keys.TAG}:*"
