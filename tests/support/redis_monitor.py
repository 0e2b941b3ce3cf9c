"""Records every command that clients send to a Valkey, Celery messages included."""

import base64
import re
import threading
import uuid
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
        self._markers: dict[str, threading.Event] = {}

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
        """All commands of clients that Valkey had run, in order, as MONITOR prints them; those of Lua scripts are left out.

        Waits until the thread has read as far as Valkey has run: a client may have its answer before the thread has the command.
        """
        if self._thread.is_alive():
            marker = f"curbside monitor reads to {uuid.uuid4()}"
            self._markers[marker] = threading.Event()
            self._control.echo(marker)
            assert self._markers[marker].wait(10), "MONITOR did not show a command that was run"
        return list(self._commands)

    @property
    def message_bodies(self) -> list[str]:
        """The decoded bodies of the Celery messages among them: arguments and keyword arguments."""
        return [base64.b64decode(body).decode() for command in self.commands for body in _BODY.findall(command)]

    def _listen(self) -> None:
        client: Any = self._client
        with client.monitor() as monitor:
            self._listening.set()
            for command in monitor.listen():
                if self._keep(command):
                    return

    def _keep(self, command: dict[str, Any]) -> bool:
        """Record the command; True if it is the last one."""
        text = str(command["command"])
        if _END in text:
            return True
        for marker, seen in self._markers.items():
            if marker in text:
                seen.set()
                return False
        if int(command["db"]) == self._database and command["client_type"] != "lua":
            self._commands.append(text)
        return False
