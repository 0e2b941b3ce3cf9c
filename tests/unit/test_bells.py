"""A lane at hand is started in this process, without a message; any other is rung for."""

from schemas.tasks import LANE_DELIVER
from tests.support.parts import Parts


def test_a_lane_at_hand_is_started_here_and_any_other_is_rung_for(parts: Parts) -> None:
    started: list[str] = []
    parts.bells.at_hand[LANE_DELIVER] = lambda: started.append(LANE_DELIVER)
    parts.bells.start(LANE_DELIVER)
    parts.bells.start("timeline")
    assert started == [LANE_DELIVER]
    assert (parts.rung(LANE_DELIVER), parts.rung("timeline")) == (0, 1)


def test_the_timers_ring_for_a_lane_at_hand_as_for_any_other(parts: Parts) -> None:
    """Whoever died between its commit and the start left an alert to whichever worker hears the bell."""
    parts.bells.at_hand[LANE_DELIVER] = lambda: None
    parts.bells.ring([LANE_DELIVER])
    assert parts.rung(LANE_DELIVER) == 1
