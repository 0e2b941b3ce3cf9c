"""A channel that hangs, drips, refuses or leads astray holds up no other, and is tried again under the same key."""

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Event, Kind
from tests.contract.handler_events import at, event
from tests.support.alert_worker import APPRISE, SECRET, WEBHOOK, AlertWorker, Receiver, open_alert_worker
from tests.support.bad_receivers import bad_receiver
from tests.support.settings import LOOPBACK
from tests.support.waiting import wait_for
from workers.alerts.outbox_rows import FULL_PAUSE
from workers.alerts.room import BATCH, PARALLEL
from workers.ledger.unit_of_work import LEASE
from workers.monitoring.outbox_status import read_outbox

pytestmark = [
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),  # Apprise imports it
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # it leaves sockets to the garbage collector
]

HANGS = ["drips_head", "drips_interim_answers", "never_answers", "never_accepts"]
ANSWERS = ["drips_body", "endless_body"]
"""A webhook has answered when its status is known. Apprise reads the body, and waits."""
REFUSES = ["refuses", "redirects"]
NEVER = 60.0


@pytest.fixture
def ledger_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    (tmp_path / "ledger.db").write_bytes(migrated_sqlite.read_bytes())
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def deadline(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """None, unless a test sets one: what is delivered is not delivered because a deadline was over."""
    monkeypatch.setattr("workers.alerts.deadline.DEADLINE_SECONDS", NEVER)
    yield monkeypatch
    wait_for(lambda: not [each for each in threading.enumerate() if each.name.endswith("-call")], 20, "every call to end")


def webhook_at(port: int, scheme: str = "http") -> dict[str, str]:
    return {"ALERT_WEBHOOK_URL": f"{scheme}://{LOOPBACK}:{port}{WEBHOOK}", "ALERT_WEBHOOK_SECRET": SECRET}


def channels(bad: str, port: int, receiver: Receiver) -> tuple[str, dict[str, str]]:
    """The name of the good channel, and the settings: one of webhook and Apprise leads to the bad receiver."""
    good = int(receiver.url.rpartition(":")[2])
    ports = {"webhook": good, "apprise": good} | {bad: port}
    settings = webhook_at(ports["webhook"]) | {"ALERT_URLS": f"json://{LOOPBACK}:{ports['apprise']}{APPRISE}"}
    return ({"webhook": "apprise", "apprise": "webhook"}[bad], settings)


def missing(first: int, count: int) -> list[Event]:
    return [event(Kind.CUSTOMER_MIA, 1, f"fc-{number}") for number in range(first, first + count)]


def sent(worker: AlertWorker, channel: str) -> Sequence[dict[str, Any]]:
    return [row for row in worker.rows(channel) if row["sent_at"]]


def sent_by(worker: AlertWorker, channel: str, count: int) -> bool:
    """Whether this channel has had all, when the queue has been worked once more."""
    worker.relay.run()
    return len(sent(worker, channel)) == count


@pytest.mark.parametrize("bad", ["webhook", "apprise"])
@pytest.mark.parametrize("behaviour", HANGS + REFUSES)
def test_a_channel_that_hangs_or_refuses_holds_up_no_other(
    behaviour: str, bad: str, ledger_url: str, fake_valkey_url: str, receiver: Receiver, deadline: pytest.MonkeyPatch
) -> None:
    with bad_receiver(behaviour) as trap:
        good, settings = channels(bad, trap.port, receiver)
        with open_alert_worker(ledger_url, fake_valkey_url, **settings) as worker:
            for number in range(0, 3 * BATCH, BATCH):
                worker.report_missing(*missing(number, BATCH))
            for channel in ("log", good):
                wait_for(lambda name=channel: sent_by(worker, name, 3 * BATCH), 20, f"all alerts through {channel}")  # type: ignore[misc]
            assert sent(worker, bad) == []
            deadline.setattr("workers.alerts.deadline.DEADLINE_SECONDS", 0.1)
            trap.close()


@pytest.mark.parametrize("behaviour", HANGS)
def test_a_webhook_that_hangs_is_given_up_at_the_deadline_and_tried_again_at_growing_intervals(
    behaviour: str, ledger_url: str, fake_valkey_url: str, deadline: pytest.MonkeyPatch
) -> None:
    deadline.setattr("workers.alerts.deadline.DEADLINE_SECONDS", 0.3)
    with bad_receiver(behaviour) as trap, open_alert_worker(ledger_url, fake_valkey_url, **webhook_at(trap.port)) as worker:
        worker.report_missing(*missing(0, 1))
        pauses = []
        for attempts in (1, 2, 3):
            wait_for(lambda count=attempts: worker.row("webhook")["attempts"] == count, 20, f"attempt {attempts}")  # type: ignore[misc]
            pauses.append(worker.row("webhook")["due_at"] - worker.now)
            assert worker.row("webhook")["last_error"] in ("no answer within 0.3 s", "the webhook did not answer: ReadError")
            worker.now = worker.row("webhook")["due_at"]
            worker.relay.run()
        (held_up,) = read_outbox(worker.ledger_fixture.ledger, worker.now).held_up
        assert (held_up.channel, held_up.waiting, held_up.since) == ("webhook", 1, worker.row("webhook")["created_at"])
        assert pauses == [timedelta(seconds=seconds) for seconds in (1, 2, 4)]


@pytest.mark.parametrize("behaviour", ANSWERS)
def test_the_body_of_an_answer_is_not_waited_for(
    behaviour: str, ledger_url: str, fake_valkey_url: str, deadline: pytest.MonkeyPatch
) -> None:
    with bad_receiver(behaviour) as trap, open_alert_worker(ledger_url, fake_valkey_url, **webhook_at(trap.port)) as worker:
        worker.report_missing(*missing(0, 3 * BATCH))
        worker.run()
        assert len(sent(worker, "webhook")) == 3 * BATCH


def test_a_tls_handshake_that_never_ends_is_given_up(
    ledger_url: str, fake_valkey_url: str, deadline: pytest.MonkeyPatch
) -> None:
    deadline.setattr("workers.alerts.deadline.DEADLINE_SECONDS", 0.3)
    deadline.setattr("workers.alerts.webhook.TIMEOUT_SECONDS", 1.0)
    with (
        bad_receiver("never_answers") as trap,
        open_alert_worker(ledger_url, fake_valkey_url, **webhook_at(trap.port, "https")) as worker,
    ):
        worker.report_missing(*missing(0, 1))
        wait_for(lambda: worker.row("webhook")["attempts"] == 1, 20, "the attempt to be given up")
        assert worker.row("webhook")["last_error"] == "no answer within 0.3 s"


def test_calls_that_never_come_back_take_the_places_of_their_channel_alone_and_do_not_hold_up_the_end(
    ledger_url: str, fake_valkey_url: str, receiver: Receiver, deadline: pytest.MonkeyPatch
) -> None:
    deadline.setattr("workers.alerts.deadline.DEADLINE_SECONDS", 0.3)
    with bad_receiver("drips_body") as trap:
        _, settings = channels("apprise", trap.port, receiver)
        with open_alert_worker(ledger_url, fake_valkey_url, **settings) as worker:
            worker.report_missing(*missing(0, 2 * BATCH))
            wait_for(lambda: worker.relay.capacity["apprise:" + apprise_name(worker)] == 0, 20, "its places to be taken")
            wait_for(lambda: not worker.relay._room(worker.rows("apprise")[0]["channel"]).jobs, 20, "their rows to be noted")
            taken = calls_in(worker)
            assert PARALLEL <= taken == sum(row["attempts"] for row in worker.rows("apprise")) < BATCH
            wait_for(lambda: len(trap.connections) == calls_in(worker), 20, "each to be connected")
            for _ in range(3):
                worker.now += LEASE
                worker.relay.run()
            assert len(trap.connections) == taken, "no more are sent there"
            due = worker.store.outbox_due_at()
            assert due == int((worker.now + FULL_PAUSE).timestamp() * 1000), "and nobody looks all the time whether they can be"
            wait_for(lambda: len(sent(worker, "webhook")) == 2 * BATCH, 20, "the webhook to get all")
            worker.relay.close()
            assert [each for each in threading.enumerate() if each.name.endswith("-call") and not each.daemon] == []
            trap.close()
            wait_for(lambda: worker.relay._rooms["apprise:" + apprise_name(worker)].free == BATCH, 20, "the places to be free")


def calls_in(worker: AlertWorker) -> int:
    """How many calls to Apprise have not come back."""
    name = f"alert-apprise:{apprise_name(worker)}-call"
    return len([each for each in threading.enumerate() if each.name == name])


def apprise_name(worker: AlertWorker) -> str:
    return str(worker.rows("apprise")[0]["channel"].partition(":")[2])


def test_an_alert_that_arrives_after_its_deadline_is_not_sent_again(
    ledger_url: str, fake_valkey_url: str, receiver: Receiver, deadline: pytest.MonkeyPatch
) -> None:
    deadline.setattr("workers.alerts.deadline.DEADLINE_SECONDS", 0.2)
    free = threading.Event()
    receiver.on_post = lambda _: [free.wait(20)].clear()
    settings = {"ALERT_URLS": receiver.url.replace("http://", "json://") + APPRISE}
    with open_alert_worker(ledger_url, fake_valkey_url, **settings) as worker:
        worker.report_missing(*missing(0, 1))
        wait_for(lambda: worker.row("apprise")["attempts"] == 1, 20, "it to be given up")
        free.set()
        wait_for(lambda: worker.row("apprise")["sent_at"], 20, "it to be marked all the same")
        worker.run_after(timedelta(minutes=1))
        assert len(receiver.posts) == 1


def test_hundreds_of_alerts_that_wait_for_a_hanging_channel_delay_no_worker_s_alert_through_another(
    migrated_ledger_url: str, fake_valkey_url: str, receiver: Receiver, deadline: pytest.MonkeyPatch
) -> None:
    with bad_receiver("drips_head") as trap:
        good, settings = channels("webhook", trap.port, receiver)
        with (
            open_alert_worker(migrated_ledger_url, fake_valkey_url, **settings) as one,
            open_alert_worker(migrated_ledger_url, fake_valkey_url, **settings) as two,
        ):
            late = [event(Kind.LATE_DELIVERY, 1, f"late-{number}", promised_at=at(60)) for number in range(100)]
            one.ledger_fixture.apply("late_deliveries", *late)
            two.relay.run()
            wait_for(lambda: sent_by(one, good, 100) and sent_by(two, "log", 100), 30, "all through the others")
            assert len([row for row in one.rows("webhook") if row["leased_until"]]) == 2 * BATCH, (
                "no more than there is room for"
            )
            one.report_missing(*missing(0, 1))
            two.now += timedelta(seconds=1)
            wait_for(lambda: sent_by(two, good, 101) and sent_by(two, "log", 101), 20, "the urgent one")
            deadline.setattr("workers.alerts.deadline.DEADLINE_SECONDS", 0.1)
            trap.close()
