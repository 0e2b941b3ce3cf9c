"""The parts of `make chaos` that decide which faults are made, and which of them a finding is told under."""

from tests.chaos.__main__ import REGISTERED
from tests.chaos.findings import NO_FAULT, Attribution, Finding, Made, Wrong
from tests.chaos.kinds import KINDS
from tests.chaos.schedule import conflicts, plan_faults

assert REGISTERED


def test_a_seed_makes_the_same_faults_each_time_and_every_kind_before_one_comes_again() -> None:
    kinds = [kind for _, kind in sorted(KINDS.items())]
    first, again, other = (plan_faults(seed, kinds, len(kinds) + 5, 600) for seed in (7, 7, 8))
    assert [(each.at, each.kind, each.turn.seconds) for each in first] == [
        (each.at, each.kind, each.turn.seconds) for each in again
    ]
    assert [each.turn.chance.random() for each in first] == [each.turn.chance.random() for each in again]
    assert [each.kind.name for each in first] != [each.kind.name for each in other]
    assert {each.kind.name for each in first[: len(kinds)]} == set(KINDS)
    assert [each.at for each in first] == sorted(each.at for each in first)
    assert first[-1].at < 600


def test_there_are_at_least_25_kinds_and_those_that_touch_the_same_thing_do_not_overlap() -> None:
    assert len(KINDS) >= 25
    assert conflicts(KINDS["valkey-killed"], [KINDS["valkey-frozen"]])
    assert conflicts(KINDS["rolling-restart"], [KINDS["bulk-frozen"]])
    assert not conflicts(KINDS["valkey-killed"], [KINDS["postgresql-killed"], KINDS["bulk-killed"]])


def test_a_finding_is_told_under_the_faults_of_its_time_and_a_wait_under_the_one_that_took_most_of_it() -> None:
    attribution = Attribution([Made(0, "valkey-killed", 100, 104), Made(1, "bulk-killed", 103, 120)])
    assert attribution.add(Finding(Wrong.LOST, "an event", 103.5, 3)) == ["bulk-killed", "valkey-killed"]
    assert attribution.add(Finding(Wrong.LOST, "another", 50)) == [NO_FAULT]
    assert attribution.add(Finding(Wrong.SUMS, "no time")) == []
    assert attribution.rows["valkey-killed"].findings == {Wrong.LOST: 3}
    assert attribution.most_of(101, 106).kind == "valkey-killed"
    assert attribution.most_of(101, 119).kind == "bulk-killed"
    assert attribution.most_of(200, 210).kind == NO_FAULT
