"""What inverters do at a voltage, and where voltage and droop come to rest together."""

import math
from collections.abc import Callable
from datetime import datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.builders import case33, load

from peercell.agents.control.droop import Curve
from peercell.agents.errors import DeviceError
from peercell.broker.cells import load_cell
from peercell.grid.admittance import Real
from peercell.grid.devices.droop import (
    VOLT_VAR_CATEGORY_A,
    VOLT_VAR_CATEGORY_B,
    VOLT_WATT,
    Droop,
    Settled,
    settle,
)
from peercell.grid.devices.errors import HuntingError
from peercell.grid.devices.inverter import Inverter
from peercell.grid.feeder import Feeder
from peercell.grid.model import AssetKind
from peercell.grid.study import powers_at


@pytest.mark.parametrize(
    ("curve", "voltage_pu", "share"),
    [
        (VOLT_VAR_CATEGORY_A, 0.8, 0.25),
        (VOLT_VAR_CATEGORY_A, 0.95, 0.125),
        (VOLT_VAR_CATEGORY_B, 1.0, 0.0),
        (VOLT_VAR_CATEGORY_B, 1.05, -0.22),
        (VOLT_VAR_CATEGORY_B, 2.0, -0.44),
        (VOLT_WATT, 1.06, 1.0),
        (VOLT_WATT, 1.08, 0.6),
        (VOLT_WATT, 1.2, 0.2),
    ],
)
def test_the_default_curves_of_ieee_1547(curve: Curve, voltage_pu: float, share: float) -> None:
    assert curve.at(voltage_pu) == pytest.approx(share)


@pytest.mark.parametrize(
    ("voltage_pu", "available_kw", "expected"),
    [
        (1.0, 8.0, (8.0, 0.0)),
        (1.05, 8.0, (8.0, -2.2)),
        (1.08, 8.0, (6.0, -4.4)),  # volt-watt: 60 % of 10 kVA
        (1.06, 10.0, (10.0 * math.sqrt(1.0 - (0.44 * 2 / 3) ** 2), -4.4 * 2 / 3)),
        (0.9, 0.0, (0.0, 4.4)),  # at night it still holds the voltage
        (1.08, -1.0, (0.0, -4.4)),
    ],
)
def test_the_answer_to_a_voltage(
    voltage_pu: float, available_kw: float, expected: tuple[float, float]
) -> None:
    p_kw, q_kvar = Droop(Inverter(10.0)).answer(voltage_pu, available_kw)
    assert (float(p_kw), float(q_kvar)) == pytest.approx(expected)


def test_each_half_of_the_droop_can_be_off() -> None:
    inverter = Inverter(10.0)
    only_p = Droop(inverter, volt_var=None).answer(1.08, 10.0)
    only_q = Droop(inverter, volt_watt=None).answer(1.2, 5.0)
    assert np.concatenate([only_p, only_q], None) == pytest.approx([6.0, 0.0, 5.0, -4.4])


@pytest.mark.parametrize(
    ("voltages", "shares"),
    [((1.0,), (0.0,)), ((0.9, 1.1), (0.0,)), ((1.1, 0.9), (0.0, 1.0)), ((1.0, 1.0), (0.0, 1.0))],
)
def test_a_curve_must_be_a_function(voltages: tuple[float, ...], shares: tuple[float, ...]) -> None:
    with pytest.raises(DeviceError, match="droop curve"):
        Curve(voltage_pu=voltages, share=shares)


def test_a_curve_is_read_from_configuration() -> None:
    curve = msgspec.toml.decode("voltage_pu = [1.02, 1.05]\nshare = [0.0, -0.44]", type=Curve)
    assert curve == Curve(voltage_pu=(1.02, 1.05), share=(0.0, -0.44))


def one_bus(gain: float, start_pu: float, damping: float) -> Settled:
    """Settle one inverter of 100 kVA on a straight curve, 10 kvar per 0.01 pu, with a loop gain."""
    droop = Droop(
        Inverter(100.0),
        volt_var=Curve(voltage_pu=(0.5, 1.5), share=(5.0, -5.0)),
        volt_watt=None,
    )

    def voltages_of(_: Real, q_kvar: Real) -> Real:
        return np.asarray(start_pu + gain / 1000.0 * q_kvar)

    nothing = np.zeros(1)
    return settle(voltages_of, lambda v: droop.answer(v, 0.0), (nothing, nothing), damping)


@given(st.floats(0.0, 2.7), st.floats(0.95, 1.05))
def test_half_damping_settles_up_to_a_loop_gain_of_nearly_three(
    gain: float, start_pu: float
) -> None:
    """Where the straight lines cross: v = v0 + g (1 - v)."""
    settled = one_bus(gain, start_pu, 0.5)
    crossing = (start_pu + gain) / (1.0 + gain)
    assert settled.voltage_pu[0] == pytest.approx(crossing, abs=1e-6)


@pytest.mark.parametrize(("gain", "damping"), [(1.1, 1.0), (3.1, 0.5), (7.1, 0.25)])
def test_beyond_the_bound_of_its_damping_droop_hunts(gain: float, damping: float) -> None:
    with pytest.raises(HuntingError, match="smaller damping") as caught:
        one_bus(gain, 1.02, damping)
    assert caught.value.exit_code == 5
    assert one_bus(gain, 1.02, damping / 2.0).rounds < 200


PV_BUSES = ("17", "21", "24", "32", "13", "29", "10", "27", "7", "15")
PV_KVA = 500.0


def feeder_with_pv() -> Callable[[Real, Real], Real]:
    """Return the power flow of the 33-bus feeder at 30 % load with ten PV plants."""
    ends = [msgspec.structs.replace(load(f"{bus}-pv", 0.0), bus=bus) for bus in PV_BUSES]
    cell = case33()
    feeder = Feeder(msgspec.structs.replace(cell, customers=(*cell.customers, *ends)))
    p_load, q_load = (0.3 * power[: -len(ends)] for power in feeder.nominal)
    places = [feeder.node_positions(bus)[0] for bus in PV_BUSES]

    def voltages_of(p_kw: Real, q_kvar: Real) -> Real:
        state = feeder.solve(np.append(p_load, p_kw), np.append(q_load, q_kvar))
        return np.asarray(np.abs(state.voltage[places]))

    return voltages_of


def settle_feeder(band_pu: float, damping: float) -> Settled:
    """Settle the ten plants on a curve that falls from 1.02 pu over the band."""
    curve = Curve(voltage_pu=(1.02, 1.02 + band_pu), share=(0.0, -0.44))
    droop = Droop(Inverter(PV_KVA), volt_var=curve, volt_watt=None)
    sun, nothing = np.full(len(PV_BUSES), PV_KVA), np.zeros(len(PV_BUSES))
    return settle(feeder_with_pv(), lambda v: droop.answer(v, sun), (sun, nothing), damping)


@pytest.mark.parametrize("band_pu", [0.12, 0.06, 0.03, 0.015])
def test_half_damping_settles_a_feeder_on_wide_and_narrow_bands(band_pu: float) -> None:
    settled = settle_feeder(band_pu, 0.5)
    assert settled.rounds <= 30
    called = np.interp(settled.voltage_pu, [1.02, 1.02 + band_pu], [0.0, -0.44 * PV_KVA])
    np.testing.assert_allclose(settled.q_kvar, called, atol=1e-3)


def test_undamped_droop_hunts_on_a_narrow_band() -> None:
    assert settle_feeder(0.06, 1.0).rounds > 2 * settle_feeder(0.06, 0.5).rounds
    with pytest.raises(HuntingError, match="does not come to rest"):
        settle_feeder(0.015, 1.0)


def test_the_default_curve_hunts_undamped_on_a_sunny_village() -> None:
    """rural1 at noon of 28 May 2016: 1.0749 pu without droop, a loop gain above 1 with it."""
    loaded = load_cell("rural1")
    feeder = Feeder(loaded.cell)
    p_kw, q_kvar = powers_at(feeder, loaded.profiles, datetime(2016, 5, 28, 12))
    customers = loaded.cell.customers
    kinds = [(customer.bus, asset) for customer in customers for asset in customer.assets]
    plants = [n for n, (_, asset) in enumerate(kinds) if asset.kind is AssetKind.PV]
    places = [feeder.node_positions(kinds[n][0])[0] for n in plants]
    ratings = np.array([kinds[n][1].rating_kva for n in plants], np.float64)
    sun, nothing = p_kw[plants], np.zeros(len(plants))
    droop = Droop(Inverter(ratings, power_factor_min=0.9))

    def solve(p_plants: Real, q_plants: Real) -> Real:
        p_all, q_all = p_kw.copy(), q_kvar.copy()
        p_all[plants], q_all[plants] = p_plants, q_plants
        return np.asarray(np.abs(feeder.solve(p_all, q_all).voltage))

    def settle_village(damping: float) -> Settled:
        return settle(
            lambda p, q: solve(p, q)[places],
            lambda v: droop.answer(v, sun),
            (sun, nothing),
            damping,
        )

    with pytest.raises(HuntingError):
        settle_village(1.0)
    settled = settle_village(0.5)
    assert settled.rounds <= 20
    assert solve(sun, nothing).max() == pytest.approx(1.0749, abs=1e-4)
    assert solve(settled.p_kw, settled.q_kvar).max() < 1.055
