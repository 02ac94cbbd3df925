"""A state as bytes: what goes in comes out to seven digits, and no bytes make a wrong one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from peercell.agents.control.state_codec import pack, unpack
from peercell.agents.control.voltage_messages import Answer, Levels, Loading, State

number = st.one_of(st.just(0.0), st.floats(-1e9, 1e9, width=32))
positive = st.one_of(st.just(0.0), st.floats(0.0, 1e9, width=32))
states = st.builds(
    State,
    v_pu=st.floats(0.0, 10.0, width=32),
    answers=st.lists(st.builds(Answer, positive, number, positive, number), max_size=5).map(tuple),
    off_kw=number,
    off_kvar=number,
    loading=st.none() | st.builds(Loading, number, number),
    own=st.none() | st.tuples(positive, positive, positive),
    levels=st.none() | st.builds(Levels, number, number, number),
)


@given(state=states)
def test_a_state_comes_back(state: State) -> None:
    assert unpack(pack(state)) == state


@given(told=st.binary(max_size=60))
def test_no_bytes_make_a_state_that_is_none(told: bytes) -> None:
    state = unpack(told)
    if state is None:
        return
    numbers = [state.v_pu, state.off_kw, state.off_kvar, *(state.own or ())]
    if state.levels is not None:
        numbers += structs.astuple(state.levels)
    for answer in state.answers:
        assert answer.along >= 0.0
        assert answer.reactive >= 0.0
        numbers += [answer.along, answer.edge, answer.reactive, answer.gap]
    assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize(
    ("state", "size"),
    [(State(1.05), 9), (State(1.05, (Answer(30.0, -0.33, 0.0, 0.9),)), 23)],
)
def test_what_is_zero_costs_nothing(state: State, size: int) -> None:
    assert len(pack(state)) == size
