"""Into which microgrids a cell divides."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.builders import case33, make_cell, random_cells
from tests.grid.small_grids import buses, couplings, lines, loads, sets, star, two_levels

from peercell.broker.cells import load_cell, shipped_names
from peercell.grid.check import check_cell
from peercell.grid.model import (
    Asset,
    AssetKind,
    BranchKind,
    Cell,
    Customer,
    Level,
    Source,
    Switch,
    Zones,
)
from peercell.grid.partition import ZoneOverrides, aggregated_microgrids, partition
from peercell.grid.topology import topology


def test_feeders_and_the_low_voltage_zones_under_them() -> None:
    zones = partition(two_levels())
    assert sets(zones) == {
        "mg1": {"m2", "m3"},
        "mg2": {"m4"},
        "mg3": {"u0", "u1", "u2"},
        "mg4": {"w0", "w1"},
    }
    assert [microgrid.level for microgrid in zones.microgrids] == [Level.MV] * 2 + [Level.LV] * 2
    assert couplings(zones) == {
        ("m0-m2", "mg1", None),
        ("m1-m4", "mg2", None),
        ("t1", "mg3", "mg1"),
        ("t2", "mg4", "mg2"),
    }
    assert [(tie.element, tie.microgrids) for tie in zones.ties] == [
        ("m3-m4", ("mg1", "mg2")),
        ("gap", ("mg3", "mg4")),
    ]
    assert zones.microgrids[2].name == "below t1"


def test_a_busbar_with_customers_is_a_microgrid_above_its_feeders() -> None:
    zones = partition(two_levels("m0 m2 m4 u1 w1"))
    assert sets(zones)["mg1"] == {"m0", "m1"}
    assert ("t0", "mg1", None) in couplings(zones)
    assert {("m0-m2", "mg2", "mg1"), ("m1-m4", "mg3", "mg1")} < couplings(zones)


def test_a_zone_without_customers_stays_with_the_backbone() -> None:
    zones = partition(two_levels("m2 m4 u1"))
    assert sets(zones)["mg3"] == {"u0", "u1", "u2"}
    assert len(zones.microgrids) == 3
    assert not {"w0", "w1"} & set().union(*sets(zones).values())


def test_busbar_sections_joined_by_switches_of_some_impedance_are_one() -> None:
    cell = two_levels()
    switch = lines("m0 m1", kind=BranchKind.SWITCH)
    cell = msgspec.structs.replace(
        cell, switches=cell.switches[1:], branches=(*cell.branches, *switch)
    )
    assert sets(partition(cell)) == sets(partition(two_levels()))


@pytest.mark.parametrize(
    ("feeders", "min_customers", "expected"),
    [
        ((5, 4, 3, 1), None, [5, 4, 3, 1]),
        ((5, 4, 3, 1), 2, [5, 4, 4]),
        ((5, 4, 3, 1), 5, [5, 8]),
        # The 1-LV-rural3 feeders of SimBench: a 25th of 118 is 5, which 1, 2 and one 5 reach only
        # together.
        ((5, 28, 21, 5, 24, 22, 10, 1, 2), None, [5, 28, 21, 8, 24, 22, 10]),
    ],
)
def test_small_feeders_of_a_low_voltage_cell_merge(
    feeders: tuple[int, ...], min_customers: int | None, expected: list[int]
) -> None:
    zones = partition(star(feeders), ZoneOverrides(min_customers=min_customers))
    assert sorted(len(microgrid.buses) for microgrid in zones.microgrids) == sorted(expected)
    assert len(zones.coupling_points) == len(feeders)
    assert all(point.upper is None for point in zones.coupling_points)


def test_a_low_voltage_cell_too_small_to_divide_is_one_microgrid_with_its_busbar() -> None:
    zones = partition(star((3, 2)), ZoneOverrides(min_customers=4))
    assert sets(zones) == {"mg1": {"0", "1.1", "1.2", "1.3", "2.1", "2.2"}}
    assert couplings(zones) == {("t", "mg1", None)}


def test_the_33_bus_feeder_is_cut_at_its_laterals() -> None:
    zones = partition(case33())
    spans = [(int(microgrid.buses[0]), len(microgrid.buses)) for microgrid in zones.microgrids]
    assert spans == [(0, 18), (18, 4), (22, 3), (25, 8)]
    uppers = [(point.lower, point.upper) for point in zones.coupling_points]
    assert sorted(uppers, key=str) == [
        ("mg1", None),
        ("mg2", "mg1"),
        ("mg3", "mg1"),
        ("mg4", "mg1"),
    ]
    # The fifth tie of the literature, 8-14, joins two buses of the trunk.
    assert sorted(tie.microgrids for tie in zones.ties) == [
        ("mg1", "mg2"),
        ("mg1", "mg2"),
        ("mg1", "mg4"),
        ("mg3", "mg4"),
    ]


def test_small_laterals_stay_with_the_trunk() -> None:
    zones = partition(case33(), ZoneOverrides(min_customers=4))
    assert [len(microgrid.buses) for microgrid in zones.microgrids] == [21, 4, 8]


def test_a_loop_is_never_cut() -> None:
    cell = make_cell(
        buses(10.0, "0 1 2 3 4 5 6"),
        lines("0 1", "1 2", "2 3", "3 1", "2 4", "1 5", "5 6"),
        sources=[Source(id="grid", bus="0")],
        customers=loads("1 2 3 4 5 6"),
    )
    assert list(sets(partition(cell)).values()) == [{"0", "1", "2", "3", "5", "6"}, {"4"}]


def test_a_closed_ring_is_one_microgrid_with_two_coupling_points() -> None:
    cell = star((3, 3, 2))
    ring = msgspec.structs.replace(cell, branches=(*cell.branches, *lines("1.3 2.3")))
    zones = partition(ring)
    assert sets(zones)["mg1"] == {"1.1", "1.2", "1.3", "2.1", "2.2", "2.3"}
    heads = {branch for branch, lower, _ in couplings(zones) if lower == "mg1"}
    assert heads == {"0-1.1", "0-2.1"}


def test_the_source_bus_with_customers_belongs_to_the_smallest_feeder() -> None:
    cell = make_cell(
        buses(10.0, "0 1 2 3"),
        lines("0 1", "0 2", "2 3"),
        sources=[Source(id="grid", bus="0")],
        customers=loads("0 1 2 3"),
    )
    zones = partition(cell)
    assert sets(zones) == {"mg1": {"0", "1"}, "mg2": {"2", "3"}}
    assert ("0-1", "mg1", None) in couplings(zones)


def test_an_extra_grid_forming_unit_does_not_turn_the_hierarchy_around() -> None:
    cell = two_levels()
    unit = msgspec.structs.replace(
        cell, sources=(*cell.sources, Source(id="unit", bus="u1", r_ohm=0.1))
    )
    assert partition(unit) == partition(cell)


def test_buses_without_a_source_are_in_no_microgrid() -> None:
    cell = two_levels()
    cut = msgspec.structs.replace(
        cell, switches=(*cell.switches, Switch(id="cut", bus="m1", branch="m1-m4", closed=False))
    )
    zones = partition(cut)
    assert sets(zones) == {"mg1": {"m2", "m3"}, "mg2": {"u0", "u1", "u2"}}
    assert zones.ties == ()


def test_a_network_above_36_kv_is_the_grid_above() -> None:
    cell = make_cell(
        buses(110.0, "a b"),
        lines("a b"),
        sources=[Source(id="grid", bus="a")],
        customers=loads("b"),
    )
    assert partition(cell) == Zones()


def test_a_customer_that_stands_for_a_low_voltage_network() -> None:
    def customer(name: str, bus: str, profile: str) -> Customer:
        asset = Asset(id=f"a-{name}", kind=AssetKind.LOAD, p_kw=-1.0, p_profile=profile)
        return Customer(id=name, bus=bus, assets=(asset,))

    cell = msgspec.structs.replace(
        two_levels(),
        customers=(
            customer("network", "m2", "lv_rural1"),
            customer("factory", "m4", "G3-M"),
            customer("house", "u1", "lv_odd"),
        ),
    )
    assert aggregated_microgrids(cell) == ("network",)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    """Draw a network, maybe meshed, with some of its lines opened."""
    cell = draw(random_cells(most_buses=16))
    opened = draw(st.sets(st.sampled_from([branch.id for branch in cell.branches]), max_size=3))
    branches = [
        msgspec.structs.replace(branch, in_service=branch.id not in opened)
        for branch in cell.branches
    ]
    return msgspec.structs.replace(cell, branches=tuple(branches))


@st.composite
def reordered(draw: st.DrawFn) -> tuple[Cell, Cell]:
    """Draw a cell, and the same with every list of elements in another order."""
    cell = draw(cells())
    other = msgspec.structs.replace(
        cell,
        buses=tuple(draw(st.permutations(cell.buses))),
        branches=tuple(draw(st.permutations(cell.branches))),
        customers=tuple(draw(st.permutations(cell.customers))),
    )
    return cell, other


def check_zones(cell: Cell, zones: Zones) -> None:
    """Assert what holds for every division."""
    check_cell(msgspec.structs.replace(cell, zones=zones))
    live = topology(cell).vertex_of_bus
    members = [bus for microgrid in zones.microgrids for bus in microgrid.buses]
    assert len(members) == len(set(members))
    assert set(members) <= live.keys()
    kv = {bus.id: bus.kv for bus in cell.buses}
    served = {customer.bus for customer in cell.customers}
    assert {bus for bus in served if bus in live and kv[bus] <= 36.0} <= set(members)
    coupled = {point.lower for point in zones.coupling_points}
    assert coupled == {microgrid.id for microgrid in zones.microgrids}
    above = {point.lower: point.upper for point in zones.coupling_points}
    for name in above:
        seen = [name]
        while (upper := above[seen[-1]]) is not None:
            assert upper not in seen
            seen.append(upper)
    assert all(tie.microgrids[0] != tie.microgrids[1] for tie in zones.ties)


@given(cells(), st.integers(1, 6))
def test_every_customer_is_in_one_microgrid_that_leads_up_to_the_source(
    cell: Cell, min_customers: int
) -> None:
    check_zones(cell, partition(cell, ZoneOverrides(min_customers=min_customers)))


@given(reordered())
def test_the_order_of_the_elements_does_not_matter(cells: tuple[Cell, Cell]) -> None:
    cell, other = cells
    assert partition(other) == partition(cell)


# Microgrids by level, then ties, for the cells that come with the package.
SHIPPED = {
    "case33": ({Level.MV: 4}, 4),
    "cigre-lv3": ({Level.LV: 3}, 0),
    "rural1": ({Level.LV: 4}, 0),
    "semiurb4": ({Level.LV: 3}, 0),
    "rural3": ({Level.LV: 7}, 0),
    # Eight feeders and the busbar, which has a customer of its own; two of the six loop lines
    # begin and end in the same feeder.
    "mvlv108": ({Level.MV: 9, Level.LV: 1}, 4),
    "eu-lv": ({Level.LV: 5}, 0),
}


def test_every_shipped_cell_is_described() -> None:
    assert SHIPPED.keys() == set(shipped_names())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_cells_divide_as_described(name: str) -> None:
    cell = load_cell(name).cell
    zones = partition(cell)
    check_zones(cell, zones)
    assert zones == cell.zones, "compile the cell again"
    levels = [microgrid.level for microgrid in zones.microgrids]
    assert ({level: levels.count(level) for level in set(levels)}, len(zones.ties)) == SHIPPED[name]


def test_the_low_voltage_zones_of_cigre_are_microgrids_with_one_coupling_point_each() -> None:
    zones = load_cell("cigre-lv3").cell.zones
    assert [len(microgrid.buses) for microgrid in zones.microgrids] == [18, 2, 20]
    assert [point.branch for point in zones.coupling_points] == ["trafo-0", "trafo-1", "trafo-2"]


def test_a_feeder_station_of_simbench_stands_for_a_low_voltage_network() -> None:
    cell = load_cell("mvlv108").cell
    found = aggregated_microgrids(cell)
    assert len(found) == 89
    bus = {customer.id: customer.bus for customer in cell.customers}
    feeders = {b for grid in cell.zones.microgrids if grid.level is Level.MV for b in grid.buses}
    assert {bus[customer] for customer in found} <= feeders
