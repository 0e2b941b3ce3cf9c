"""Listens to all that clients tell a Valkey while a test runs: what is in a Celery message is on the wire."""

import base64
import re
import threading
from types import TracebackType
from typing import Any, Self

import redis

_END = "curbside wiretap ends"
_BODY = re.compile(r'\\*"body\\*": \\*"([A-Za-z0-9+/=]*)')


class Wiretap:
    """A MONITOR on one database, in a thread, from entering to leaving."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=None)
        self._control = redis.Redis.from_url(url)
        self._database = self._client.connection_pool.connection_kwargs.get("db", 0)
        self._thread = threading.Thread(target=self._listen, name="wiretap")
        self._listening = threading.Event()
        self._heard: list[str] = []

    def __enter__(self) -> Self:
        self._control.ping()  # connected before we listen
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
        """All that clients said, in order, as MONITOR writes it; not what scripts do by themselves."""
        return list(self._heard)

    @property
    def message_bodies(self) -> list[str]:
        """What Celery messages among them hold: arguments and keyword arguments, decoded."""
        return [base64.b64decode(body).decode() for command in self._heard for body in _BODY.findall(command)]

    def _listen(self) -> None:
        client: Any = self._client
        with client.monitor() as monitor:
            self._listening.set()
            for command in monitor.listen():
                if self._keep(command):
                    return

    def _keep(self, command: dict[str, Any]) -> bool:
        """Whether this was the last."""
        if _END in str(command["command"]):
            return True
        if int(command["db"]) == self._database and command["client_type"] != "lua":
            self._heard.append(str(command["command"]))
        return False
