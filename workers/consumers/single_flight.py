"""At most one thread at a time, without losing a call."""

import threading


class SingleFlight:
    """Lets one thread of a process do the work. A call that comes meanwhile makes it run once more before it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._called_again = False

    def try_start(self) -> bool:
        """Start the work. False if another thread is running it: that thread then runs it once more."""
        with self._lock:
            if self._running:
                self._called_again = True
                return False
            self._running = True
            return True

    def try_finish(self) -> bool:
        """Finish the work. False if another call came meanwhile: the caller must then run it once more."""
        with self._lock:
            if self._called_again:
                self._called_again = False
                return False
            self._running = False
            return True

    def abort(self) -> None:
        """Finish after an error, and discard the calls that came meanwhile."""
        with self._lock:
            self._running = self._called_again = False
