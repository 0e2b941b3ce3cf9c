"""A deployment of the previous release is upgraded in place: nothing is lost or duplicated, old ids and messages work.

What it left is recorded (`tests/releases/0.1.0`): events in every stage, some in the hands of dead workers, failures in every
state, retries, alerts sent, due and leased, Celery messages. The code of today is started on it, on every kind of server and
ledger.
"""

import shutil
from collections.abc import Iterator

import pytest

from tests.releases.present import HANDLERS, Seen, counts
from tests.releases.upgraded import FRESH, NEW, OLD, Upgraded, no_order, today, upgrade
from tests.support.postgresql_server import PostgresqlServer
from tests.support.valkey_servers import RealValkey

REDIS = shutil.which("redis-server")
PLACES = [
    "valkey-sqlite",
    "valkey-postgresql",
    pytest.param("redis-sqlite", marks=pytest.mark.skipif(REDIS is None, reason="no redis-server is installed")),
]


@pytest.fixture(scope="module", params=PLACES)
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """The upgrade, once for each kind of server and ledger."""
    server_name, ledger_name = request.param.split("-")
    folder = tmp_path_factory.mktemp("upgrade")
    database_url = f"sqlite:///{folder / 'ledger.db'}"
    if ledger_name == "postgresql":
        postgresql: PostgresqlServer = request.getfixturevalue("postgresql_process")
        database_url = postgresql.url(postgresql.create_database())
    server = RealValkey(REDIS if server_name == "redis" else None)
    try:
        server.start()
        yield upgrade(server, database_url, folder)
    finally:
        server.discard()


def without(rows: dict[str, list[list[str]]], **gone: list[list[str]]) -> dict[str, list[list[str]]]:
    return {table: [row for row in rows[table] if row not in gone.get(table, [])] for table in rows}


def of_the_story(upgraded: Upgraded, seen: Seen) -> dict[str, list[list[str]]]:
    """The rows of the orders of `story`; those of the other dialects were written by the old release."""
    told = {row[0] for rows in upgraded.release.story["expected"].values() for row in rows}
    return {table: [row for row in rows if row[0] in told] for table, rows in seen.rows.items()}


def test_before_a_worker_starts_all_data_of_the_old_release_is_readable(upgraded: Upgraded) -> None:
    said = upgraded.release.said
    assert upgraded.said["migrate"].exit_code == 0
    old_status = counts(said["status"])
    old_status["outbox"]["too_old"] = 0  # no release before knows this number
    assert upgraded.before.status == old_status
    old = {today(row["id"]): {name: value for name, value in row.items() if name != "id"} for row in said["failed --each"]}
    assert {today(name): row for name, row in upgraded.before.failures.items()} == old


def test_every_event_is_applied_exactly_once(upgraded: Upgraded) -> None:
    expected = upgraded.release.story["expected"]
    assert of_the_story(upgraded, upgraded.after) == without(
        expected,
        order_events=[["toy-1", "order.placed"], ["toy-2", "order.placed"]],
        refunds=[["broken-1", "bread"], ["broken-1", "milk"]],
        late_deliveries=[["broken-0"]],
        customer_mia_alerts=[["broken-0"]],
    ), "all but what waits for a person"
    assert of_the_story(upgraded, upgraded.mended) == expected, "all, after a person's retries"
    done = upgraded.release.story["loyalty"]
    assert sorted([*done, *upgraded.mended.loyalty]) == [*done, "routed-0", "routed-1", "waiting-2"], (
        "a handler of a user's own"
    )


def test_what_the_old_release_had_written_is_still_there(upgraded: Upgraded) -> None:
    for table, rows in upgraded.before.rows.items():
        assert [row for row in rows if row not in upgraded.again.rows[table]] == []
    others = {row[0] for row in upgraded.before.rows["order_events"]} - {
        row[0] for row in upgraded.release.story["expected"]["order_events"]
    }
    assert len(others) >= 3
    assert [row for row in upgraded.again.rows["order_events"] if row[0] in others] == [
        row for row in upgraded.before.rows["order_events"] if row[0] in others
    ]


def test_the_counters_continue_from_their_old_values(upgraded: Upgraded) -> None:
    old, new = upgraded.before.status["inbox"], upgraded.after.status["inbox"]
    assert upgraded.before.status["balanced"]
    assert upgraded.after.status["balanced"]
    assert new["received"] == old["received"] == upgraded.release.story["told"]
    assert new["waiting"] == 0 < old["waiting"]
    assert new["duplicate"] == old["duplicate"] + 2, "one of what was taken, one of what waited"
    assert new["undecodable"] == old["undecodable"] + 2 - 1, "two more bad bodies, one that can be read now"
    assert (new["unrecognised"], new["unrecognised_names"]) == (old["unrecognised"], old["unrecognised_names"])
    for name in HANDLERS:
        was, now = upgraded.before.status["handlers"][name], upgraded.mended.status["handlers"][name]
        assert now["waiting"] == 0
        assert now["applied"] >= was["applied"] + was["waiting"]
        assert now["failed"] == (1 if name == "loyalty" else 0)
    assert upgraded.after.status["refused"] == upgraded.before.status["refused"]


def test_failures_are_shown_under_their_old_ids_and_under_those_of_today(upgraded: Upgraded) -> None:
    assert len(upgraded.release.failure_ids) == 12
    for name in upgraded.release.failure_ids:
        for asked in {name, today(name)}:
            shown = dict(upgraded.shown[asked])
            assert today(shown.pop("id")) == today(name)
            frames = shown.pop("traceback")
            assert (frames is None) == name.startswith(OLD), "decoding keeps no frames"
            assert shown == {key: value for key, value in upgraded.release.said[f"failed show {name}"].items() if key != "id"}


def test_failures_in_retry_are_retried_and_dead_ones_stay_dead(upgraded: Upgraded) -> None:
    left = {today(name): row["state"] for name, row in upgraded.after.failures.items()}
    old = {today(row["id"]): row["state"] for row in upgraded.release.said["failed --each"]}
    kept = {name: state for name, state in old.items() if state != "retrying"}
    assert {name: left.get(name) for name in kept} == kept
    assert sorted({*left} - {*kept}) == sorted(name for name in left if name not in old)
    assert len(left) == len(kept) + 2, "the bad bodies that had waited"
    assert all(name.startswith(f"{NEW}:") for name in {*left} - {*kept}), left


def test_retry_and_discard_accept_the_old_and_the_new_id(upgraded: Upgraded) -> None:
    for name in ("old id", "new id", "dies again", "discarded", "handlers", "revived"):
        assert upgraded.said[name].exit_code == 0, (name, upgraded.said[name])
    dead = upgraded.shown["dead again"]
    assert (today(dead["id"]), dead["state"], dead["attempts"]) == (today(no_order(upgraded.release)), "dead", 1)
    assert dead["task"] != upgraded.shown[no_order(upgraded.release)]["task"], "a person's retry is a new task"
    left = {today(name): row for name, row in upgraded.mended.failures.items()}
    assert left[today(no_order(upgraded.release))]["state"] == "discarded"
    gone = [upgraded.id_of(OLD, "toy-1"), upgraded.id_of(OLD, "toy-2"), upgraded.id_of("refunds", "broken-1")]
    assert [name for name in gone if today(name) in left] == []
    assert upgraded.said["old name"].output == upgraded.said["new name"].output
    assert upgraded.said["old name"].output.count('"id"') == 4, upgraded.said["old name"].output


def test_a_replay_does_not_touch_an_old_failure(upgraded: Upgraded) -> None:
    assert '"events": 0' in upgraded.said["replayed"].output, upgraded.said["replayed"]


def test_every_old_celery_message_is_processed(upgraded: Upgraded) -> None:
    messages = upgraded.release.messages
    assert {"curbside.drain", "drain.retry", "refunds.retry", "curbside.handle.timeline"} <= {each["task"] for each in messages}
    for each in messages:
        assert f"{each['task']}[{each['id']}] received" in upgraded.after.log
    for task in ("drain.retry", "refunds.retry"):
        (retry,) = [each for each in messages if each["task"] == task]
        assert f"{task}[{retry['id']}] succeeded" in upgraded.after.log
    assert "unregistered" not in upgraded.again.log
    assert [line for line in upgraded.after.log.splitlines() if " ERROR " in line] == []


def test_alerts_that_were_due_or_leased_are_sent_once_and_those_that_were_sent_are_not(upgraded: Upgraded) -> None:
    ids = [name for name, _ in upgraded.again.posts]
    assert len(ids) == len(set(ids)), "none twice"
    bodies = "".join(body for _, body in upgraded.again.posts)
    for order in ("unsent-1", "unsent-2", "leased-1", "taken-1", "waiting-1", "broken-0"):
        assert f'"order_id":"{order}"' in bodies, order
    assert '"order_id":"old-0"' not in bodies
    status = upgraded.again.status["outbox"]
    assert status["waiting"] == 0
    assert status["sent"] == upgraded.before.status["outbox"]["sent"] + upgraded.before.status["outbox"]["waiting"] + 2 * 6
    assert len(ids) == upgraded.before.status["outbox"]["waiting"] + 6


def test_an_order_history_is_the_same_as_in_the_old_release(upgraded: Upgraded) -> None:
    assert len(upgraded.orders) == 6
    for command, told in upgraded.orders.items():
        now, old = str(told), str(upgraded.release.said[f"trace {command.split()[1]}"])
        assert now.replace(f"'{NEW}'", f"'{OLD}'") == old


def test_a_second_start_changes_nothing_and_duplicates_of_old_events_are_dropped(upgraded: Upgraded) -> None:
    fresh = {table: [row for row in rows if row[0] != FRESH] for table, rows in upgraded.again.rows.items()}
    assert fresh == upgraded.mended.rows
    assert [FRESH, "fulfillment.picking"] in upgraded.again.rows["order_events"]
    assert upgraded.again.failures == upgraded.mended.failures
    assert upgraded.again.loyalty == upgraded.mended.loyalty
    assert upgraded.again.posts == upgraded.mended.posts
    was, now = upgraded.mended.status["inbox"], upgraded.again.status["inbox"]
    assert (now["received"], now["duplicate"], now["routed"]) == (was["received"] + 2, was["duplicate"] + 1, was["routed"] + 1)


def test_no_key_without_a_lifetime_is_left(upgraded: Upgraded) -> None:
    assert upgraded.left == []
