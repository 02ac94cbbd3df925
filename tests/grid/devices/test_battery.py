"""How a battery fills and empties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.errors import DeviceError
from peercell.grid.devices.battery import Battery


@st.composite
def batteries(draw: st.DrawFn, self_discharge_per_h: float | None = None) -> Battery:
    """Draw a battery of household to feeder size."""
    if self_discharge_per_h is None:
        self_discharge_per_h = draw(st.one_of(st.just(0.0), st.floats(1e-6, 1.0)))
    return Battery(
        capacity_kwh=draw(st.floats(0.0, 1000.0)),
        charge_kw_max=draw(st.floats(0.0, 500.0)),
        discharge_kw_max=draw(st.floats(0.0, 500.0)),
        charge_efficiency=draw(st.floats(0.5, 1.0)),
        discharge_efficiency=draw(st.floats(0.5, 1.0)),
        self_discharge_per_h=self_discharge_per_h,
    )


WANTED = st.one_of(st.floats(-600.0, 600.0), st.floats(allow_nan=False))
STEPS = st.lists(st.tuples(WANTED, st.floats(0.1, 7200.0)), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("energy", "wanted", "dt_s", "expected"),
    [
        (5.0, 2.0, 3600.0, (2.0, 2.0, 1.0)),  # 2 kWh out cost 3 kWh: 1 kWh in heat
        (5.0, -3.0, 3600.0, (-3.0, 7.0, 1.0)),  # 3 kWh in leave 2 kWh
        (5.0, 9.0, 3600.0, (10.0 / 3.0, 0.0, 5.0 / 3.0)),  # empty after the hour
        (5.0, 9.0, 900.0, (4.0, 3.5, 0.5)),  # the converter's limit
        (9.0, -9.0, 3600.0, (-1.5, 10.0, 0.5)),  # full after the hour
        (5.0, 0.0, 3600.0, (0.0, 5.0, 0.0)),
    ],
)
def test_a_step(
    energy: float, wanted: float, dt_s: float, expected: tuple[float, float, float]
) -> None:
    battery = Battery(10.0, 4.0, 4.0, charge_efficiency=2 / 3, discharge_efficiency=2 / 3)
    step = battery.step(energy, wanted, dt_s)
    assert (step.power_kw, step.energy_kwh, step.loss_kwh) == pytest.approx(expected)


@given(batteries(), st.floats(0.0, 1.0), STEPS)
def test_energy_is_conserved_and_stays_within_the_battery(
    battery: Battery, fill: float, steps: list[tuple[float, float]]
) -> None:
    capacity = float(battery.capacity_kwh)
    energy = first = fill * capacity
    injected = lost = 0.0
    for wanted, dt_s in steps:
        step = battery.step(energy, wanted, dt_s)
        assert 0.0 <= step.energy_kwh <= capacity
        assert -battery.charge_kw_max <= step.power_kw <= battery.discharge_kw_max
        assert step.power_kw * np.sign(wanted) >= 0.0
        assert step.loss_kwh >= -1e-9
        energy = float(step.energy_kwh)
        injected += float(step.power_kw) * dt_s / 3600.0
        lost += float(step.loss_kwh)
    assert first - energy == pytest.approx(injected + lost, rel=1e-9, abs=1e-9)


@given(batteries(self_discharge_per_h=0.0), st.floats(0.0, 1.0), WANTED, st.floats(1.0, 7200.0))
def test_losses_are_those_of_the_converter(
    battery: Battery, fill: float, wanted: float, dt_s: float
) -> None:
    step = battery.step(fill * float(battery.capacity_kwh), wanted, dt_s)
    throughput = abs(float(step.power_kw)) * dt_s / 3600.0
    share = (
        1.0 / float(battery.discharge_efficiency) - 1.0
        if step.power_kw > 0.0
        else 1.0 - float(battery.charge_efficiency)
    )
    assert step.loss_kwh == pytest.approx(throughput * share, rel=1e-6, abs=1e-6)


@given(batteries(), st.floats(0.0, 1.0), st.floats(-100.0, 100.0), st.floats(10.0, 7200.0))
def test_two_half_steps_are_one_step(
    battery: Battery, fill: float, wanted: float, dt_s: float
) -> None:
    energy = fill * float(battery.capacity_kwh)
    whole = battery.step(energy, wanted, dt_s)
    half = battery.step(energy, whole.power_kw, dt_s / 2.0)
    again = battery.step(half.energy_kwh, whole.power_kw, dt_s / 2.0)
    assert again.energy_kwh == pytest.approx(float(whole.energy_kwh), rel=1e-9, abs=1e-9)


def test_self_discharge_halves_the_store_in_its_half_life() -> None:
    battery = Battery(10.0, 5.0, 5.0, self_discharge_per_h=math.log(2.0))
    step = battery.step(8.0, 0.0, 3600.0)
    assert step.energy_kwh == pytest.approx(4.0)
    assert step.loss_kwh == pytest.approx(4.0)


def test_a_fleet_steps_at_once() -> None:
    fleet = Battery(np.array([10.0, 2.0]), 4.0, np.array([4.0, 1.0]))
    step = fleet.step(np.array([5.0, 2.0]), np.array([3.0, 3.0]), 900.0)
    np.testing.assert_allclose(step.power_kw, [3.0, 1.0])


@pytest.mark.parametrize("dt_s", [0.0, -1.0, math.nan, math.inf])
def test_time_must_pass(dt_s: float) -> None:
    with pytest.raises(DeviceError, match="time steps are positive"):
        Battery(10.0, 5.0, 5.0).step(5.0, 1.0, dt_s)


@pytest.mark.parametrize("energy", [-0.1, 10.1, math.inf, math.nan])
def test_a_store_outside_the_battery_is_refused(energy: float) -> None:
    with pytest.raises(DeviceError, match="energy_kwh"):
        Battery(10.0, 5.0, 5.0).step(energy, 1.0, 900.0)


def test_a_wish_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(DeviceError, match="wanted_kw is not a number"):
        Battery(10.0, 5.0, 5.0).step(5.0, math.nan, 900.0)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"charge_efficiency is 1\.2"):
        Battery(10.0, 5.0, 5.0, charge_efficiency=1.2)
