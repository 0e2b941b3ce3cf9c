"""Refused requests: the causes, how they are counted in Valkey, and what each means to an operator.

The ingress counts (`ingress/refusals.py`); `curbside status` and `/metrics` show.
"""

from enum import StrEnum
from typing import NamedTuple

NOBODY = "-"
"""The provider of a request without a known one, such as a request to a path that does not exist."""
RECENT_MINUTES = 10
"""`curbside status` explains the refusals of so many last minutes in a sentence."""


class Cause(StrEnum):
    """Why a request was refused. The value is stored: never change one."""

    TOKEN_MISSING = "token_missing"  # noqa: S105 - the name of a cause, as those below
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105
    """No bearer token, or one that we cannot have issued."""
    TOKEN_WRONG = "token_wrong"  # noqa: S105
    """Not signed by a key in use."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_CLIENT = "token_client"  # noqa: S105
    """Issued to a client that is not, or no longer, this provider's."""
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_WRONG = "signature_wrong"
    TIMESTAMP_MISSING = "timestamp_missing"
    TIMESTAMP_MALFORMED = "timestamp_malformed"
    TIMESTAMP_OUT_OF_TOLERANCE = "timestamp_out_of_tolerance"
    LOGIN_MISSING = "login_missing"
    LOGIN_WRONG = "login_wrong"
    """HTTP Basic with another user or password, or malformed."""

    CLIENT = "client"
    """Client id or client secret are missing or wrong, at the token endpoint."""
    FORM = "form"
    """The token request is malformed."""
    LIMITED = "limited"
    """Client id or client secret are wrong, and have been too often."""

    NOT_FOUND = "not_found"
    """No such path."""
    METHOD = "method"
    """The path does not accept this method."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    CODING = "coding"
    """The Content-Encoding is none that we read."""
    TOO_SLOW = "too_slow"
    """The body did not arrive in time."""

    OVERLOADED = "overloaded"
    """More requests or connections than memory and file descriptors are reserved for."""
    STOPPING = "stopping"
    """The ingress stops, and the body had not arrived yet."""
    MALFORMED = "malformed"
    """Not HTTP/1.1, or the framing of a body is larger than the body."""
    HEAD_TOO_LARGE = "head_too_large"
    """Request line and headers are too large."""

    BACKLOG = "backlog"
    """More events wait than `INBOX_MAX_BACKLOG`."""
    MEMORY = "memory"
    """Valkey's memory is full, or nearly so."""
    UNREACHABLE = "unreachable"
    """Valkey does not answer."""
    VALKEY_SLOW = "valkey_slow"
    """Valkey did not confirm in time, or cannot keep up."""
    VALKEY_REFUSED = "valkey_refused"
    """Valkey answered an append with an error that is none of the following."""
    READ_ONLY = "read_only"
    """Valkey is a replica."""
    NOT_PERSISTING = "not_persisting"
    """Valkey cannot write to its disk (MISCONF)."""
    REPLICAS = "replicas"
    """Fewer replicas are connected than `min-replicas-to-write`."""
    PERMISSION = "permission"
    """The user of `REDIS_URL` is unknown, or may not append."""
    LOADING = "loading"
    """Valkey has started and is reading its data."""

    BUG = "bug"


class Refused(NamedTuple):
    """What is counted separately. `provider` is a known one or `NOBODY`: a request cannot create new counters."""

    provider: str
    status: int
    cause: str

    @property
    def field(self) -> str:
        """Its field in the hashes in Valkey."""
        return f"{self.provider}|{self.status}|{self.cause}"

    @classmethod
    def read(cls, field: str) -> "Refused":
        """The inverse of `field`. A newer release may have written a cause that this one does not know."""
        provider, status, cause = field.rsplit("|", 2)
        return cls(provider, int(status), cause)


_EXPLANATIONS = {
    Cause.TOKEN_MISSING: ("a missing token", "was a provider set up wrongly, or is somebody guessing?"),
    Cause.TOKEN_MALFORMED: ("a malformed token", "is somebody guessing?"),
    Cause.TOKEN_WRONG: ("a token of another signing key", "was TOKEN_SIGNING_KEYS changed without overlap?"),
    Cause.TOKEN_EXPIRED: ("an expired token", "does its clock differ, or does it not fetch new ones?"),
    Cause.TOKEN_CLIENT: ("a token of another client", "was its client id changed, or a wrong URL given?"),
    Cause.SIGNATURE_MISSING: ("a missing signature", "was a provider set up wrongly, or is somebody guessing?"),
    Cause.SIGNATURE_MALFORMED: ("a malformed signature", "does its contract name the right scheme?"),
    Cause.SIGNATURE_WRONG: ("a wrong signature", "was its secret rotated?"),
    Cause.TIMESTAMP_MISSING: ("a missing signed time", "does its contract name the right scheme?"),
    Cause.TIMESTAMP_MALFORMED: ("a malformed signed time", "does its contract name the right scheme?"),
    Cause.TIMESTAMP_OUT_OF_TOLERANCE: (
        "a signed time that is too old or too new",
        "is a clock wrong, or is somebody replaying?",
    ),
    Cause.LOGIN_MISSING: ("a missing user and password", "was a provider set up wrongly, or is somebody guessing?"),
    Cause.LOGIN_WRONG: ("a wrong user or password", "was its password changed?"),
    Cause.CLIENT: ("a wrong client id or client secret", "was its secret rotated?"),
    Cause.FORM: ("a malformed token request", "does it post a form with grant_type=client_credentials?"),
    Cause.LIMITED: ("too many wrong client secrets", "was its secret rotated, or is somebody guessing?"),
    Cause.NOT_FOUND: ("an address that does not exist", "was a provider given a wrong URL?"),
    Cause.METHOD: ("a method other than POST", "was a provider set up wrongly?"),
    Cause.EMPTY: ("an empty body", "was a provider set up wrongly?"),
    Cause.TOO_LARGE: ("too large a body", "is MAX_BODY_BYTES too small?"),
    Cause.CODING: ("an unknown Content-Encoding", "does the provider, or a proxy, compress bodies in another way?"),
    Cause.TOO_SLOW: ("a body that did not arrive in time", "is the network in trouble?"),
    Cause.OVERLOADED: (
        "too many connections, or unfinished bodies, at once",
        "is somebody attacking, or MAX_CONNECTIONS too small?",
    ),
    Cause.STOPPING: ("an ingress that stops", "nothing to do: they are sent again"),
    Cause.MALFORMED: ("a malformed request", "is somebody guessing, or something other than HTTP sent here?"),
    Cause.HEAD_TOO_LARGE: ("too large a head", "is somebody attacking?"),
    Cause.BACKLOG: ("too many waiting events (INBOX_MAX_BACKLOG)", "do the workers run?"),
    Cause.MEMORY: ("too little memory of Valkey", "do the workers run, and is its maxmemory too small?"),
    Cause.UNREACHABLE: ("Valkey being unreachable", "does it run?"),
    Cause.VALKEY_SLOW: ("Valkey being too slow", "is its disk slow, or its machine busy?"),
    Cause.VALKEY_REFUSED: ("Valkey refusing to write", "what does its log say?"),
    Cause.READ_ONLY: ("Valkey being a read-only replica", "is a failover under way, and does REDIS_URL lead to the primary?"),
    Cause.NOT_PERSISTING: ("Valkey not writing to its disk", "is the disk full? its log says more"),
    Cause.REPLICAS: ("too few replicas of Valkey (min-replicas-to-write)", "are they connected, and do they keep up?"),
    Cause.PERMISSION: ("a missing right or a wrong password at Valkey", "was the user of REDIS_URL changed?"),
    Cause.LOADING: ("Valkey still loading its data", "nothing to do: it takes seconds"),
    Cause.BUG: ("an error of ours", "see the log of the ingress, and please report it"),
}


def explain(cause: str) -> tuple[str, str]:
    """The cause as a phrase after "because of", and what to check. For an unknown cause, its name."""
    return _EXPLANATIONS.get(Cause(cause), (cause, "")) if cause in _VALUES else (cause, "")


_VALUES = frozenset(Cause)
