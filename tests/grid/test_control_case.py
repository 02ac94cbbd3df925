"""A control case is what its file says, and says what is wrong with it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.grid.builders import make_cell

from peercell.grid.control_case import CaseFile, ControlCase, control_case, decode_case
from peercell.grid.control_device import DeviceKind
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.errors import (
    ControlCaseError,
    TimeOutsideProfilesError,
    UnknownElementError,
)
from peercell.grid.feeder import Feeder
from peercell.grid.model import Asset, AssetKind, Branch, Bus, Cell, Customer, Source

PV = {"id": "sun", "bus": "2", "planned_kw": 30.0, "rating_kva": 40.0}
BAND = {"below": "", "v_min_pu": 0.96, "v_max_pu": 1.025}


def village(phases: int = 1) -> Cell:
    """Return a source, two houses on a line, and PV and a battery that a case leaves out."""
    houses = (
        Customer(
            id="c1",
            bus="1",
            assets=(Asset(id="load-1", kind=AssetKind.LOAD, p_kw=-10.0, q_kvar=-3.0),),
        ),
        Customer(
            id="c2",
            bus="2",
            assets=(
                Asset(id="load-2", kind=AssetKind.LOAD, p_kw=-6.0, q_kvar=-1.0),
                Asset(id="hp-2", kind=AssetKind.HEAT_PUMP, p_kw=-2.0),
                Asset(id="pv-2", kind=AssetKind.PV, p_kw=20.0),
                Asset(id="bat-2", kind=AssetKind.BATTERY, p_kw=5.0),
            ),
        ),
    )
    return make_cell(
        [Bus(id=name, kv=0.4) for name in "0123"],
        [
            Branch(id="line-1", from_bus="0", to_bus="1", r_ohm=0.05, x_ohm=0.02, rating_a=200.0),
            Branch(id="line-2", from_bus="1", to_bus="2", r_ohm=0.05, x_ohm=0.02),
            Branch(id="line-3", from_bus="1", to_bus="3", r_ohm=0.05, x_ohm=0.02, in_service=False),
        ],
        sources=[Source(id="grid", bus="0", v_pu=1.02)],
        customers=houses,
        phases=phases,
    )


def case_of(cell: Cell | None = None, /, **keys: Any) -> ControlCase:
    """Return the case of a file with one PV plant and these keys."""
    file = {"cell": "test", "devices": [PV]} | keys
    return control_case(decode_case(json.dumps(file).encode()), cell or village(), {})


def powers(case: ControlCase) -> Mapping[str, tuple[float, float]]:
    """Return P and Q of every asset of a case."""
    return {asset.id: (asset.p_kw, asset.q_kvar) for asset in case.cell.assets}


def test_a_case_keeps_the_consumers_and_adds_the_devices() -> None:
    case = case_of(load_scale=0.5)
    assert powers(case) == {
        "load-1": (-5.0, -1.5),
        "load-2": (-3.0, -0.5),
        "hp-2": (-1.0, 0.0),
        "sun": (30.0, 0.0),
    }
    assert case.monitored == ("1", "2")
    assert case.title == "Test"
    device = case.devices[0].can
    assert (device.p_kw_min, device.p_kw_max, device.q_kvar_max) == (0.0, 30.0, 40.0)
    assert device.weights.linear == 1.0
    assert device.weights.active == 1.0 / 40.0
    assert device.weights.reactive == 0.05 / 40.0


def test_injections_take_the_place_of_the_consumers() -> None:
    case = case_of(injections=[{"bus": "3", "p_kw": -4.0, "q_kvar": -1.0}])
    assert powers(case) == {"fixed-0": (-4.0, -1.0), "sun": (30.0, 0.0)}
    assert case.monitored == ("2", "3")


def test_a_flexible_load_is_part_of_what_its_bus_draws() -> None:
    flexible = {"id": "wash", "bus": "2", "kind": "flexible", "planned_kw": -2.0}
    case = case_of(devices=[flexible])
    found = powers(case)
    assert found["wash"] == (-2.0, 0.0)
    assert found["load-2"] == pytest.approx((-4.5, -1.0))
    assert found["hp-2"] == pytest.approx((-1.5, 0.0))
    assert sum(p for p, _ in found.values()) == pytest.approx(-18.0)
    assert (case.devices[0].can.p_kw_min, case.devices[0].can.p_kw_max) == (-2.0, 0.0)
    assert case.devices[0].can.q_kvar_max == 0.0


def test_the_source_takes_the_voltage_of_the_case() -> None:
    assert [source.v_pu for source in case_of(slack_pu=0.97).cell.sources] == [0.97]
    assert [source.v_pu for source in case_of().cell.sources] == [1.02]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"devices": []}, "$.devices"),
        ({"volts": 1}, "volts"),
        ({"devices": [PV | {"planned_kw": "much"}]}, "$.devices[0].planned_kw"),
        ({"devices": [PV | {"planned_kw": -1.0}]}, "devices[0].planned_kw"),
        ({"devices": [PV, PV]}, "devices"),
        ({"devices": [PV | {"p_kw_max": 20.0}]}, "devices[0].planned_kw"),
        ({"devices": [PV | {"rating_kva": 20.0}]}, "devices[0].rating_kva"),
        ({"devices": [PV | {"planned_kw": 0.0, "rating_kva": None}]}, "devices[0].rating_kva"),
        ({"devices": [PV | {"p_kw_max": 35.0}]}, "devices[0].weights.linear"),
        ({"devices": [PV | {"kind": "storage"}]}, "devices[0]"),
        ({"devices": [PV | {"p_kw_min": -5.0, "tan_max": 0.3}]}, "devices[0].tan_max"),
        ({"devices": [PV | {"kind": "flexible"}]}, "devices[0].planned_kw"),
        ({"devices": [PV | {"kind": "flexible", "planned_kw": -9.0}]}, "devices"),
        ({"devices": [PV | {"id": "load-1"}]}, "devices[0].id"),
        ({"limits": {"v_min_pu": 1.05}}, "limits"),
        ({"injections": [], "load_scale": 0.5}, "injections"),
        ({"loadings": [{"branch": "line-2"}]}, "loadings[0].branch"),
        ({"loadings": [{"branch": "line-1"}] * 2}, "loadings"),
        ({"monitored": ["1", "1"]}, "monitored"),
        ({"bands": [BAND]}, "bands"),
        ({"bands": [BAND] * 2, "by_level": True}, "bands"),
        ({"bands": [BAND | {"v_max_pu": 0.96}], "by_level": True}, "bands[0]"),
    ],
)
def test_a_wrong_case_is_refused_by_field(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ControlCaseError) as caught:
        case_of(**keys)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"devices": [PV | {"bus": "22"}]}, 'no bus "22"'),
        ({"injections": [{"bus": "nowhere", "p_kw": 1.0}]}, 'no bus "nowhere"'),
        ({"monitored": ["x"]}, 'no bus "x"'),
        ({"loadings": [{"branch": "trafo"}]}, 'no branch "trafo"'),
        ({"bands": [BAND | {"below": "t9"}], "by_level": True}, 'no level below "t9"'),
    ],
)
def test_what_the_cell_does_not_have_is_named(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UnknownElementError, match=said):
        case_of(**keys)


def test_a_level_may_have_limits_of_its_own() -> None:
    case = case_of(bands=[BAND], by_level=True)
    assert case.band("1") == case.band("2") == (0.96, 1.025)
    assert case_of().band("1") == (0.95, 1.05)
    feeder = ControlledFeeder(case)
    assert feeder.high_pu.tolist() == [1.025, 1.025]
    v_pu = feeder.solve(*feeder.uncontrolled).v_pu.max()
    assert 1.025 < v_pu < 1.05
    assert not feeder.outcome(*feeder.uncontrolled).in_limits
    assert ControlledFeeder(case_of()).outcome(*feeder.uncontrolled).in_limits


def test_control_is_for_balanced_cells_and_known_times() -> None:
    with pytest.raises(ControlCaseError, match="`cell`"):
        case_of(village(phases=3))
    with pytest.raises(TimeOutsideProfilesError):
        case_of(at=datetime(2016, 5, 28).isoformat())


def test_a_device_without_source_is_named() -> None:
    case = case_of(devices=[PV | {"bus": "3"}])
    with pytest.raises(UnknownElementError, match='bus "3"'):
        ControlledFeeder(case)
    closed = structs.replace(case.cell.branches[2], rating_a=9.0)
    cell = structs.replace(case.cell, branches=(*case.cell.branches[:2], closed))
    with pytest.raises(UnknownElementError, match='branch "line-3"'):
        ControlledFeeder(case_of(cell, loadings=[{"branch": "line-3"}]))


# Up to 10 kW, the line never runs empty: there its loading has a kink.
@given(p_kw=st.floats(0.0, 10.0), q_kvar=st.floats(-20.0, 20.0))
def test_slopes_are_the_derivatives(p_kw: float, q_kvar: float) -> None:
    feeder = ControlledFeeder(case_of(loadings=[{"branch": "line-1"}]))
    at = np.array([p_kw]), np.array([q_kvar])
    slopes = feeder.slopes(*at)
    exact = Feeder(feeder.case.cell)
    all_p, all_q = (fixed.copy() for fixed in exact.nominal)
    all_p[-1], all_q[-1] = p_kw, q_kvar
    answer = exact.sensitivity(all_p, all_q, "2")
    rows = [exact.node_positions(bus)[0] for bus in feeder.case.monitored]
    assert slopes.v_per_kw == pytest.approx(answer.per_kw[rows], rel=1e-5)
    assert slopes.v_per_kvar == pytest.approx(answer.per_kvar[rows], rel=1e-5)
    ends = [feeder.solve(at[0] + step, at[1]).loading_percent for step in (-0.1, 0.1)]
    assert np.abs(slopes.loading) == pytest.approx(feeder.solve(*at).loading_percent)
    rise = (slopes.loading.conj() * slopes.loading_per_kw[:, 0]).real / np.abs(slopes.loading)
    assert (ends[1] - ends[0]) / 0.2 == pytest.approx(rise, abs=1e-3)
    per_kw, per_kvar = feeder.lindistflow()
    assert per_kw == pytest.approx(slopes.v_per_kw, rel=0.1)
    assert per_kvar == pytest.approx(slopes.v_per_kvar, rel=0.1)


@given(
    kind=st.sampled_from(DeviceKind),
    rating_kva=st.floats(1.0, 100.0),
    share=st.just(0.0) | st.floats(0.01, 1.0),
    tan_max=st.none() | st.floats(0.0, 2.0),
)
def test_the_plan_costs_nothing_and_is_within_reach(
    kind: DeviceKind, rating_kva: float, share: float, tan_max: float | None
) -> None:
    planned = share * rating_kva * (-1.0 if kind is DeviceKind.FLEXIBLE else 1.0)
    entry: dict[str, Any] = {"id": "x", "bus": "1", "kind": kind, "planned_kw": planned}
    entry["rating_kva"] = rating_kva
    if kind is DeviceKind.STORAGE:
        entry |= {"p_kw_min": -rating_kva, "p_kw_max": rating_kva}
    elif kind is not DeviceKind.FLEXIBLE:
        entry["tan_max"] = tan_max
    elif planned == 0.0:
        return
    injections = [{"bus": "1", "p_kw": -rating_kva}]
    (device,) = case_of(devices=[entry], injections=injections).devices
    can = device.can
    assert can.cost(planned, 0.0) == 0.0
    assert can.p_kw_min <= planned <= can.p_kw_max
    limit = can.reactive_limit(planned)
    assert 0.0 <= limit <= can.q_kvar_max
    assert np.hypot(planned, limit) <= rating_kva * (1.0 + 1e-9)
    assert can.cost(planned, limit) >= 0.0


def test_what_is_not_json_is_refused_with_its_origin() -> None:
    with pytest.raises(ControlCaseError, match=r"here\.json"):
        decode_case(b"{", "here.json")
    assert decode_case(b'{"cell": "a", "devices": [{"id": "b", "bus": "1"}]}') == CaseFile(
        cell="a",
        devices=decode_case(b'{"cell": "a", "devices": [{"id": "b", "bus": "1"}]}').devices,
    )
