"""What is kept of the acknowledged events: bounded by time and by bytes."""

import logging

import pytest

from ingress.acknowledged import Acknowledged
from ingress.history import History, read_history

_SIZE = 1000
EMPTY = History("server", 0, 0, None, (0, 0))
OTHER = History("another server", 0, 0, None, (0, 0))


def add(acknowledged: Acknowledged, now: float, *numbers: int) -> None:
    acknowledged.add(now, [b"%d" % each + b"x" * _SIZE for each in numbers], [b"1-%d" % each for each in numbers])


def missing(acknowledged: Acknowledged) -> list[int]:
    """What would be appended again if all was lost now."""
    acknowledged.compare(OTHER)
    return [int(kept.event_id[2:]) for kept in acknowledged.missing]


def test_only_the_last_seconds_are_kept_counted_from_the_last_acknowledgement() -> None:
    acknowledged = Acknowledged(10.0, 1 << 20)
    add(acknowledged, 100.0, 1, 2)
    add(acknowledged, 105.0, 3)
    add(acknowledged, 111.0, 4)
    assert missing(acknowledged) == [3, 4]


@pytest.mark.parametrize(("room_for", "kept"), [(5, [2, 3, 4, 5, 6]), (4, [4, 5, 6]), (2, [5, 6]), (0, [])])
def test_only_so_many_bytes_are_kept_the_latest(room_for: int, kept: list[int]) -> None:
    acknowledged = Acknowledged(10.0, room_for * (_SIZE + 200))
    add(acknowledged, 1.0, 1)
    add(acknowledged, 1.0, 2, 3)
    add(acknowledged, 1.0, 4, 5, 6)
    assert missing(acknowledged) == kept


def test_nothing_is_kept_without_a_window() -> None:
    acknowledged = Acknowledged(0.0, 1 << 20)
    add(acknowledged, 1.0, 1)
    assert missing(acknowledged) == []


def test_an_event_that_was_refused_is_none_that_is_missing() -> None:
    acknowledged = Acknowledged(10.0, 1 << 20)
    acknowledged.add(1.0, [b"a", b"b", b"c"], [b"1-1", RuntimeError("OOM"), b"1-3"])
    assert missing(acknowledged) == [1, 3]


def test_what_a_second_loss_leaves_no_memory_for_is_said(caplog: pytest.LogCaptureFixture) -> None:
    acknowledged = Acknowledged(10.0, 3 * (_SIZE + 200))
    add(acknowledged, 1.0, 1, 2, 3)
    acknowledged.compare(EMPTY)
    add(acknowledged, 2.0, 4, 5)
    with caplog.at_level(logging.ERROR):
        assert missing(acknowledged) == [3, 4, 5]
    assert "2 acknowledged events were not looked for" in caplog.text


_NOW = History("server", 10, 8, (1, 3), (1, 10))


@pytest.mark.parametrize(
    ("later", "continues"),
    [
        (_NOW, True),
        (_NOW._replace(added=12, length=10, last=(1, 12)), True),
        (_NOW._replace(added=12, length=1, first=(1, 12), last=(1, 12)), True),
        (_NOW._replace(length=0, first=None), True),
        (_NOW._replace(server="another"), False),
        (_NOW._replace(added=9), False),
        (_NOW._replace(last=(1, 9)), False),
        (_NOW._replace(added=10, length=10, first=(2, 1), last=(2, 10)), False),
        (History("server"), False),
    ],
)
def test_a_history_that_continues_is_told_from_another_one(later: History, continues: bool) -> None:
    assert later.continues(_NOW, ((1, 5), (1, 10))) is continues


@pytest.mark.parametrize("stream", [None, [], [b"length"], {b"length": 1}, [b"length", b"1"], "OK", 7])
def test_a_server_that_describes_a_stream_in_another_way_keeps_no_event_from_being_accepted(stream: object) -> None:
    assert read_history(b"run_id:1", stream, "unnamed") is None
