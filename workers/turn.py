"""One at a time in a process, with no call for work lost."""

import threading


class Turn:
    """At most one thread works; a call that comes meanwhile makes it look once more before it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = self._called_again = False

    def take(self) -> bool:
        """Begin to work, unless another thread does: that one is told to look again."""
        with self._lock:
            if self._taken:
                self._called_again = True
                return False
            self._taken = True
            return True

    def end(self) -> bool:
        """End the turn, unless somebody called meanwhile: then the turn goes on and this says False."""
        with self._lock:
            if self._called_again:
                self._called_again = False
                return False
            self._taken = False
            return True

    def abandon(self) -> None:
        """End the turn whatever was called: the work failed as a whole."""
        with self._lock:
            self._taken = self._called_again = False
