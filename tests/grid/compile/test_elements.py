"""Every element that pandapower converts means the same in a cell, in every state it can have."""

from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from tests.grid.compile.networks import Net, bus, compiled, feeder, line

from peercell.grid.compile.agreement import DIFFERENCE_PU_MAX
from peercell.grid.compile.libraries import pandapower, quiet
from peercell.grid.compile.reference import Point, reference
from peercell.grid.feeder import Feeder
from peercell.grid.model import AssetKind, BranchKind, Cell
from peercell.grid.topology import Switching

# The self-check of every compilation compares all complex voltages, so a change needs no assertion
# of its own beyond what the cell must show.


def three_windings(net: Net) -> None:
    mv, lv = bus(net, 10.0), bus(net, 0.4)
    with quiet():
        pandapower().create_transformer3w_from_parameters(
            net, 0, mv, lv, 20.0, 10.0, 0.4, 1.0, 0.6, 0.4, 6.0, 5.0, 7.0, 0.5, 0.4, 0.6, 2.0, 0.3,
            shift_mv_degree=30.0, shift_lv_degree=150.0, tap_side="mv", tap_neutral=0, tap_min=-4,
            tap_max=4, tap_pos=3, tap_step_percent=1.5, tap_changer_type="Ratio",
        )  # fmt: skip
        for place, p_mw in ((mv, 0.3), (lv, 0.2)):
            pandapower().create_load(net, place, p_mw, 0.3 * p_mw)


def impedance(net: Net) -> None:
    with quiet():
        pandapower().create_impedance(net, 2, bus(net), 0.02, 0.05, 0.5)
        pandapower().create_load(net, 4, 0.01)


def impedance_between_voltages(net: Net) -> None:
    with quiet():
        pandapower().create_impedance(net, 0, bus(net, 10.0), 0.001, 0.01, 1.0)
        pandapower().create_load(net, 4, 0.1)


def line_between_voltages(net: Net) -> None:
    net.bus.loc[3, "vn_kv"] = 0.416


def switch_with_impedance(net: Net) -> None:
    with quiet():
        pandapower().create_switch(net, 3, bus(net), et="b", z_ohm=0.05)
        pandapower().create_load(net, 4, 0.02)


def open_switch_with_impedance(net: Net) -> None:
    switch_with_impedance(net)
    net.switch["closed"] = False


def bus_bar(net: Net) -> None:
    with quiet():
        pandapower().create_switch(net, 3, bus(net), et="b")
        pandapower().create_load(net, 4, 0.02)


def line_open_at_one_end(net: Net) -> None:
    ring = line(net, 3, 1)
    with quiet():
        pandapower().create_switch(net, 1, ring, et="l", closed=False)


def line_open_at_both_ends(net: Net) -> None:
    line_open_at_one_end(net)
    with quiet():
        pandapower().create_switch(net, 3, 2, et="l", closed=False)


def transformer_open_below(net: Net) -> None:
    with quiet():
        second = pandapower().create_transformer(net, 0, 1, "0.25 MVA 20/0.4 kV")
        pandapower().create_switch(net, 1, second, et="t", closed=False)


def three_windings_open(net: Net) -> None:
    three_windings(net)
    with quiet():
        pandapower().create_switch(net, 4, 0, et="t3", closed=False)


def parallel_and_derated(net: Net) -> None:
    net.line.loc[0, ["parallel", "df"]] = [3, 0.8]
    net.trafo.loc[0, ["parallel", "df"]] = [2, 0.9]


def conducting_line(net: Net) -> None:
    net.line["g_us_per_km"] = 40.0


def voltage_dependent_loads(net: Net) -> None:
    net.load[["const_z_p_percent", "const_z_q_percent"]] = [30.0, 60.0]
    net.load[["const_i_p_percent", "const_i_q_percent"]] = [20.0, 10.0]


def mixed_voltage_dependence(net: Net) -> None:
    voltage_dependent_loads(net)
    with quiet():
        pandapower().create_load(net, 3, 0.02, const_z_p_percent=90.0)


def shunts(net: Net) -> None:
    with quiet():
        pandapower().create_shunt(net, 3, q_mvar=-0.02, p_mw=0.001, vn_kv=0.38, step=2)
        pandapower().create_ward(net, 2, 0.01, 0.002, 0.005, -0.004)


def motor(net: Net) -> None:
    with quiet():
        pandapower().create_motor(
            net, 3, 0.02, cos_phi=0.87, efficiency_percent=94.0, loading_percent=80.0, scaling=0.9
        )


def plants(net: Net) -> None:
    with quiet():
        pandapower().create_sgen(net, 3, 0.04, 0.005, scaling=0.7, type="PV")
        pandapower().create_storage(net, 3, p_mw=-0.01, max_e_mwh=0.02, q_mvar=0.003)


def scaled_loads(net: Net) -> None:
    net.load["scaling"] = [1.4, 0.3]


def tabular_tap(net: Net) -> None:
    net.trafo.loc[0, ["tap_dependency_table", "id_characteristic_table", "tap_pos"]] = [True, 0, 1]
    net.trafo["tap_changer_type"] = "Tabular"
    net["trafo_characteristic_table"] = pd.DataFrame(
        {
            "id_characteristic": 0,
            "step": [-2, -1, 0, 1, 2],
            "voltage_ratio": [0.94, 0.98, 1.0, 1.03, 1.05],
            "angle_deg": [0.0, 0.0, 0.0, 1.0, 2.0],
            "vk_percent": [6.1, 6.0, 6.0, 6.2, 6.4],
            "vkr_percent": [1.4, 1.4, 1.4, 1.5, 1.5],
        }
    )


def two_sources(net: Net) -> None:
    with quiet():
        pandapower().create_ext_grid(net, 3, vm_pu=1.0, va_degree=-147.0)


def slack_generator(net: Net) -> None:
    with quiet():
        pandapower().create_gen(net, 0, p_mw=0.0, vm_pu=1.01, slack=True)
    net.ext_grid["va_degree"] = 0.0


def out_of_service(net: Net) -> None:
    line(net, 1, 3, in_service=False)
    net.load.loc[0, "in_service"] = False
    with quiet():
        pandapower().create_transformer(net, 0, 1, "0.25 MVA 20/0.4 kV", in_service=False)


def dead_bus(net: Net) -> None:
    gone = bus(net, in_service=False)
    line(net, 3, gone)
    line(net, gone, 1)
    with quiet():
        pandapower().create_load(net, gone, 0.5)
        pandapower().create_switch(net, 3, gone, et="b")
        pandapower().create_transformer(net, 0, gone, "0.25 MVA 20/0.4 kV")


def island(net: Net) -> None:
    far = bus(net)
    line(net, far, bus(net))
    with quiet():
        pandapower().create_load(net, far, 0.5)


def unsorted_index(net: Net) -> None:
    net.line.index = [17, 4]
    net.load.index = [9, 2]
    with quiet():
        pandapower().create_switch(net, 3, 4, et="l")


CHANGES = [
    three_windings, impedance, impedance_between_voltages, line_between_voltages,
    switch_with_impedance, open_switch_with_impedance, bus_bar, line_open_at_one_end,
    line_open_at_both_ends, transformer_open_below, three_windings_open, parallel_and_derated,
    conducting_line, voltage_dependent_loads, mixed_voltage_dependence, shunts, motor, plants,
    scaled_loads, tabular_tap, two_sources, slack_generator, out_of_service, dead_bus, island,
    unsorted_index,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_element_agrees_with_pandapower(change: Callable[[Net], None]) -> None:
    net = feeder()
    change(net)
    assert compiled(net).agreement.difference_pu <= DIFFERENCE_PU_MAX


def changed(change: Callable[[Net], None]) -> Cell:
    net = feeder()
    change(net)
    return compiled(net).cell


def test_three_windings_become_three_transformers_around_a_star() -> None:
    cell = changed(three_windings)
    windings = [unit for unit in cell.transformers if unit.id.startswith("t3w-0-")]
    assert [(unit.hv_bus, unit.lv_bus) for unit in windings] == [
        ("0", "t3w-0-star"),
        ("t3w-0-star", "4"),
        ("t3w-0-star", "5"),
    ]
    assert [len(unit.taps) for unit in windings] == [1, 9, 1]
    assert [unit.rating_kva for unit in windings] == [1000.0, 600.0, 400.0]


def test_mixed_voltage_dependence_keeps_each_loads_own_shares() -> None:
    net = feeder()
    mixed_voltage_dependence(net)
    found = compiled(net)
    assert [asset.z_p for asset in found.cell.assets] == [0.3, 0.3, 0.9]
    assert "pandapower averages them" in found.agreement.point


def test_ratings_count_parallel_systems_and_derating() -> None:
    cell = changed(parallel_and_derated)
    assert cell.branches[0].rating_a == pytest.approx(270.0 * 3 * 0.8)
    assert cell.transformers[0].rating_kva == pytest.approx(400.0 * 2 * 0.9)


def test_unknown_ratings_stay_unknown() -> None:
    net = feeder()
    net.line["max_i_ka"], net.trafo["sn_mva"] = 99999.0, 9999.0
    cell = compiled(net).cell
    assert [branch.rating_a for branch in cell.branches] == [None, None]
    assert cell.transformers[0].rating_kva is None


def test_a_switch_with_impedance_can_be_opened_and_closed() -> None:
    cell = changed(switch_with_impedance)
    branch = next(branch for branch in cell.branches if branch.kind is BranchKind.SWITCH)
    assert branch.id == "switch-0"
    assert not Feeder(cell).dead
    assert set(Feeder(cell, Switching(closed={"switch-0": False})).dead) == {"4"}


def test_an_out_of_service_bus_leaves_with_all_but_a_lines_charging() -> None:
    cell = changed(dead_bus)
    assert "4" not in {one.id for one in cell.buses}
    assert {"line-2-end", "line-3-end"} <= {one.id for one in cell.buses}
    assert "load-2" not in {asset.id for asset in cell.assets}
    assert not cell.switches
    assert [unit.id for unit in cell.transformers] == ["trafo-0"]


def test_out_of_service_branches_stay_and_assets_leave() -> None:
    cell = changed(out_of_service)
    assert [branch.in_service for branch in cell.branches] == [True, True, False]
    assert [unit.in_service for unit in cell.transformers] == [True, False]
    assert [asset.id for asset in cell.assets] == ["load-1"]


def test_ids_are_pandapowers_indices() -> None:
    cell = changed(unsorted_index)
    assert [branch.id for branch in cell.branches] == ["line-17", "line-4"]
    assert [asset.id for asset in cell.assets] == ["load-9", "load-2"]
    assert cell.switches[0].branch == "line-4"


def test_kinds_follow_type_profile_and_name() -> None:
    net = feeder()
    with quiet():
        for kind in ("PV", "WP", "Wind_MV", "Biomass_MV", "Hydro_MV", "CHP"):
            pandapower().create_sgen(net, 3, 0.001, type=kind)
        pandapower().create_sgen(net, 3, 0.001, name="solar roof")
    net.load["profile"] = ["HLS_A_3.7", "Soil_Alternative_2"]
    kinds = {asset.id: asset.kind for asset in compiled(net).cell.assets}
    assert kinds == {
        "ev-0": AssetKind.EV,
        "hp-1": AssetKind.HEAT_PUMP,
        "pv-0": AssetKind.PV,
        "wind-1": AssetKind.WIND,
        "wind-2": AssetKind.WIND,
        "bio-3": AssetKind.BIOMASS,
        "hydro-4": AssetKind.HYDRO,
        "sgen-5": AssetKind.GENERATOR,
        "pv-6": AssetKind.PV,
    }


def test_customers_hold_the_assets_of_their_bus() -> None:
    cell = changed(plants)
    assert [(one.id, one.bus) for one in cell.customers] == [("c2", "2"), ("c3", "3")]
    assert [asset.id for asset in cell.customers[1].assets] == ["load-1", "pv-0", "bat-0"]
    battery = cell.customers[1].assets[2]
    assert (battery.p_kw, battery.q_kvar, battery.energy_kwh) == (10.0, -3.0, 20.0)


@pytest.mark.parametrize("side", ["hv", "lv"])
def test_every_tap_position_agrees_with_pandapower(side: str) -> None:
    net = feeder()
    net.trafo[["tap_side", "tap_step_degree"]] = [side, 2.0]
    cell = compiled(net).cell
    for position in range(-2, 3):
        net.trafo["tap_pos"] = position
        solved = reference(net, Point.TABLE)
        assert solved is not None
        at = Feeder(cell, Switching(taps={"trafo-0": position}))
        magnitude = np.abs(at.solve(*at.nominal).voltage)
        assert magnitude == pytest.approx(solved.res_bus["vm_pu"].to_numpy(), abs=1e-8)


def test_a_changer_without_type_stands_at_neutral_as_in_pandapower() -> None:
    """SimBench's networks have no changer type, so pandapower 3 ignores their positions."""
    net = feeder()
    net.trafo["tap_changer_type"], net.trafo["tap_pos"] = None, 1
    found = compiled(net)
    assert found.agreement.difference_pu <= DIFFERENCE_PU_MAX
    unit = found.cell.transformers[0]
    assert (unit.tap, [tap.position for tap in unit.taps]) == (0, [-2, -1, 0, 1, 2])
    assert unit.at(1).ratio == pytest.approx(1.025)
    assert any("the data say 1" in note for note in found.cell.provenance.notes)


def test_a_table_of_taps_gives_every_position_its_own_impedance() -> None:
    taps = changed(tabular_tap).transformers[0].taps
    assert [tap.ratio for tap in taps] == pytest.approx([0.94, 0.98, 1.0, 1.03, 1.05])
    assert len({tap.x_ohm for tap in taps}) == 4


def test_a_position_between_two_steps_is_the_only_one() -> None:
    net = feeder()
    net.trafo["tap_pos"] = net.trafo["tap_pos"].astype(float)
    net.trafo["tap_pos"] = 0.5
    found = compiled(net)
    assert len(found.cell.transformers[0].taps) == 1
    assert found.agreement.difference_pu <= DIFFERENCE_PU_MAX


@given(data=st.data())
@settings(max_examples=8)
def test_any_radial_network_agrees_with_pandapower(data: st.DataObject) -> None:
    """Trees of any shape, with any loads, generation, open switches and tap."""
    net = feeder()
    draw = data.draw
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(1, len(net.bus) - 1))
        end = bus(net)
        index = line(net, start, end, in_service=draw(st.booleans()))
        with quiet():
            p_kw, q_kvar = draw(st.integers(-20, 20)), draw(st.integers(-10, 10))
            pandapower().create_load(net, end, p_kw / 1000.0, q_kvar / 1000.0)
            if draw(st.booleans()):
                place = draw(st.sampled_from([start, end]))
                closed = draw(st.booleans())
                pandapower().create_switch(net, place, index, et="l", closed=closed)
    net.trafo["tap_pos"] = draw(st.integers(-2, 2))
    assert compiled(net).agreement.difference_pu <= DIFFERENCE_PU_MAX
