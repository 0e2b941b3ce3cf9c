"""Fails a test that leaves an unknown key without a lifetime, or a pending entry in a consumer group."""

import re
from collections.abc import Iterator

import pytest
import redis

from schemas import keys
from tests.support.valkey_servers import RealValkey, broker_of

VALKEY_FIXTURES = ("valkey_url", "fake_valkey_url", "real_valkey_url", "real_valkey", "real_server")
LEAVES_PENDING = "leaves_pending"

_KNOWN = {
    keys.INBOX,
    keys.COUNTERS,
    keys.UNRECOGNISED,
    keys.FAILURES,
    keys.RETRIES,
    keys.IN_FLIGHT,
    keys.UNFINISHED,
    keys.TRIED_ALONE,
    keys.UNREACHABLE,
    keys.UNREACHABLE_SINCE,
    keys.DRIFT,
    keys.DRIFT_COUNTS,
    keys.DRIFT_FIELDS,
    keys.REFUSED,
    keys.REFUSED_LAST,
    keys.OUTBOX,
    keys.TAKEN_OVER,
    keys.EPOCH,
}
_KNOWN_OF_CELERY = re.compile(
    r"(curbside:)?(_kombu\..+|unacked(_index|_mutex)?|curbside\..+|celery.*|.+\.celery\.pidbox)", re.DOTALL
)


def find_leaks(url: str, *, may_leave_pending: bool = False) -> list[str]:
    """Describe what a test left in the inbox's database and in the broker's, which is the next one."""
    with (
        redis.Redis.from_url(url, decode_responses=True) as inbox,
        redis.Redis.from_url(broker_of(url), decode_responses=True) as broker,
    ):
        found = [f"{key!r} has no lifetime" for key in _without_lifetime(inbox) if not _is_known(key)]
        found += [
            f"{key!r} of the broker has no lifetime" for key in _without_lifetime(broker) if not _KNOWN_OF_CELERY.fullmatch(key)
        ]
        return found if may_leave_pending else found + list(_pending(inbox))


def _is_known(key: str) -> bool:
    return key in _KNOWN or key.startswith(keys.TODO_PREFIX)


def _without_lifetime(client: "redis.Redis") -> Iterator[str]:
    return (key for key in client.scan_iter() if client.ttl(key) == -1)


def _pending(client: "redis.Redis") -> Iterator[str]:
    for key in client.scan_iter(_type="stream"):
        for group in client.xinfo_groups(key):
            if group["pending"]:
                yield f"{group['pending']} entries of {key!r} are pending in the group {group['name']!r}"


@pytest.fixture(autouse=True)
def check_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check each test that used a Valkey, after everything that it started has ended."""
    used = [name for name in VALKEY_FIXTURES if name in request.fixturenames]
    handles = [request.getfixturevalue(name) for name in used]
    yield
    for handle in handles:
        if isinstance(handle, RealValkey):
            handle.restore()
    may_leave_pending = request.node.get_closest_marker(LEAVES_PENDING) is not None
    for url in {handle if isinstance(handle, str) else handle.url for handle in handles}:
        if left := find_leaks(url, may_leave_pending=may_leave_pending):
            pytest.fail("the test left behind: " + "; ".join(left), pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker `leaves_pending`."""
    config.addinivalue_line("markers", f"{LEAVES_PENDING}: the test may leave pending entries in a consumer group")
