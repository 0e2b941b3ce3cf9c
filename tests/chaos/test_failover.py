"""Failovers of Valkey to a replica that lagged, under load through two ingresses: nothing acknowledged is lost."""

import pytest

from tests.chaos import failover
from tests.support.valkey_servers import RealValkey


def test_failovers_to_a_replica_that_lagged_lose_no_acknowledged_event(
    real_server: RealValkey, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failover.run(rounds=3, seed=1, program=real_server.program, per_second=200, lag_seconds=0.5) == 0
    assert " 0 appended again" not in capsys.readouterr().out, "the replica did not lag"
