"""Hosts agree on the turn that they live in, whenever each of them asks."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from peercell.broker.config import Clock
from peercell.broker.hosting.turns import turn_at
from peercell.broker.plans.live import lead_s

CLOCK = Clock(start=datetime(2016, 5, 28), speed=180.0, intervals=96)
PEERS = 37


@given(st.floats(0.0, 4e9))
def test_a_time_is_in_its_turn_and_the_next_turn_begins_at_its_end(now_s: float) -> None:
    turn = turn_at(CLOCK, PEERS, now_s)
    assert turn.begins_s <= now_s < turn.ends_s
    assert turn_at(CLOCK, PEERS, turn.ends_s).begins_s == turn.ends_s
    assert turn_at(CLOCK, PEERS, (turn.begins_s + turn.ends_s) / 2) == turn


def test_peers_have_time_to_start_and_to_trade_the_first_interval() -> None:
    turn = turn_at(CLOCK, PEERS, 1e9)
    assert 0.0 <= turn.origin_s - turn.begins_s - lead_s(PEERS) - 5.0 < 1.0
    assert turn.ends_s == turn.origin_s + 96 * 5.0
