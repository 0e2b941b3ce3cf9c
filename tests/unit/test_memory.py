"""The budget in bytes: who has to go when it is spent."""

from ingress.memory_budget import MemoryBudget


def test_past_the_limit_the_oldest_holder_goes_until_it_is_kept() -> None:
    evicted = list[str]()
    memory: MemoryBudget[str] = MemoryBudget(100, evicted.append)
    assert all(memory.hold(name, 30) for name in ("first", "second", "third"))
    assert memory.hold("fourth", 50)
    assert evicted == ["first", "second"]
    assert memory.used_bytes == 80


def test_whoever_holds_more_keeps_its_place_in_the_order() -> None:
    evicted = list[str]()
    memory: MemoryBudget[str] = MemoryBudget(100, evicted.append)
    memory.hold("first", 10)
    memory.hold("second", 10)
    memory.hold("first", 50)
    assert memory.hold("third", 60)
    assert evicted == ["first"]


def test_the_oldest_itself_is_told_and_not_evicted() -> None:
    evicted = list[str]()
    memory: MemoryBudget[str] = MemoryBudget(100, evicted.append)
    assert memory.hold("only", 100)
    assert not memory.hold("only", 101)
    assert (evicted, memory.used_bytes) == ([], 0)


def test_who_holds_nothing_any_more_is_left_in_peace() -> None:
    evicted = list[str]()
    memory: MemoryBudget[str] = MemoryBudget(100, evicted.append)
    memory.hold("idle", 50)
    memory.hold("idle", 0)
    memory.hold("busy", 100)
    assert memory.hold("new", 10)
    assert evicted == ["busy"]


def test_what_nobody_can_be_evicted_for_makes_it_full() -> None:
    memory: MemoryBudget[str] = MemoryBudget(100, lambda _: None)
    memory.used_bytes += 101
    assert memory.is_full
    assert not memory.hold("anybody", 1)
