"""A budget in bytes for requests that are not answered yet, so that no number of them can fill the machine."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Holder = TypeVar("Holder", bound=Hashable)


class MemoryBudget(Generic[Holder]):
    """Counts bytes. Past the limit `evict` is called for holders, the oldest first, until it is kept again.

    The oldest goes first because an honest request is complete within milliseconds: what is old is slow, or never meant to end.
    """

    def __init__(self, limit_bytes: int, evict: Callable[[Holder], None]) -> None:
        self._limit_bytes, self._evict = limit_bytes, evict
        self._held: dict[Holder, int] = {}
        self.used_bytes = 0
        """All that is held; whoever cannot be evicted adds and subtracts here by himself."""

    @property
    def is_full(self) -> bool:
        """Whether the limit is passed, and nobody is left to be evicted."""
        return self.used_bytes > self._limit_bytes

    def hold(self, holder: Holder, n_bytes: int) -> bool:
        """It holds so many bytes now. False if it is the one that has to go; `evict` is not called for it."""
        if not n_bytes:
            self.release(holder)
            return True
        self.used_bytes += n_bytes - self._held.get(holder, 0)
        self._held[holder] = n_bytes
        while self.is_full and self._held:
            victim = next(iter(self._held))
            self.release(victim)
            if victim is holder:
                return False
            self._evict(victim)
        return True

    def release(self, holder: Holder) -> None:
        """It holds nothing any more."""
        self.used_bytes -= self._held.pop(holder, 0)
