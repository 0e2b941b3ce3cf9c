"""Lua scripts. Each is one atomic step in Valkey; its file documents its effect, keys, arguments and result.

A script may stop at any command, for Valkey may refuse one, and undoes nothing: `commit.lua` says how it is nevertheless right.
All of them may run when Valkey is out of memory: what they free or finish must not wait for memory that new events can take.
"""

import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis import Redis, ResponseError
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from workers.errors import ScriptStoppedError

FLAGS = "#!lua flags=allow-oom\n"
"""The first line of every script."""
READER_FLAGS = "#!lua flags=no-writes,allow-oom\n"
"""The first line of scripts that status needs of a Valkey that takes no writes."""
_READERS = {"count_entries"}
_STOPPED = re.compile(r"(?P<cause>.*?) script: (?:\w+, )?on @user_script:(?P<line>\d+)")
_COMMAND = re.compile(r"(?:call\(|\{)'([A-Z]+)'(?:, '([A-Z]+)')?")


class LuaScript:
    """A script on a server, which gets its text at the first call."""

    def __init__(self, client: Redis, *names: str) -> None:
        self._name, self._text = names[-1], text_of(*names)
        self._script = client.register_script(self._text)

    def __call__(self, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Run it. Raises `ScriptStoppedError` if Valkey refused one of its commands, or the errors of Valkey."""
        try:
            return self._script(keys, args)
        except (OutOfMemoryError, ReadOnlyError):
            raise
        except ResponseError as error:
            if (stopped := _STOPPED.match(str(error))) is None:
                raise
            line = self._text.splitlines()[int(stopped["line"]) - 1]
            commands = " or ".join(_commands(line)) or "a command"
            raise ScriptStoppedError(f"Valkey ({self._name}.lua: {commands} is refused: {stopped['cause']})") from error


def text_of(*names: str) -> str:
    """The text of a script: of its files, each after those that it needs."""
    flags = READER_FLAGS if names[-1] in _READERS else FLAGS
    return flags + "".join(resources.files(__name__).joinpath(f"{name}.lua").read_text() for name in names)


def load(client: Redis, *names: str) -> LuaScript:
    """The script `<name>.lua`, the last of these, after the files that it needs."""
    return LuaScript(client, *names)


def commands_used() -> set[str]:
    """Every command that a script may run, such as `HSET` and `XINFO STREAM`."""
    files = (each for each in resources.files(__name__).iterdir() if each.name.endswith(".lua"))
    return {command for file in files for command in _commands(file.read_text())}


def _commands(text: str) -> list[str]:
    return [" ".join(filter(None, found)) for found in _COMMAND.findall(text)]
