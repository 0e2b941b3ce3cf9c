"""The program of an isolated process (`workers.isolation`): it decodes or applies events, one request after the other.

What it commits is committed: the worker acknowledges it. It ends with the worker that started it.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from schemas.events import Event
from schemas.failures import DecodeError
from schemas.log_records import sanitize_logs
from schemas.request_context import decode_context
from schemas.settings import load
from workers.errors import DependencyUnavailableError, PermanentError
from workers.event_decoder import EventDecoder
from workers.failures.error_report import describe
from workers.handler import registered
from workers.isolation import Described, IsolatedEvent, Report, Request, read, write
from workers.ledger.faults import Fault, fault_of
from workers.ledger.ledger import Ledger, refused
from workers.valkey.connection import UNAVAILABLE

PARENT_LOOK_SECONDS = 0.5
_decode_request = msgspec.msgpack.Decoder(Request).decode


class Isolated:
    """Does requests, with the settings and handlers of the environment."""

    def __init__(self) -> None:
        settings = load(os.environ)
        self._handlers = {each.name: each for each in registered(settings.handler_modules)}
        self._decoder, self._ledger = EventDecoder.of(settings), Ledger(settings)

    def report(self, request: Request) -> Report:
        """Do a request. A handler's errors are reported; what ends the process is not."""
        if not request.handler:
            for each in request.events:
                with suppress(Exception):  # the worker meets it again
                    self._decoded(each)
            return Report()
        try:
            return self._applied(request.handler, [self._decoded(each) for each in request.events])
        except DependencyUnavailableError as error:
            return Report(unavailable=str(error))
        except UNAVAILABLE:
            return Report(unavailable="Valkey")
        except Exception as error:  # a handler may raise anything
            if fault_of(error) is Fault.IN_DOUBT:  # nothing is there to compare it with
                return Report(unavailable=str(refused(error)))
            return Report(error=described(error))

    def _applied(self, handler: str, events: Sequence[Event]) -> Report:
        applied = self._ledger.apply(self._handlers[handler], events)
        failed = [(event.event_id, described(error)) for event, error in applied.failed]
        return Report(failed=failed, alerts=bool(applied.alerts))

    def _decoded(self, event: IsolatedEvent) -> Event:
        return self._decoder.decode(event.provider, event.body, event.event_id, decode_context(event.request))


def described(error: Exception) -> Described:
    """An error as it is reported."""
    return Described(isinstance(error, PermanentError | DecodeError), describe(error))


def main() -> int:
    """Answer requests until the worker closes the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the worker finishes its batch, then ends this process
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, this process ends and not the worker
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    requests, reports = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a handler prints goes to the log
    sanitize_logs()
    isolated = Isolated()
    write(reports, Report())
    while (data := read(requests)) is not None:
        write(reports, isolated.report(_decode_request(data)))
    return 0


def _end_with(parent: int) -> None:
    """End this process when its worker has ended, whatever it is doing: the worker's successor does it again."""
    while os.getppid() == parent:
        time.sleep(PARENT_LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
