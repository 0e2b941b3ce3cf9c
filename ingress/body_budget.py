"""A memory budget for requests that are not answered yet, so that no number of them can exhaust the machine."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Holder = TypeVar("Holder", bound=Hashable)


class BodyBudget(Generic[Holder]):
    """Counts the bytes that requests hold. Past the limit it calls `evict` for holders, the oldest first, until the limit is kept.

    The oldest goes first because an honest request is complete within milliseconds.
    """

    def __init__(self, limit_bytes: int, evict: Callable[[Holder], None]) -> None:
        self._limit_bytes, self._evict = limit_bytes, evict
        self._held: dict[Holder, int] = {}
        self.used_bytes = 0
        """All bytes held. A holder that cannot be evicted changes this number itself."""

    @property
    def is_full(self) -> bool:
        """Whether the limit is passed and no holder is left to evict."""
        return self.used_bytes > self._limit_bytes

    def hold(self, holder: Holder, n_bytes: int) -> bool:
        """Set how many bytes a holder holds. False if this holder must be evicted; `evict` is not called for it."""
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
        """Forget a holder: it holds nothing any more."""
        self.used_bytes -= self._held.pop(holder, 0)
