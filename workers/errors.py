"""Whose fault it is. The event's: `Undecodable`, `Reject` and whatever a handler's bug raises. The world's: `Unreachable`."""


class Unreachable(Exception):  # noqa: N818 - reads as what it says
    """The database, Valkey or a service a handler needs is away or too slow. No event is blamed: the batch waits.

    A handler that calls an outside service raises it when that service does not answer. `str()` names what is unreachable.
    """
