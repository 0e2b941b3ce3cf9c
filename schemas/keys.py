"""Every key in Valkey, named once. All share one hash tag, so that scripts and transactions over them work on a cluster.

| key                     | type   | what                                                        | ends                             |
|-------------------------|--------|-------------------------------------------------------------|----------------------------------|
| `inbox`                 | stream | raw bodies: `p` provider, `b` body; the id is the event id; | trimmed after `INBOX_RETENTION`  |
|                         |        | `r` a `schemas.request_context.RequestContext`, if any      |                                  |
| `todo:<handler>`        | stream | claim checks: `e` event ids, separated by spaces; with `p`, | an entry goes when it is handled |
|                         |        | `b` and `r` of the one event whose body the inbox may lack; |                                  |
|                         |        | `n` the number of the commit that added it                  |                                  |
| `seen:<number>`         | hash   | identities to the event id that had each first, of half a   | when the window is over          |
|                         |        | `DEDUPE_WINDOW` by Valkey's time; `#<event id>` of events   |                                  |
|                         |        | that were not routed                                        |                                  |
| `seen-buckets`          | zset   | the `seen:…` keys by the epoch ms of their end              | a week after the window          |
| `taken-over`            | string | how often entries of the inbox changed hands                | never                            |
| `counters`              | hash   | outcomes, exact: see `Counter`; `commits`, their number     | never                            |
| `unfinished`            | string | what a script that stopped has still to do: `commit.lua`    | when the next script has done it |
| `unrecognised`          | hash   | event names that are not known, with their counts           | never                            |
| `failures`              | hash   | `<handler>:<event id>` to a `schemas.failures.Failure`      | when dealt with                  |
| `retries`               | zset   | fields of `failures` by the epoch ms at which to try again  | when tried                       |
| `in-flight`             | zset   | failures being retried, by the epoch ms their lease ends    | when the try ends                |
| `tried-alone`           | hash   | fields of `failures` to how often the event was tried alone | when an attempt ends, however    |
|                         |        | and the attempt did not end: its worker did                 |                                  |
| `drift`                 | hash   | findings: a `schemas.drift.Finding` each, as first seen     | `curbside drift --forget`        |
| `drift-counts`          | hash   | the same fields: how often each was seen                    | likewise                         |
| `drift-fields`          | hash   | which fields came with how many bodies of an event          | likewise                         |
| `epoch`                 | string | a random name of this history of the inbox, set once        | never                            |
| `losses`                | string | "<losses> <events>": lost and not confirmed, for /metrics   | in a minute                      |
| `unreachable`           | hash   | what a queue's work cannot reach                            | when it can, or in minutes       |
| `unreachable-since`     | hash   | since when, in epoch ms                                     | likewise                         |
| `unreachable-noted`     | hash   | when a worker last said so, in epoch ms                     | likewise                         |
| `refused`               | hash   | refused requests, each `schemas.refusals.Refused` its count | never                            |
| `refused-last`          | hash   | the same fields: epoch ms of the last one                   | never                            |
| `refused:<minute>`      | hash   | the same fields: how many in this minute since the epoch    | after `REFUSED_SECONDS`          |
| `limit:…`               | string | failed attempts at the token endpoint (package limits)      | in a minute                      |
| `outbox-due`            | zset   | `due`: epoch ms at which an alert is due                    | when none waits                  |
| `trimmed-early`         | string | epoch ms: what was received before left the inbox early,    | after `INBOX_RETENTION`          |
|                         |        | since Valkey was nearly full                                |                                  |
| `ready`                 | string | `GET /readyz` writes it to see that writes are taken        | in seconds                       |
| `notified:<queue>`      | string | a notification was sent that nobody has answered            | when answered, or after a minute |
| `waiter:<queue>`        | string | a consumer waits on the queue's stream: notify nobody       | in seconds                       |
"""

TAG = "{curbside}"
GROUP = "workers"
"""The consumer group on `inbox` and on every `todo` stream. It starts at 0: nothing appended before it is lost."""

READY = f"{TAG}:ready"
TRIMMED_EARLY = f"{TAG}:trimmed-early"
INBOX = f"{TAG}:inbox"
COUNTERS = f"{TAG}:counters"
UNRECOGNISED = f"{TAG}:unrecognised"
FAILURES = f"{TAG}:failures"
RETRIES = f"{TAG}:retries"
IN_FLIGHT = f"{TAG}:in-flight"
UNFINISHED = f"{TAG}:unfinished"
DRIFT = f"{TAG}:drift"
DRIFT_COUNTS = f"{TAG}:drift-counts"
DRIFT_FIELDS = f"{TAG}:drift-fields"
EPOCH = f"{TAG}:epoch"
LOSSES = f"{TAG}:losses"
UNREACHABLE = f"{TAG}:unreachable"
UNREACHABLE_SINCE = f"{TAG}:unreachable-since"
UNREACHABLE_NOTED = f"{TAG}:unreachable-noted"
UNREACHABLE_STALE_MS = 90_000
"""An outage that was not noted again for so long is not shown."""
REFUSED = f"{TAG}:refused"
REFUSED_LAST = f"{TAG}:refused-last"
REFUSED_SECONDS = 15 * 60
LIMIT_PREFIX = f"{TAG}:limit"
OUTBOX = f"{TAG}:outbox-due"
SEEN_PREFIX = f"{TAG}:seen:"
SEEN_BUCKETS = f"{TAG}:seen-buckets"
TAKEN_OVER = f"{TAG}:taken-over"
TRIED_ALONE = f"{TAG}:tried-alone"
TODO_PREFIX = f"{TAG}:todo:"

FIELD_PROVIDER = b"p"
FIELD_BODY = b"b"
FIELD_REQUEST = b"r"
FIELD_EVENT = b"e"

DISPATCH = "dispatch"
"""The queue of the dispatcher, which empties the inbox; also the handler's name in the failure of a body that cannot be decoded."""
RELEASE_0_1_DISPATCH = "drain"
"""The name of `DISPATCH` in release 0.1: failures that it recorded keep it, and its ingress and Celery messages use it."""
DISPATCH_NAMES = (DISPATCH, RELEASE_0_1_DISPATCH)


def names_of_handler(handler: str) -> tuple[str, ...]:
    """The names under which this handler's failures may be stored."""
    return DISPATCH_NAMES if handler in DISPATCH_NAMES else (handler,)


def todo(handler: str) -> str:
    """The stream of claim checks that wait for a handler."""
    return f"{TODO_PREFIX}{handler}"


def refused_in(minute: int) -> str:
    """Refused requests of one minute, counted since the epoch by the ingress' clock."""
    return f"{TAG}:refused:{minute}"


def notified(queue: str) -> str:
    """Set for a moment after a notification of this queue was sent: it limits how many are."""
    return f"{TAG}:notified:{queue}"


def waiter(queue: str) -> str:
    """The waiter flag: set while a consumer waits on this queue's stream, so that it needs no notification."""
    return f"{TAG}:waiter:{queue}"


class Counter:
    """Fields of `COUNTERS`. Received is the inbox stream's own count of entries ever added."""

    DUPLICATE = "duplicate"
    ROUTED = "routed"
    UNDECODABLE = "undecodable"
    UNRECOGNISED = "unrecognised"
    COMMITS = "commits"
    """No outcome: how often the workers' scripts have written the counters."""
    REAPPENDED = "reappended"
    """Acknowledged events that Valkey had lost and an ingress appended again: each is one more received."""

    @staticmethod
    def discarded(handler: str) -> str:
        """Failures of a handler that an operator has discarded."""
        return f"discarded:{handler}"

    @staticmethod
    def routed(handler: str) -> str:
        """Events routed to a handler."""
        return f"routed:{handler}"

    @staticmethod
    def waiting(handler: str) -> str:
        """Events that wait for a handler."""
        return f"waiting:{handler}"

    @staticmethod
    def applied(handler: str) -> str:
        """Events whose effects a handler has committed."""
        return f"applied:{handler}"

    @staticmethod
    def failed(handler: str) -> str:
        """Events of a handler with a failure on record: retrying, dead or discarded."""
        return f"failed:{handler}"
