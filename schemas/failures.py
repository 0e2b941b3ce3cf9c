"""Failures: the closed set of reasons, and the record that keeps a failed event until it is applied or discarded.

Releases run side by side, and one may be rolled back. So a record of a newer release is read, shown, retried and written back
without loss: an unknown reason or state keeps its name, and what this release does not know of a record stays in it.
"""

from enum import StrEnum
from typing import Any, Self

import msgspec

from schemas.request_context import NO_CONTEXT, RequestContext


class _OpenEnum(StrEnum):
    """Texts of a closed set, and those that a newer release has added: such a text is a member that iteration leaves out."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member


class Reason(_OpenEnum):
    """Why an event could not be handled. Operators group and retry by it; the value is stored: never change one."""

    MALFORMED = "malformed"
    """The body is not JSON in UTF-8."""
    COMPRESSION = "compression"
    """The body is compressed, and its data are damaged or grow too large."""
    WRONG_TYPE = "wrong_type"
    """A field that an effect depends on has another type or form than the provider documents."""
    NO_EVENT = "no_event"
    """The body does not name its event."""
    NO_ORDER = "no_order"
    """The body does not name its order."""
    UNKNOWN_PROVIDER = "unknown_provider"
    """The inbox entry names a provider that this release does not know."""
    BODY_MISSING = "body_missing"
    """The event is to be handled, but its body is no longer in the inbox."""
    REJECTED = "rejected"
    """A handler refused the event on purpose."""
    HANDLER_ERROR = "handler_error"
    """A handler raised an unexpected error: this event met a bug."""
    LEDGER_REFUSED = "ledger_refused"
    """The database refused the rows of this event."""
    UNREADABLE_RECORD = "unreadable_record"
    """Shown for a record of another release that this one cannot read at all. No record has it."""
    KILLED_WORKER = "killed_worker"
    """The event, tried alone, ended the process that tried it, each time."""


class DecodeError(Exception):
    """The body cannot be decoded. `str()` names the place in the document, what was expected and what was found.

    It never quotes a value from the body: values may be personal data.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FailureState(_OpenEnum):
    """The state of a failure. The value is stored: never change one."""

    RETRYING = "retrying"
    """It is retried automatically at `next_at_ms`."""
    DEAD = "dead"
    """It waits for an operator, who retries or discards it."""
    DISCARDED = "discarded"
    """An operator decided that it is not applied; the note states why."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event that a handler or the dispatcher could not handle, with its raw body, so that it outlives the inbox.

    `handler` is the handler's name, or `dispatch` for a body that could not be decoded. Times are epoch milliseconds. `task_id`
    is the Celery task that Flower shows it as; a manual retry is a new task, an automatic one keeps its task. `message` and
    `traceback` may quote the body, `frames` is the traceback without any error's text. `away` counts consecutive attempts that
    met a dependency outage; they are no `attempts`. `request` is the request context. The wire only grows: a new field needs a
    default.
    """

    event_id: str
    handler: str
    provider: str
    reason: Reason
    message: str
    body: bytes
    order_ids: tuple[str, ...] = ()
    kind: str | None = None
    identity: str | None = None
    traceback: str | None = None
    attempts: int = 1
    first_at_ms: int = 0
    last_at_ms: int = 0
    state: FailureState = FailureState.DEAD
    next_at_ms: int = 0
    task_id: str = ""
    note: str = ""
    frames: str | None = None
    away: int = 0
    request: RequestContext = NO_CONTEXT

    @property
    def field(self) -> str:
        """Its field in the hash of failures."""
        return f"{self.handler}:{self.event_id}"


encode_failure = msgspec.msgpack.Encoder().encode
decode_failure = msgspec.msgpack.Decoder(Failure).decode


def read_failure(field: str, record: bytes) -> Failure:
    """Decode the record in a field of the hash. One that cannot be read is described instead: it must not hide the others."""
    try:
        return decode_failure(record)
    except msgspec.DecodeError as error:
        handler, _, event_id = field.rpartition(":")
        message = f"this release cannot read the record: {error}"
        return Failure(
            event_id=event_id, handler=handler, provider="", reason=Reason.UNREADABLE_RECORD, message=message, body=b""
        )


def encode_changed(record: bytes, before: Failure, after: Failure) -> bytes:
    """The record that `before` was decoded from, with the fields in which `after` differs. All else stays as it is.

    Raises `msgspec.DecodeError` if the record cannot be read.
    """
    fields: dict[str, Any] = msgspec.msgpack.decode(record)
    changed: dict[str, Any] = msgspec.msgpack.decode(encode_failure(after))
    for name in Failure.__struct_fields__:
        if getattr(before, name) != getattr(after, name):
            fields.pop(name, None)
            if name in changed:
                fields[name] = changed[name]
    return msgspec.msgpack.encode(fields)
