"""A virtual clock: time by time, turn by turn, and within a turn as it was asked for."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.broker.simulated_time import Delivery, SimulatedTime, uncollected

wishes = st.lists(st.tuples(st.integers(0, 3).map(float), st.integers(0, 3)), max_size=30)


@given(wishes)
def test_what_is_due_at_one_time_is_done_turn_by_turn(asked: list[tuple[float, int]]) -> None:
    time = SimulatedTime()
    done: list[tuple[float, int, int]] = []
    for number, (at_s, turn) in enumerate(asked):
        time.at(at_s, lambda *deed: done.append(deed), at_s, turn, number, turn=turn)
    assert not time.run(3.0)
    assert done == sorted(done)
    assert len(done) == len(asked)


@given(wishes, st.integers(0, 30))
def test_a_run_that_was_stopped_goes_on_where_it_was(
    asked: list[tuple[float, int]], stop_after: int
) -> None:
    orders = []
    for stops in (False, True):
        time = SimulatedTime()
        done: list[int] = []
        for number, (at_s, turn) in enumerate(asked):
            time.at(at_s, done.append, number, turn=turn)
        if stops:
            _stop(time, done, stop_after)
            while time.run_next():
                pass
        time.run(3.0)
        orders.append(done)
    assert orders[0] == orders[1]


def _stop(time: SimulatedTime, done: list[int], count: int) -> None:
    assert time.run(3.0, lambda: len(done) == count) == (len(done) == count)


def test_what_is_asked_for_meanwhile_comes_after_all_that_was_due() -> None:
    time, done = SimulatedTime(), []

    def first() -> None:
        done.append("first")
        time.at(1.0, done.append, "asked for meanwhile", turn=0)

    time.at(1.0, done.append, "second", turn=2)
    time.at(1.0, first, turn=1)
    assert not time.run(0.5)
    time.run(1.0)
    assert done == ["first", "second", "asked for meanwhile"]
    assert time.now_s == 1.0
    assert not time.run_next()


def test_what_nobody_delivers_does_not_vanish() -> None:
    time = SimulatedTime()
    time.put(1.0, Delivery(0))
    with pytest.raises(TypeError, match="nobody delivers"):
        time.run(1.0)


def test_the_search_for_circles_goes_on_afterwards() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
