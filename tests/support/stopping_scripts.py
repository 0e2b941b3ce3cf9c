"""Scripts that stop at a chosen command, as if Valkey refused it there: it undoes nothing."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from workers.valkey import scripts

STOPPED = "stopped by the test"
_STOPPING = """
local redis = (function(real)
  local calls = 0
  local function counted(run)
    return function(...)
      calls = calls + 1
      if calls == {at} then error('{stopped}') end
      return run(...)
    end
  end
  return {{call = counted(real.call), pcall = counted(real.pcall)}}
end)(redis)
"""


class ScriptStops:
    """At which command each script of this test stops; None: none does."""

    def __init__(self) -> None:
        self.at: int | None = None

    @contextmanager
    def stop_at(self, at: int) -> Iterator[None]:
        """Scripts stop at their `at`-th command."""
        self.at = at
        try:
            yield
        finally:
            self.at = None

    def load(self, client: Any, *names: str) -> Any:
        """Stand in for `scripts.load`."""
        whole = scripts.text_of(*names)

        def run(keys: Iterable[Any] = (), args: Iterable[Any] = ()) -> Any:
            text, of_keys = whole, list(keys)
            if self.at is not None:
                flags, _, body = whole.partition("\n")
                text = f"{flags}{_STOPPING.format(at=self.at, stopped=STOPPED)}{body}"
            return client.eval(text, len(of_keys), *of_keys, *args)

        return run


@pytest.fixture
def script_stops(monkeypatch: pytest.MonkeyPatch) -> ScriptStops:
    """Make every script that is loaded from now on one that can stop."""
    stops = ScriptStops()
    monkeypatch.setattr(scripts, "load", stops.load)
    return stops


def is_stopped(error: "redis.ResponseError") -> bool:
    """Whether the test stopped the script; no other error may end it."""
    return STOPPED in str(error)
