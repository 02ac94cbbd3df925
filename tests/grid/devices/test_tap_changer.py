"""When a tap changer moves, and where it comes to rest."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pandapower as pp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandapower.control import DiscreteTapControl

from peercell.agents.errors import DeviceError
from peercell.broker.cells import load_cell
from peercell.grid.devices.errors import HuntingError
from peercell.grid.devices.tap_changer import ChangerState, observe, rest_positions
from peercell.grid.feeder import Feeder
from peercell.grid.model import Tap, TapChanger, Transformer
from peercell.grid.topology import Switching

STEP = 0.015
TRANSFORMER = Transformer(
    id="t",
    hv_bus="high",
    lv_bus="low",
    taps=tuple(
        Tap(position=n, ratio=1.0 + STEP * n, shift_deg=0.0, r_ohm=0.1, x_ohm=1.0)
        for n in range(-9, 10)
    ),
    rated_hv_kv=110.0,
    rated_lv_kv=20.0,
    changer=TapChanger(bus="low", v_set_pu=1.0, dead_band_pu=0.02, delay_s=60.0),
)


def with_band(dead_band_pu: float) -> Transformer:
    changer = TapChanger(bus="low", v_set_pu=1.0, dead_band_pu=dead_band_pu, delay_s=60.0)
    return msgspec.structs.replace(TRANSFORMER, changer=changer)


def positions(looks: list[tuple[float, float]], start: int = 0) -> list[int]:
    """Return the position after each look (time, voltage)."""
    state = ChangerState(position=start)
    found = []
    for now_s, voltage_pu in looks:
        state = observe(TRANSFORMER, state, voltage_pu, now_s)
        found.append(state.position)
    return found


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        # Inside the band nothing happens; its edge is inside.
        ([(0, 1.0), (100, 1.0099), (200, 1.01), (300, 0.99)], [0, 0, 0, 0]),
        # Outside for the delay: one step, then another delay.
        ([(0, 1.03), (59, 1.03), (60, 1.03), (119, 1.02), (120, 1.02)], [0, 0, 1, 1, 2]),
        # A dip back into the band starts the delay again.
        ([(0, 0.98), (50, 1.0), (55, 0.98), (100, 0.98), (115, 0.98)], [0, 0, 0, 0, -1]),
        # So does a jump to the other side.
        ([(0, 0.98), (50, 1.03), (60, 1.03), (110, 1.03)], [0, 0, 0, 1]),
    ],
)
def test_the_delay_is_definite(looks: list[tuple[float, float]], expected: list[int]) -> None:
    assert positions(looks) == expected


def test_it_stays_at_the_end_of_its_table() -> None:
    assert positions([(0, 1.2), (60, 1.2), (120, 1.2), (180, 1.2)], start=8) == [8, 9, 9, 9]
    assert positions([(0, 0.8), (60, 0.8), (120, 0.8)], start=-9) == [-9, -9, -9]


def test_a_table_whose_ratio_falls_turns_the_steps_around() -> None:
    falling = tuple(
        Tap(position=-tap.position, ratio=tap.ratio, shift_deg=0.0, r_ohm=0.1, x_ohm=1.0)
        for tap in reversed(TRANSFORMER.taps)
    )
    other = msgspec.structs.replace(TRANSFORMER, taps=falling)
    state = observe(other, ChangerState(position=0), 1.05, 0.0)
    assert observe(other, state, 1.05, 60.0).position == -1


def test_a_band_narrower_than_a_step_locks_the_better_position() -> None:
    """At position 0 the voltage is 0.006 above, at 1 it is 0.009 below: 0 is better."""
    narrow = with_band(0.01)
    state = ChangerState(position=0)
    visited = []
    for minute in range(12):
        state = observe(narrow, state, 1.006 - STEP * state.position, 60.0 * minute)
        visited.append(state.position)
    assert visited == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    # The lock ends when a step no longer explains the voltage; then the delay begins.
    state = observe(narrow, state, 1.02, 1000.0)
    assert state.position == 0
    assert observe(narrow, state, 1.02, 1060.0).position == 1


def test_a_change_of_the_grid_between_two_looks_does_not_lock() -> None:
    assert positions([(0, 0.96), (60, 0.96), (900, 1.03), (960, 1.03)]) == [0, -1, -1, 0]


@given(st.floats(0.85, 1.15), st.floats(0.001, 0.05), st.integers(-9, 9))
def test_it_comes_to_rest_in_the_band_or_as_near_as_it_can(
    open_pu: float, dead_band_pu: float, start: int
) -> None:
    unit = with_band(dead_band_pu)

    def voltage(position: int) -> float:
        return open_pu / unit.at(position).ratio

    (rest,) = rest_positions([unit], [start], lambda at: [voltage(at[0])])
    deviation = abs(voltage(rest) - 1.0)
    best = min(abs(voltage(tap.position) - 1.0) for tap in unit.taps)
    assert deviation <= dead_band_pu / 2.0 or deviation == pytest.approx(best)


def test_two_changers_of_one_busbar_move_together() -> None:
    def voltages(at: Sequence[int]) -> list[float]:
        shared = 1.06 - STEP * (at[0] + at[1]) / 2.0
        return [shared, shared]

    assert rest_positions([TRANSFORMER, TRANSFORMER], [0, 0], voltages) == (4, 4)


def test_changers_that_drive_each_other_on_are_reported() -> None:
    """Whenever one of them is content, the other is not."""
    table = {(0, 0): (1.05, 1.0), (1, 0): (1.0, 1.05), (1, 1): (0.95, 1.0), (0, 1): (1.0, 0.95)}
    with pytest.raises(HuntingError, match="tap changers t, t do not come to rest"):
        rest_positions([TRANSFORMER, TRANSFORMER], [0, 0], lambda at: table[at[0], at[1]])


@pytest.mark.parametrize("voltage_pu", [math.nan, math.inf, -math.inf])
def test_odd_voltages(voltage_pu: float) -> None:
    if math.isnan(voltage_pu):
        with pytest.raises(DeviceError, match="voltage_pu is not a number"):
            positions([(0, voltage_pu)])
    else:
        assert positions([(0, voltage_pu), (60, voltage_pu)])[-1] == (1 if voltage_pu > 0 else -1)


@pytest.mark.parametrize(
    ("changer", "words"),
    [
        (None, "no tap changer"),
        (TapChanger(bus="high", v_set_pu=1.0, dead_band_pu=0.02), "high-voltage bus"),
    ],
)
def test_a_changer_that_cannot_work_is_refused(changer: TapChanger | None, words: str) -> None:
    other = msgspec.structs.replace(TRANSFORMER, changer=changer)
    with pytest.raises(DeviceError, match=words):
        observe(other, ChangerState(position=0), 1.0, 0.0)


def substation(source_pu: float, load_mw: float, tap: int) -> Any:
    """Return a 25 MVA substation in pandapower, which steps 1.5 % at the high-voltage side."""
    net = pp.create_empty_network()
    high, low = pp.create_bus(net, 110.0), pp.create_bus(net, 20.0)
    pp.create_ext_grid(net, high, vm_pu=source_pu)
    pp.create_transformer(net, high, low, std_type="25 MVA 110/20 kV")
    net.trafo["tap_pos"] = tap
    pp.create_load(net, low, p_mw=load_mw, q_mvar=0.3 * load_mw)
    return net


@pytest.mark.parametrize(
    ("source_pu", "load_mw", "start"),
    [(1.0, 20.0, 0), (1.1, 5.0, 0), (1.05, -15.0, -5), (0.8, 20.0, -7)],
)
def test_end_position_against_pandapower(source_pu: float, load_mw: float, start: int) -> None:
    """Pandapower's DiscreteTapControl steps by one until the voltage is within its limits."""
    net = substation(source_pu, load_mw, start)
    DiscreteTapControl(net, 0, vm_lower_pu=0.99, vm_upper_pu=1.01)
    pp.runpp(net, run_control=True, numba=False)

    def voltages(at: Sequence[int]) -> list[float]:
        plain.trafo["tap_pos"] = at[0]
        pp.runpp(plain, numba=False)
        return [float(plain.res_bus.vm_pu.iloc[1])]

    plain = substation(source_pu, load_mw, start)
    (rest,) = rest_positions([TRANSFORMER], [start], voltages)
    assert rest == net.trafo.tap_pos.iloc[0]


@pytest.mark.parametrize("start", [(-6, -6), (0, 0), (7, 7)])
def test_the_parallel_changers_of_a_substation_bring_its_busbar_into_the_band(
    start: tuple[int, int],
) -> None:
    cell = load_cell("mvlv108").cell
    units = [unit for unit in cell.transformers if unit.changer]

    def voltages(at: Sequence[int]) -> list[float]:
        taps = {unit.id: position for unit, position in zip(units, at, strict=True)}
        feeder = Feeder(cell, Switching(taps=taps))
        voltage = feeder.solve(*feeder.nominal).voltage
        places = [feeder.node_positions(unit.changer.bus)[0] for unit in units if unit.changer]
        return [float(abs(voltage[place])) for place in places]

    rest = rest_positions(units, start, voltages)
    assert rest[0] == rest[1]
    for unit, voltage_pu in zip(units, voltages(rest), strict=True):
        assert unit.changer is not None
        assert abs(voltage_pu - unit.changer.v_set_pu) <= unit.changer.dead_band_pu / 2.0
