"""The shared step when the network answers otherwise than modelled: slower, never broken."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peercell.agents.control.device import Device, Weights
from peercell.agents.control.paths import Span, Track
from peercell.agents.control.pricing import (
    OVER,
    UNDER,
    Band,
    Statement,
    View,
    next_prices,
    price_at,
)
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


@settings(max_examples=90)
@given(seed=st.integers(0, 10_000))
def test_wrong_slopes_of_several_limits_only_slow_and_what_was_learnt_stays(seed: int) -> None:
    """A feeder of some buses, PV and batteries, that answers up to 7 times as the paths say."""
    chance = np.random.default_rng(seed)
    true_by = float(chance.uniform(0.3, 5.0) if chance.random() < 0.2 else chance.uniform(5.0, 7.0))
    ways, devices = _feeder(chance)
    tracks = {member: Track(way) for member, way in enumerate(ways)}
    slopes = np.array([[a.shared(b)[0] for b in tracks.values()] for a in tracks.values()])
    planned_kw = np.array([device.planned_kw for device in devices])
    rise_pu = true_by * slopes
    # The plan lifts the highest voltage by this much, whatever the network.
    scale = chance.uniform(0.055, 0.13) / (rise_pu @ planned_kw).max()
    ways = [tuple(Span(s.branch, s.per_kw * scale, 0.0) for s in way) for way in ways]
    tracks = {member: Track(way) for member, way in enumerate(ways)}
    prices: tuple[LimitPrice, ...] = ()
    trial, late = Trial(), []
    for epoch in range(80):
        at = [price_at(track, prices, tracks) for track in tracks.values()]
        powers = [device.best(*price)[0] for device, price in zip(devices, at, strict=True)]
        v_pu = 1.0 + scale * rise_pu @ np.array(powers)
        told = [device.response(*price) for device, price in zip(devices, at, strict=True)]
        answers = [(Answer(one.along, one.edge, one.reactive, one.gap),) for one in told]
        said = tuple(
            Statement(member, State(v_pu=float(v), answers=answer), way)
            for member, (v, answer, way) in enumerate(zip(v_pu, answers, ways, strict=True))
        )
        if epoch >= 40:
            late.append(max(BAND.excess(OVER, v_pu.max()), BAND.excess(UNDER, v_pu.min())))
        prices, trial = next_prices(View(said, prices, BAND, trial))
    assert max(late) <= 1e-3


def _feeder(chance: np.random.Generator) -> tuple[list[tuple[Span, ...]], list[Device]]:
    """Return one to three buses in a row, a PV or a battery at each, without reactive power."""
    ways: list[tuple[Span, ...]] = []
    devices = []
    for number in range(chance.integers(1, 4)):
        span = Span(f"s{number}", float(chance.uniform(2e-4, 2e-3)), 0.0)
        ways.append((*(ways[-1] if ways else ()), span))
        rating_kva, is_pv = float(chance.uniform(10.0, 100.0)), bool(chance.random() < 0.5)
        devices.append(
            Device(
                p_kw_min=0.0 if is_pv else -0.3 * rating_kva,
                p_kw_max=0.9 * rating_kva,
                planned_kw=0.9 * rating_kva,
                rating_kva=rating_kva,
                q_kvar_max=0.0,
                weights=Weights(
                    linear=1.0 if is_pv else 0.0,
                    active=float(chance.uniform(0.3, 3.0)) / rating_kva,
                    reactive=1.0,
                ),
            )
        )
    return ways, devices


@pytest.mark.parametrize(("kind", "gain"), [(UNDER, 6.25), (OVER, 5.0)])
def test_a_limit_whose_price_ends_is_no_reason_to_forget(kind: int, gain: float) -> None:
    """Under-voltage is far, its price only vanishes; over-voltage was to come to its bound."""
    state = State(v_pu=1.06, answers=(Answer(KW_PER_PRICE, 0.0, 0.0, 0.0),))
    said = (Statement(0, state, (Span("a", PU_PER_KW, 0.0),)),)
    excess = BAND.excess(kind, 1.06)
    trial = Trial(gain=6.25, member=0, kind=kind, excess=excess, reaches=kind == OVER)
    found = next_prices(View(said, (LimitPrice(0, kind, 0.01),), BAND, trial))[1]
    assert found.gain == pytest.approx(gain)


def test_what_only_undoes_the_step_before_is_no_news() -> None:
    def gain(before: float) -> float:
        state = State(v_pu=1.11, answers=(Answer(KW_PER_PRICE, 0.0, 0.0, 0.0),))
        said = (Statement(0, state, (Span("a", PU_PER_KW, 0.0),)),)
        trial = Trial(gain=1.0, member=0, kind=OVER, excess=-0.003, before=before)
        return next_prices(View(said, (), BAND, trial))[1].gain

    assert gain(0.0) == gain(0.01) == gain(-0.06) == 1.0
    assert gain(0.06) == gain(0.059) == 2.0


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
