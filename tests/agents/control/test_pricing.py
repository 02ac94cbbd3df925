"""The shared step when the network answers otherwise than modelled: slower, never broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.control.paths import Span, Track
from peercell.agents.control.pricing import OVER, Band, Statement, View, next_prices, price_at
from peercell.agents.control.voltage_messages import GAIN_MAX, Answer, LimitPrice, State, Trial

BAND = Band(v_min_pu=0.95, v_max_pu=1.05, margin_pu=0.0)
KW_PER_PRICE, PU_PER_KW = 100.0, 1e-3


def settled(true_by: float, v_pu: float, epochs: int = 60) -> tuple[float, Trial]:
    """Return the excess and the trial in the end, where a bus is far over its limit.

    `true_by` : by how much the network answers more strongly than the path says.
    """
    prices: tuple[LimitPrice, ...] = ()
    trial = Trial()
    seen_pu = v_pu
    for _ in range(epochs):
        path = (Span("a", PU_PER_KW, 0.0),)
        state = State(v_pu=seen_pu, answers=(Answer(KW_PER_PRICE, 0.0, 0.0, 0.0),))
        prices, trial = next_prices(View((Statement(0, state, path),), prices, BAND, trial))
        price_kw, _ = price_at(Track(path), prices, {0: Track(path)})
        seen_pu = v_pu - true_by * PU_PER_KW * KW_PER_PRICE * price_kw
    return BAND.excess(OVER, seen_pu), trial


@given(true_by=st.floats(0.2, 7.0), v_pu=st.floats(1.051, 1.2))
def test_a_wrong_slope_only_slows(true_by: float, v_pu: float) -> None:
    excess, trial = settled(true_by, v_pu)
    assert abs(excess) <= 1e-3
    assert 1.0 <= trial.gain <= GAIN_MAX


@pytest.mark.parametrize("most_kw", [55.0, 28.0])
def test_prices_of_devices_that_are_at_the_end_of_their_range_are_found_again(
    most_kw: float,
) -> None:
    """A device at its bound tells of no way back, so a step back goes too far: to no price at all.

    Steps that undo each other become shorter until the price is left within the range.
    """
    prices: tuple[LimitPrice, ...] = ()
    trial, seen_pu = Trial(), 1.10
    for _ in range(60):
        path = (Span("a", PU_PER_KW, 0.0),)
        price_kw, _ = price_at(Track(path), prices, {0: Track(path)})
        moved_kw = min(KW_PER_PRICE * price_kw, most_kw)
        seen_pu = 1.10 - 2.0 * PU_PER_KW * moved_kw
        along = KW_PER_PRICE if moved_kw < most_kw else 1e-3
        state = State(v_pu=seen_pu, answers=(Answer(along, 0.0, 0.0, 0.0),))
        prices, trial = next_prices(View((Statement(0, state, path),), prices, BAND, trial))
    assert seen_pu == pytest.approx(1.05, abs=1e-3)


def test_at_twice_the_slope_the_step_would_swing_for_ever() -> None:
    """What the gain is for: at its first value each step undoes the one before."""
    _, trial = settled(2.0, 1.10)
    assert trial.gain == pytest.approx(2.0, rel=0.01)


def test_a_right_slope_teaches_nothing() -> None:
    assert settled(1.0, 1.10)[1].gain == 1.0


def test_a_limit_that_is_no_longer_watched_teaches_nothing() -> None:
    state = State(v_pu=1.06, answers=(Answer(KW_PER_PRICE, 0.0, 0.0, 0.0),))
    said = (Statement(0, state, (Span("a", PU_PER_KW, 0.0),)),)
    _, trial = next_prices(View(said, (), BAND, Trial(1.5, 7, OVER, 0.02)))
    assert trial.gain == 1.5
    assert (trial.member, trial.kind) == (0, OVER)
    assert trial.excess == pytest.approx(0.01)


def test_equal_views_lead_to_equal_bits() -> None:
    def view() -> View:
        state = State(v_pu=1.06, answers=(Answer(KW_PER_PRICE, 0.0, 3.0, 0.0),))
        said = (Statement(0, state, (Span("a", PU_PER_KW, 7e-4),)),)
        return View(said, (), BAND, Trial(1.3, 0, OVER, -0.004))

    first = next_prices(view())
    next_prices.cache_clear()
    assert repr(first) == repr(next_prices(view()))
