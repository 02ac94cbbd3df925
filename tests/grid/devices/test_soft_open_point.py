"""Which powers a soft open point holds."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.builders import case33, load

from peercell.agents.errors import DeviceError
from peercell.grid.devices.soft_open_point import SoftOpenPoint, SoftOpenPointPower
from peercell.grid.feeder import Feeder

ANY_POWER = st.one_of(st.floats(-2000.0, 2000.0), st.floats(allow_nan=False))
POINTS = st.builds(SoftOpenPoint, st.floats(0.0, 2000.0), st.floats(0.0, 0.5))


def imbalance_kw(point: SoftOpenPoint, power: SoftOpenPointPower) -> float:
    """Return how much power comes from nowhere."""
    return float(power.p1_kw + power.p2_kw + point.losses_kw(power))


@given(POINTS, ANY_POWER, ANY_POWER, ANY_POWER)
def test_whatever_is_wanted_energy_is_conserved_within_the_ratings(
    point: SoftOpenPoint, p1_kw: float, q1_kvar: float, q2_kvar: float
) -> None:
    power = point.give(p1_kw, q1_kvar, q2_kvar)
    rating = float(point.rating_kva)
    assert abs(imbalance_kw(point, power)) <= 1e-9
    assert math.hypot(power.p1_kw, power.q1_kvar) <= rating * (1.0 + 1e-12)
    assert math.hypot(power.p2_kw, power.q2_kvar) <= rating * (1.0 + 1e-12)
    assert point.losses_kw(power) >= 0.0


@given(POINTS, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_what_fits_is_given_as_wanted(
    point: SoftOpenPoint, p1_share: float, q1_share: float, q2_share: float
) -> None:
    wanted = [share * float(point.rating_kva) for share in (p1_share, q1_share, q2_share)]
    power = point.give(*wanted)
    if math.hypot(power.p2_kw, power.q2_kvar) < float(point.rating_kva):
        assert [power.p1_kw, power.q1_kvar, power.q2_kvar] == wanted


@given(POINTS, st.floats(-500.0, 500.0), st.floats(-500.0, 500.0), st.floats(-500.0, 500.0))
def test_either_end_may_lead(
    point: SoftOpenPoint, p1_kw: float, q1_kvar: float, q2_kvar: float
) -> None:
    power = point.give(p1_kw, q1_kvar, q2_kvar)
    other = point.give(float(power.p2_kw), float(power.q2_kvar), float(power.q1_kvar))
    assert other.p2_kw == pytest.approx(float(power.p1_kw), rel=1e-9, abs=1e-9)


def test_without_losses_what_goes_in_comes_out() -> None:
    power = SoftOpenPoint(1000.0, loss_share=0.0).give(-300.0, 100.0, -200.0)
    assert [float(power.p1_kw), float(power.p2_kw)] == [-300.0, 300.0]


def test_an_idle_point_draws_nothing() -> None:
    power = SoftOpenPoint(1000.0).give(0.0, 0.0, 0.0)
    assert [float(power.p1_kw), float(power.p2_kw)] == [0.0, 0.0]


def test_a_wish_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(DeviceError, match="q2_kvar is not a number"):
        SoftOpenPoint(1000.0).give(0.0, 0.0, math.nan)


def test_losses_of_the_33_bus_feeder_with_a_soft_open_point_at_line_37() -> None:
    """The optimum of a branch-flow cone program for buses 24 and 28, 1 MVA, 2 % per converter."""
    cell = case33()
    ends = [msgspec.structs.replace(load(f"{bus}-sop", 0.0), bus=bus) for bus in ("24", "28")]
    cell = msgspec.structs.replace(cell, customers=(*cell.customers, *ends))
    point = SoftOpenPoint(1000.0, loss_share=0.02)
    power = point.give(-354.0, 226.0, 946.0)
    assert power.p2_kw == pytest.approx(325.0, abs=1.0)
    feeder = Feeder(cell)
    p_kw, q_kvar = feeder.nominal
    p_kw[-2:] = power.p1_kw, power.p2_kw
    q_kvar[-2:] = power.q1_kvar, power.q2_kvar
    state = feeder.solve(p_kw, q_kvar)
    line_kw = state.source_kva.real + float(np.sum(p_kw))
    assert line_kw == pytest.approx(134.08, abs=0.05)
    assert line_kw + point.losses_kw(power) == pytest.approx(162.47, abs=0.05)
    assert np.abs(state.voltage).min() == pytest.approx(0.9268, abs=1e-4)
