"""A short run of the attacks of `make strangers`."""

from tests.strangers import broken, idle


def test_broken_requests_cost_no_event_and_no_memory() -> None:
    report = broken.run(requests=6000, seed=20261125)
    assert report.violations == []
    assert report.honest > 0
    assert report.statuses[400] > 1000, "most are refused"
    assert report.keyed_acknowledged > 0, "some are only odd"


def test_idle_connections_delay_no_honest_client_for_long() -> None:
    report = idle.run(connections=600, seconds=6)
    assert report.opened >= 600
    assert report.posts > 50
    assert report.refused == 0
