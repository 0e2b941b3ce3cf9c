"""Everything that a run starts, and what faults may touch of it."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.chaos import chaos_handlers
from tests.chaos.child import Child
from tests.chaos.findings import Finding, Wrong
from tests.chaos.members import LoggedProgram, Member, Supervisor
from tests.chaos.network import Mode
from tests.chaos.options import Options
from tests.chaos.servers import Postgresql, Valkey, make_sqlite
from tests.support.ingress_client import bearer
from tests.support.settings import LOOPBACK, free_port

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgY2hhb3MgYWxlcnRz"
SIDES = (1, 2)
_HANDLERS = Path(chaos_handlers.__file__)
_POST_SECONDS = 60.0


class Extra(NamedTuple):
    """An event that a fault posted, beside the load. `poisons`: the handler that it kills, or an empty text."""

    order_id: str
    event_id: str
    poisons: str


class Site:
    """The deployment under test. Use it as `with opened(options, folder) as site`."""

    def __init__(self, options: Options, folder: Path, stack: ExitStack) -> None:
        self.options, self.folder = options, folder
        self.stopped = threading.Event()
        self.problems, self.extras = list[Finding](), list[Extra]()
        self.previous_code = folder / "previous"
        self.switches, self.modules = folder / "switches", folder / "modules"
        for each in (self.switches, self.modules):
            each.mkdir()
        shutil.copy(_HANDLERS, self.modules)
        self.valkey = Valkey(options.server)
        stack.callback(lambda: self.valkey.close(keep=options.keep))
        self.postgresql = self._postgresql(stack)
        self.ledger_url = self.postgresql.url if self.postgresql else make_sqlite(folder / "ledger.db")
        self.network = Child("network", folder, servers=self._links())
        stack.callback(self.network.close)
        self.receiver = Child("receiver", folder, secret=SECRET, record=str(folder / "alerts"))
        stack.callback(self.receiver.close)
        self.members = [self._ingress(side) for side in SIDES]
        self.members += [self._worker(role, side) for role in ("urgent", "bulk") for side in SIDES]
        self._http = stack.enter_context(httpx.Client(timeout=5))
        self.supervisor = Supervisor(self.members)
        stack.callback(self.supervisor.close)
        self.supervisor.start()

    def of(self, role: str) -> list[Member]:
        """The members of a role: `ingress`, `urgent` or `bulk`."""
        return [member for member in self.members if member.role == role]

    def tell(self, wrong: Wrong, text: str) -> None:
        """Note that something is wrong, now."""
        self.problems.append(Finding(wrong, text, time.time()))

    def wait(self, seconds: float) -> None:
        """Let a fault last, unless the run is stopped."""
        self.stopped.wait(seconds)

    @contextmanager
    def link(self, server: str, sides: tuple[int, ...], mode: Mode, seconds: float = 0.0) -> Iterator[None]:
        """Change the network between the processes of these sides and a server."""
        links = [f"{server}-{side}" for side in sides]
        self.network.command("change", links=links, mode=mode, seconds=seconds)
        try:
            yield
        finally:
            self.network.command("change", links=links, mode=Mode.OPEN, seconds=0.0)

    @contextmanager
    def switch(self, name: str) -> Iterator[None]:
        """Have the chaos handlers behave otherwise."""
        (self.switches / name).touch()
        try:
            yield
        finally:
            (self.switches / name).unlink()

    def post(self, order_id: str, event: str, poisons: str = "") -> None:
        """Post one event of an order of its own until it is acknowledged."""
        body = b'{"event":"fulfillment.%b","order_id":"%b","timestamp":"%b"}' % (
            event.encode(),
            order_id.encode(),
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode(),
        )
        until = time.monotonic() + _POST_SECONDS
        for number in range(10**6):
            url = f"http://{LOOPBACK}:{self.of('ingress')[number % 2].port}/webhook"
            with suppress(httpx.TransportError):
                answer = self._http.post(url, content=body, headers=bearer())
                if answer.status_code == 200:
                    self.extras.append(Extra(order_id, str(answer.json()["id"]), poisons))
                    return
            if time.monotonic() > until:
                self.tell(Wrong.WAITS, f"the event of {order_id} was not acknowledged within {_POST_SECONDS:g} s")
                return
            time.sleep(0.2)

    def with_code_of(self, member: Member, code: Path) -> LoggedProgram:
        """The same process with the code of another folder."""
        return self._program(member.role, member.name, int(member.name[-1])).with_code_from(code)

    def _postgresql(self, stack: ExitStack) -> Postgresql | None:
        if self.options.database != "postgresql":
            return None
        postgresql = Postgresql()
        stack.callback(lambda: postgresql.close(keep=self.options.keep))
        return postgresql

    def _links(self) -> dict[str, int | str]:
        links: dict[str, int | str] = {f"valkey-{side}": self.valkey.server.port for side in SIDES}
        if self.postgresql:
            links |= {f"postgresql-{side}": self.postgresql.socket for side in SIDES}
        return links

    def _environment(self, side: int) -> dict[str, str]:
        ports: dict[str, int] = self.network.ready["ports"]
        ledger = self.postgresql.url_through(ports[f"postgresql-{side}"]) if self.postgresql else self.ledger_url
        return {
            "REDIS_URL": self.valkey.url(ports[f"valkey-{side}"]),
            "DATABASE_URL": ledger,
            "ALERT_WEBHOOK_URL": f"http://{LOOPBACK}:{self.receiver.ready['port']}/alerts",
            "ALERT_WEBHOOK_SECRET": SECRET,
            "HANDLER_MODULES": _HANDLERS.stem,
            "CHAOS_SWITCHES": str(self.switches),
            "CURBSIDE_DATA_DIR": str(self.folder / "data"),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(self.modules), os.environ.get("PYTHONPATH")))),
        }

    def _ingress(self, side: int) -> Member:
        name, port = f"ingress{side}", free_port()
        command = [sys.executable, "-m", "ingress", f"--host={LOOPBACK}", f"--port={port}"]
        program = LoggedProgram(command, self._environment(side), self.folder / f"{name}.log", "Application startup complete")
        return Member(name, "ingress", program, port)

    def _worker(self, role: str, side: int) -> Member:
        name = f"{role}{side}"
        return Member(name, role, self._program(role, name, side))

    def _program(self, role: str, name: str, side: int) -> LoggedProgram:
        command = [sys.executable, "-m", "workers", f"--role={role}", f"--name={name}@chaos"]
        return LoggedProgram(command, self._environment(side), self.folder / f"{name}.log", f"{name}@chaos ready.")


@contextmanager
def opened(options: Options, folder: Path) -> Iterator[Site]:
    """A running deployment. On exit every process ends, and the servers' data are deleted unless they are kept."""
    with ExitStack() as stack:
        yield Site(options, folder, stack)
