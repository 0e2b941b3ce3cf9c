"""A stepped deployment whose only handler, `refunds`, fails, on fakeredis and Valkey."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.failures import FailureState
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment, open_stepped_deployment
from workers.failures.retry_policy import RetryPolicy

QUICK = RetryPolicy(attempts=3, first=timedelta(seconds=1), longest=timedelta(seconds=1))


def refund(order: str, line: str = "1") -> bytes:
    return b'{"event":"order_item_refund","order_id":"%s","items":[{"line_num":"%s","refunded":true}]}' % (
        order.encode(),
        line.encode(),
    )


@pytest.fixture
def failing_handler() -> FailingHandler:
    return FailingHandler("refunds", KeyError("a bug"))


@pytest.fixture
def failing_deployment(
    valkey_url: str, migrated_sqlite: Path, tmp_path: Path, failing_handler: FailingHandler
) -> Iterator[SteppedDeployment]:
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with open_stepped_deployment(valkey_url, f"sqlite:///{database}", [failing_handler.handler(QUICK)]) as failing_deployment:
        yield failing_deployment


def failed(failing_deployment: SteppedDeployment, count: int = 1) -> list[str]:
    """Events that failed at the handler; their ids."""
    ids = [failing_deployment.append(refund(f"o{number}")) for number in range(count)]
    failing_deployment.work()
    return ids


def dead(failing_deployment: SteppedDeployment) -> str:
    """An event that failed as often as it may; its id."""
    (event_id,) = failed(failing_deployment)
    failing_deployment.run_retries_until_settled()
    assert failing_deployment.failures.get("refunds", event_id).state is FailureState.DEAD
    return event_id


def refunds(failing_deployment: SteppedDeployment) -> list[str]:
    return [row["order_id"] for row in failing_deployment.ledger_fixture.rows("refunds")]
