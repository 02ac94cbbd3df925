"""Hosts agree on the turn that they live in, whenever each of them asks."""

from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.broker.cell_for_tests import NOTE

from peercell.broker.config import Clock
from peercell.broker.hosting.host import _tidy
from peercell.broker.hosting.turns import turn_at
from peercell.broker.plans.live import lead_s, write_note

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


def test_journals_of_an_earlier_turn_are_removed_and_those_of_this_one_stay(
    tmp_path: Path,
) -> None:
    journal = tmp_path / "mg1.trader.journal"
    journal.write_bytes(b"old")
    write_note(NOTE, tmp_path)
    _tidy(tmp_path, NOTE)
    assert journal.exists()
    later = structs.replace(NOTE.calendar, origin_s=NOTE.calendar.origin_s + 500.0)
    _tidy(tmp_path, structs.replace(NOTE, calendar=later))
    assert not journal.exists()
