"""Lua scripts. Each is one atomic step in Valkey; its file documents its effect, keys, arguments and result."""

from importlib import resources

from redis import Redis
from redis.commands.core import Script


def load(client: Redis, *names: str) -> Script:
    """Load `<name>.lua` after the files that it needs. Valkey gets the text at the first call."""
    return client.register_script("".join(resources.files(__name__).joinpath(f"{name}.lua").read_text() for name in names))
