"""The memory budget for bodies: which holders are evicted when it is exceeded."""

from ingress.body_budget import BodyBudget


def test_past_the_limit_the_oldest_holders_are_evicted() -> None:
    evicted = list[str]()
    memory: BodyBudget[str] = BodyBudget(100, evicted.append)
    assert all(memory.hold(name, 30) for name in ("first", "second", "third"))
    assert memory.hold("fourth", 50)
    assert evicted == ["first", "second"]
    assert memory.used_bytes == 80


def test_a_holder_that_grows_keeps_its_place_in_the_order() -> None:
    evicted = list[str]()
    memory: BodyBudget[str] = BodyBudget(100, evicted.append)
    memory.hold("first", 10)
    memory.hold("second", 10)
    memory.hold("first", 50)
    assert memory.hold("third", 60)
    assert evicted == ["first"]


def test_a_holder_that_alone_exceeds_the_limit_is_refused_and_not_evicted() -> None:
    evicted = list[str]()
    memory: BodyBudget[str] = BodyBudget(100, evicted.append)
    assert memory.hold("only", 100)
    assert not memory.hold("only", 101)
    assert (evicted, memory.used_bytes) == ([], 0)


def test_a_holder_of_nothing_is_not_evicted() -> None:
    evicted = list[str]()
    memory: BodyBudget[str] = BodyBudget(100, evicted.append)
    memory.hold("idle", 50)
    memory.hold("idle", 0)
    memory.hold("busy", 100)
    assert memory.hold("new", 10)
    assert evicted == ["busy"]


def test_memory_is_full_when_no_holder_can_be_evicted() -> None:
    memory: BodyBudget[str] = BodyBudget(100, lambda _: None)
    memory.used_bytes += 101
    assert memory.is_full
    assert not memory.hold("anybody", 1)
