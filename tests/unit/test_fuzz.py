"""The fuzzer itself finds a decoder that breaks its contract, keeps the body, and judges that body the same again."""

from datetime import tzinfo
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.contracts import CONTRACTS, Contract
from schemas.events import Event
from schemas.failures import DecodeError, Reason
from tests.fuzz import loop
from tests.fuzz.__main__ import app
from tests.fuzz.odd import CANARY

QUOTE = f"$.order_id: expected string, got {CANARY}"


def broken(by: Exception) -> Contract:
    """The decoder of Instacart with a defect that few bodies meet."""
    sound = CONTRACTS["instacart"]

    def decode(body: bytes, event_id: str, zone: tzinfo) -> Event:
        if CANARY.encode() in body:
            raise by
        return sound.decode(body, event_id, zone)

    return sound._replace(decode=decode)


def said(*args: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, args)
    return ended.exit_code, ended.output


@pytest.mark.parametrize(
    "defect",
    [
        KeyError("a bug"),
        DecodeError(Reason.WRONG_TYPE, QUOTE),
        DecodeError(Reason.WRONG_TYPE, "order_id: expected string, got null"),
        DecodeError(Reason.WRONG_TYPE, "$.jane: expected string, got null"),
        DecodeError(Reason.WRONG_TYPE, "$.order_id: expected string, got 5551234567"),
    ],
    ids=["another error", "a quote", "no place", "a place of the body's", "a number of the body's"],
)
def test_a_decoder_that_breaks_its_contract_is_found_and_the_body_is_kept(
    defect: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CONTRACTS, "instacart", broken(defect))
    code, text = said("--engine", "loop", "--bodies", "2000", "--folder", str(tmp_path))
    (finding,) = (tmp_path / "findings").iterdir()
    assert code == 1
    assert f"--replay {finding}" in text
    assert CANARY.encode() in finding.read_bytes()
    assert said("--replay", str(finding))[0] == 1
    monkeypatch.undo()
    assert said("--replay", str(finding))[0] == 0


def test_correct_decoders_pass_every_body_and_outcomes_are_counted(tmp_path: Path) -> None:
    code, text = said("--engine", "loop", "--bodies", "1500", "--folder", str(tmp_path))
    assert (code, list((tmp_path / "findings").iterdir())) == (0, [])
    assert "1,500 bodies" in text


def test_the_same_seed_makes_the_same_bodies_of_every_outcome() -> None:
    one, other = loop.Tally(), loop.Tally()
    for tally in (one, other):
        loop.run(tally, 7, lambda tally=tally: tally.bodies < 1500)  # type: ignore[misc]
    assert one == other
    assert {outcome for _, outcome in one.outcomes} == {
        "decoded",
        "malformed",
        "wrong_type",
        "no_event",
        "no_order",
        "compression",
    }
