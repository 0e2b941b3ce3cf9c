"""A batch's transaction begins when a handler first needs it, and not before."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.support.settings import make_settings
from workers.errors import DependencyUnavailableError
from workers.handler import Event, UnitOfWork
from workers.ledger.ledger import Ledger


@dataclass(frozen=True)
class Asks:
    """A handler that asks for the connection, or does not."""

    asks: bool

    def apply(self, work: UnitOfWork, events: Sequence[Event]) -> None:
        assert not self.asks or work.connection


def test_a_handler_that_only_calls_another_service_holds_no_lock_and_needs_no_database() -> None:
    ledger = Ledger(make_settings(DATABASE_URL="sqlite:////nowhere/at/all/ledger.db"))
    assert not ledger.apply(Asks(asks=False), [])
    with pytest.raises(DependencyUnavailableError):
        ledger.apply(Asks(asks=True), [])
    ledger.close()
