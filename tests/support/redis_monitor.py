"""Records every command that clients send to a Valkey, Celery messages included."""

import base64
import re
import threading
from types import TracebackType
from typing import Any, Self

import redis

_END = "curbside monitor ends"
_BODY = re.compile(r'\\*"body\\*": \\*"([A-Za-z0-9+/=]*)')


class RedisMonitor:
    """MONITOR on one database, in a thread, while the context is open."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=None)
        self._control = redis.Redis.from_url(url)
        self._database = self._client.connection_pool.connection_kwargs.get("db", 0)
        self._thread = threading.Thread(target=self._listen, name="monitor")
        self._listening = threading.Event()
        self._commands: list[str] = []

    def __enter__(self) -> Self:
        self._control.ping()  # connects before MONITOR starts
        self._thread.start()
        assert self._listening.wait(10), "MONITOR did not answer"
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._control.echo(_END)
        self._thread.join(10)
        self._control.close()
        self._client.close()

    @property
    def commands(self) -> list[str]:
        """All commands of clients, in order, as MONITOR prints them. Commands of Lua scripts are left out."""
        return list(self._commands)

    @property
    def message_bodies(self) -> list[str]:
        """The decoded bodies of the Celery messages among them: arguments and keyword arguments."""
        return [base64.b64decode(body).decode() for command in self._commands for body in _BODY.findall(command)]

    def _listen(self) -> None:
        client: Any = self._client
        with client.monitor() as monitor:
            self._listening.set()
            for command in monitor.listen():
                if self._keep(command):
                    return

    def _keep(self, command: dict[str, Any]) -> bool:
        """Record the command; True if it is the last one."""
        if _END in str(command["command"]):
            return True
        if int(command["db"]) == self._database and command["client_type"] != "lua":
            self._commands.append(str(command["command"]))
        return False
