"""What an inverter gives of what is wanted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.errors import DeviceError
from peercell.grid.devices.inverter import Inverter, Priority

ANY_POWER = st.one_of(
    st.floats(-20.0, 20.0),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, 1e30, -1e30, math.inf, -math.inf]),
)
PRIORITIES = st.sampled_from(Priority)


@st.composite
def inverters(draw: st.DrawFn) -> Inverter:
    """Draw an inverter with or without a triangle and a cap on Q."""
    return Inverter(
        rating_kva=draw(st.floats(0.0, 20.0)),
        power_factor_min=draw(st.one_of(st.sampled_from([0.0, 0.9, 1.0]), st.floats(0.0, 1.0))),
        reactive_kvar_max=draw(st.one_of(st.just(math.inf), st.floats(0.0, 20.0))),
    )


def is_inside(inverter: Inverter, p_kw: float, q_kvar: float, low: float, high: float) -> bool:
    """Tell by the definition, not by the code under test, whether a point is in the range."""
    rating = float(inverter.rating_kva)
    slack = 1e-9 * (1.0 + rating)
    return (
        math.hypot(p_kw, q_kvar) <= rating + slack
        and abs(q_kvar) <= float(inverter.reactive_kvar_max) + slack
        and abs(p_kw) >= float(inverter.power_factor_min) * math.hypot(p_kw, q_kvar) - slack
        and low - slack <= p_kw <= high + slack
    )


@pytest.mark.parametrize(
    ("inverter", "wanted", "available", "priority", "expected"),
    [
        (Inverter(10.0), (6.0, 3.0), 8.0, Priority.ACTIVE, (6.0, 3.0)),
        (Inverter(10.0), (9.0, 3.0), 8.0, Priority.ACTIVE, (8.0, 3.0)),
        (Inverter(10.0), (8.0, 9.0), 8.0, Priority.ACTIVE, (8.0, 6.0)),
        (Inverter(10.0), (8.0, -9.0), 8.0, Priority.REACTIVE, (math.sqrt(19.0), -9.0)),
        (Inverter(10.0), (8.0, 6.0), 20.0, Priority.NEAREST, (8.0, 6.0)),
        (Inverter(10.0), (16.0, 12.0), 20.0, Priority.NEAREST, (8.0, 6.0)),
        # Night: a STATCOM gives up to its rating, a triangle nothing.
        (Inverter(10.0), (0.0, -12.0), 0.0, Priority.ACTIVE, (0.0, -10.0)),
        (Inverter(10.0, power_factor_min=0.9), (0.0, 5.0), 0.0, Priority.ACTIVE, (0.0, 0.0)),
        # A power factor of 0.8 allows 3 kvar beside 4 kW.
        (Inverter(10.0, power_factor_min=0.8), (4.0, 9.0), 9.0, Priority.ACTIVE, (4.0, 3.0)),
        (Inverter(10.0, power_factor_min=0.8), (0.0, 3.0), 9.0, Priority.REACTIVE, (4.0, 3.0)),
        (Inverter(10.0, power_factor_min=0.8), (0.0, 9.0), 9.0, Priority.REACTIVE, (8.0, 6.0)),
        (Inverter(10.0, power_factor_min=0.8), (0.0, 9.0), 4.0, Priority.REACTIVE, (4.0, 3.0)),
        # The foot of (0, 5) on the edge q = 3/4 p.
        (Inverter(10.0, power_factor_min=0.8), (0.0, 5.0), 9.0, Priority.NEAREST, (2.4, 1.8)),
        (Inverter(10.0, reactive_kvar_max=4.4), (5.0, 9.0), 9.0, Priority.NEAREST, (5.0, 4.4)),
        # Nothing is available, or less.
        (Inverter(10.0), (5.0, 0.0), -3.0, Priority.ACTIVE, (0.0, 0.0)),
    ],
)
def test_what_is_given(
    inverter: Inverter,
    wanted: tuple[float, float],
    available: float,
    priority: Priority,
    expected: tuple[float, float],
) -> None:
    p_given, q_given = inverter.give(*wanted, (0.0, available), priority)
    assert (float(p_given), float(q_given)) == pytest.approx(expected)


@given(inverters(), ANY_POWER, ANY_POWER, st.tuples(ANY_POWER, ANY_POWER), PRIORITIES)
def test_whatever_is_wanted_the_answer_is_inside(
    inverter: Inverter,
    p_kw: float,
    q_kvar: float,
    limits: tuple[float, float],
    priority: Priority,
) -> None:
    low, high = limits
    p_given, q_given = inverter.give(p_kw, q_kvar, (low, high), priority)
    rating = float(inverter.rating_kva)
    least = min(max(low, -rating), rating)
    most = max(min(max(high, -rating), rating), least)
    assert is_inside(inverter, float(p_given), float(q_given), least, most)


@given(inverters(), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), PRIORITIES)
def test_what_is_possible_is_given_as_wanted(
    inverter: Inverter, p_share: float, q_share: float, priority: Priority
) -> None:
    rating = float(inverter.rating_kva)
    p_kw = p_share * rating
    q_kvar = q_share * float(inverter.reactive_limit(p_kw))
    p_given, q_given = inverter.give(p_kw, q_kvar, (-rating, rating), priority)
    assert p_given == pytest.approx(p_kw, rel=1e-9, abs=1e-9)
    assert q_given == pytest.approx(q_kvar, rel=1e-9, abs=1e-9)


@given(
    inverters(),
    st.floats(-40.0, 40.0),
    st.floats(-40.0, 40.0),
    st.tuples(st.floats(-20.0, 20.0), st.floats(-20.0, 20.0)),
)
def test_nearest_is_nearer_than_any_other_point_of_the_range(
    inverter: Inverter, p_kw: float, q_kvar: float, limits: tuple[float, float]
) -> None:
    rating = float(inverter.rating_kva)
    low, high = sorted(min(max(limit, -rating), rating) for limit in limits)
    p_given, q_given = inverter.give(p_kw, q_kvar, (low, high), Priority.NEAREST)
    distance = math.hypot(p_given - p_kw, q_given - q_kvar)
    p_other = np.linspace(low, high, 101)[:, np.newaxis]
    q_other = np.linspace(-1.0, 1.0, 41) * inverter.reactive_limit(p_other)
    others = np.hypot(p_other - p_kw, q_other - q_kvar)
    assert distance <= others.min() + 1e-9 * (1.0 + distance)


@given(
    inverters(),
    st.floats(-40.0, 40.0),
    st.floats(-40.0, 40.0),
    st.tuples(st.floats(-20.0, 20.0), st.floats(-20.0, 20.0)),
)
def test_reactive_priority_moves_active_power_no_more_than_needed(
    inverter: Inverter, p_kw: float, q_kvar: float, limits: tuple[float, float]
) -> None:
    rating = float(inverter.rating_kva)
    low, high = sorted(min(max(limit, -rating), rating) for limit in limits)
    p_given, q_given = inverter.give(p_kw, q_kvar, (low, high), Priority.REACTIVE)
    p_other = np.linspace(low, high, 401)
    room = inverter.reactive_limit(p_other)
    # Where the circle is vertical, the last bit of P is worth 1e-8 of the rating in Q.
    assert abs(q_given) >= min(abs(q_kvar), float(room.max())) - 1e-7 * (1.0 + rating)
    serving = p_other[room >= abs(float(q_given))]
    if serving.size:
        assert abs(p_given - p_kw) <= np.abs(serving - p_kw).min() + 1e-7 * (1.0 + rating)


def test_many_inverters_and_many_steps_at_once() -> None:
    fleet = Inverter(np.array([10.0, 5.0]), power_factor_min=np.array([0.0, 0.8]))
    wanted = np.array([[4.0, 4.0], [12.0, 12.0], [0.0, 0.0]])
    for priority in Priority:
        p_given, q_given = fleet.give(wanted, 3.0, (0.0, 6.0), priority)
        assert p_given.shape == q_given.shape == (3, 2)
        for (step, unit), p_kw in np.ndenumerate(wanted):
            single = Inverter(fleet.rating_kva[unit], fleet.power_factor_min[unit])  # type: ignore[index] # arrays here
            expected = single.give(p_kw, 3.0, (0.0, 6.0), priority)
            assert (p_given[step, unit], q_given[step, unit]) == expected


@pytest.mark.parametrize(
    ("p_kw", "q_kvar", "available"),
    [(math.nan, 0.0, 1.0), (0.0, math.nan, 1.0), (0.0, 0.0, math.nan)],
)
def test_not_a_number_is_refused(p_kw: float, q_kvar: float, available: float) -> None:
    with pytest.raises(DeviceError, match="not a number"):
        Inverter(10.0).give(p_kw, q_kvar, (0.0, available))


def test_a_bad_value_in_an_array_is_named_by_its_place() -> None:
    with pytest.raises(DeviceError, match="p_kw is not a number at position 1"):
        Inverter(10.0).give(np.array([1.0, math.nan]), 0.0, (0.0, 5.0))


@pytest.mark.parametrize(
    ("rating", "power_factor", "cap"),
    [(-1.0, 0.0, 1.0), (math.inf, 0.0, 1.0), (1.0, 1.1, 1.0), (1.0, -0.1, 1.0), (1.0, 0.0, -1.0)],
)
def test_impossible_settings_are_refused(rating: float, power_factor: float, cap: float) -> None:
    with pytest.raises(DeviceError, match="it must be from"):
        Inverter(rating, power_factor, cap)
