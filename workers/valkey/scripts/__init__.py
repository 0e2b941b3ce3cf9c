"""Lua scripts, each one atomic step in Valkey: the file says what it does, its keys and arguments, and what it returns."""

from importlib import resources

from redis import Redis
from redis.commands.core import Script


def load(client: Redis, *names: str) -> Script:
    """The script `<name>.lua`, after those that it needs, ready to be called; Valkey gets its text at the first call."""
    return client.register_script("".join(resources.files(__name__).joinpath(f"{name}.lua").read_text() for name in names))
