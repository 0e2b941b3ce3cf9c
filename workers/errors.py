"""Every exception of the workers.

The type decides what a failed attempt means. `DependencyUnavailableError`: the batch waits, and no event fails.
`PermanentError`, `schemas.failures.DecodeError` and anything else that a handler raises: the event fails.
"""

from typing import Any

import redis


class DependencyUnavailableError(Exception):
    """The database, Valkey or a service that a handler needs does not answer in time. The batch waits and is retried.

    A handler that calls an outside service raises it when that service does not answer. `str()` names the dependency.
    """


class HeldUpError(DependencyUnavailableError):
    """Another transaction holds for long what this batch needs, such as the row of one order. The others can be applied."""


class StatementRefusedError(DependencyUnavailableError):
    """The database refuses a statement for a cause that rarely lies in an event: a right, a table or a column is missing."""


class UnsuitableDatabaseError(DependencyUnavailableError):
    """The database can never be the ledger as it is. `str()` says why."""


class ValkeyRefusesError(redis.ResponseError):
    """Valkey refuses a command, whatever the command is about, until someone repairs Valkey. `code` says why, such as `MISCONF`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class ScriptStoppedError(DependencyUnavailableError):
    """Valkey refused a command of a script, as when a right was taken from its user. What the script had begun is finished later.

    `str()` names Valkey, the script and the command.
    """


class PermanentError(Exception):
    """A handler refuses this event, now and at every later attempt. Operators are shown `str()`."""


class KilledWorkerError(PermanentError):
    """This event, tried alone, ended the process that tried it, again and again. Operators are shown `str()`."""


class HandlerTimeoutError(Exception):
    """A batch took longer than its handler's `timeout`. The process that ran it was ended."""


class ReportedError(Exception):
    """What an event raised in an isolated process. `description` is what `error_report.describe` said of it there."""

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__(description["message"])
        self.description = description


class ReportedPermanentError(ReportedError, PermanentError):
    """One that no retry will help."""


class HandlerError(Exception):
    """A handler module cannot be used. `str()` names the module and the cause."""


class EventFailedError(Exception):
    """What Celery is given for a failed event: the reason and where to read more, with the error's frames but not its text.

    A handler's error may quote personal data. The record has all of it: `curbside failed show --unmask`.
    """


class FailureNotFoundError(Exception):
    """There is no such failure, or it is not in the expected state. `str()` names the failure."""


class DeliveryError(Exception):
    """The channel did not accept the alert; a later attempt may succeed. `str()` gives the cause, without any URL."""


class UnknownChannelError(Exception):
    """The alert's channel was configured when the alert was written, and is no longer."""
