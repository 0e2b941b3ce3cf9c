"""Every test leaves the house clean: no key without a lifetime but the known ones, no pending entry in a consumer group."""

import re
from collections.abc import Iterator

import pytest
import redis

from schemas import keys
from tests.support.valkey import broker_of

VALKEY_FIXTURES = ("valkey_url", "fake_valkey_url", "real_valkey_url", "real_valkey")
LEAVES_PENDING = "leaves_pending"

_KNOWN = {
    keys.INBOX,
    keys.COUNTERS,
    keys.UNRECOGNISED,
    keys.FAILURES,
    keys.RETRIES,
    keys.IN_FLIGHT,
    keys.UNREACHABLE,
    keys.DRIFT,
    keys.DRIFT_COUNTS,
    keys.DRIFT_FIELDS,
    keys.REFUSED,
    keys.REFUSED_LAST,
    keys.OUTBOX,
    keys.TAKEN_OVER,
}
_KNOWN_OF_CELERY = re.compile(
    r"(curbside:)?(_kombu\..+|unacked(_index|_mutex)?|curbside\..+|celery.*|.+\.celery\.pidbox)", re.DOTALL
)


def complaints(url: str, *, may_leave_pending: bool = False) -> list[str]:
    """What a test left behind on this server: in the inbox's database, and in the next one, the broker's."""
    with (
        redis.Redis.from_url(url, decode_responses=True) as inbox,
        redis.Redis.from_url(broker_of(url), decode_responses=True) as broker,
    ):
        found = [f"{key!r} has no lifetime" for key in _immortal(inbox) if not _is_known(key)]
        found += [f"{key!r} of the broker has no lifetime" for key in _immortal(broker) if not _KNOWN_OF_CELERY.fullmatch(key)]
        return found if may_leave_pending else found + list(_pending(inbox))


def _is_known(key: str) -> bool:
    return key in _KNOWN or key.startswith(keys.TODO_PREFIX)


def _immortal(client: "redis.Redis") -> Iterator[str]:
    return (key for key in client.scan_iter() if client.ttl(key) == -1)


def _pending(client: "redis.Redis") -> Iterator[str]:
    for key in client.scan_iter(_type="stream"):
        for group in client.xinfo_groups(key):
            if group["pending"]:
                yield f"{group['pending']} entries of {key!r} are pending in the group {group['name']!r}"


@pytest.fixture(autouse=True)
def clean_house(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check after each test that used a Valkey, when all that the test started has ended."""
    used = [name for name in VALKEY_FIXTURES if name in request.fixturenames]
    handles = [request.getfixturevalue(name) for name in used]
    yield
    if "real_valkey" in request.fixturenames:
        request.getfixturevalue("real_valkey").restore()
    may_leave_pending = request.node.get_closest_marker(LEAVES_PENDING) is not None
    for url in {handle if isinstance(handle, str) else handle.url for handle in handles}:
        if left := complaints(url, may_leave_pending=may_leave_pending):
            pytest.fail("the test left behind: " + "; ".join(left), pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", f"{LEAVES_PENDING}: the test may leave pending entries in a consumer group")
