"""Lua scripts. Each is one atomic step in Valkey; its file documents its effect, keys, arguments and result.

A script may stop at any command, for Valkey may refuse one, and undoes nothing: `commit.lua` says how it is nevertheless right.
All of them may run when Valkey is out of memory: what they free or finish must not wait for memory that new events can take.
"""

from importlib import resources

from redis import Redis
from redis.commands.core import Script

FLAGS = "#!lua flags=allow-oom\n"
"""The first line of every script."""


def text_of(*names: str) -> str:
    """The text of a script: of its files, each after those that it needs."""
    return FLAGS + "".join(resources.files(__name__).joinpath(f"{name}.lua").read_text() for name in names)


def load(client: Redis, *names: str) -> Script:
    """Load `<name>.lua` after the files that it needs. Valkey gets the text at the first call."""
    return client.register_script(text_of(*names))
