"""A memory budget in bytes for requests that are not answered yet."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Holder = TypeVar("Holder", bound=Hashable)


class MemoryBudget(Generic[Holder]):
    """Counts the bytes of each holder. Past the limit it calls `evict` for the oldest holders until the total fits.

    A normal request is complete within milliseconds. The oldest one is slow, or an attack.
    """

    def __init__(self, limit_bytes: int, evict: Callable[[Holder], None]) -> None:
        self._limit_bytes, self._evict = limit_bytes, evict
        self._held: dict[Holder, int] = {}
        self.used_bytes = 0
        """The total. The inbox, whose bodies cannot be evicted, adds and subtracts here directly."""

    @property
    def is_full(self) -> bool:
        """Whether the total exceeds the limit, after `hold` has evicted what it could."""
        return self.used_bytes > self._limit_bytes

    def hold(self, holder: Holder, n_bytes: int) -> bool:
        """Set the bytes of a holder. False if the holder itself must go; `evict` is not called for it."""
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
        """Remove a holder."""
        self.used_bytes -= self._held.pop(holder, 0)
