"""Where buses are drawn: at their coordinates, as a tree, a station above its feeder."""

import pytest
from hypothesis import given
from msgspec import structs
from tests.broker.village import make_village
from tests.grid.builders import case33, chain, random_cells

from peercell.broker.cells import load_cell
from peercell.grid.layout import connections, distances, places
from peercell.grid.model import Branch, Bus, Cell, Source


def test_coordinates_are_taken_where_every_bus_has_them() -> None:
    cell = make_village()
    assert places(cell) == {bus.id: (bus.x, bus.y) for bus in cell.buses}


def test_one_bus_without_coordinates_makes_it_a_tree() -> None:
    cell = make_village()
    first = structs.replace(cell.buses[0], x=None)
    found = places(structs.replace(cell, buses=(first, *cell.buses[1:])))
    assert found["mv"][0] == 0.0
    assert [found[bus][0] for bus in ("0", "1", "2", "3", "4")] == [1.0, 2.0, 3.0, 4.0, 4.0]


@given(random_cells())
def test_no_two_buses_of_a_tree_share_a_place(cell: Cell) -> None:
    found = places(cell)
    assert set(found) == {bus.id for bus in cell.buses}
    assert len(set(found.values())) == len(cell.buses)


def test_open_ties_do_not_shape_the_tree() -> None:
    cell = case33()
    found = places(cell)
    assert max(x for x, _ in found.values()) == 17.0, "17 hops to the end of the main feeder"
    assert sum(not conducts for *_, conducts in connections(cell)) == 5


def test_an_island_is_a_tree_of_its_own() -> None:
    cell = chain(3)
    island = structs.replace(
        cell,
        buses=(*cell.buses, Bus(id="i", kv=0.4), Bus(id="j", kv=0.4)),
        branches=(
            *cell.branches,
            Branch(id="line-i", from_bus="i", to_bus="j", r_ohm=0.1, x_ohm=0.1),
        ),
    )
    found = places(island)
    assert (found["i"][0], found["j"][0]) == (0.0, 1.0)


def test_a_station_that_stands_on_a_house_is_put_above_its_feeder() -> None:
    cell = make_village()
    three = next(bus for bus in cell.buses if bus.id == "3")
    station = structs.replace(cell.buses[0], x=three.x, y=three.y)
    found = places(structs.replace(cell, buses=(station, *cell.buses[1:])))
    assert found["3"] == (three.x, three.y)
    assert found["mv"][0] == found["0"][0]
    assert found["mv"][1] > found["0"][1]


def test_a_source_inside_a_feeder_is_the_root() -> None:
    cell = structs.replace(chain(5), sources=(Source(id="grid", bus="2"),))
    assert {bus: x for bus, (x, _) in places(cell).items()} == {
        "0": 2.0, "1": 1.0, "2": 0.0, "3": 1.0, "4": 2.0,
    }  # fmt: skip


def test_distances_run_along_the_feeder() -> None:
    cell = load_cell("rural1").cell
    found, unit = distances(cell)
    lengths = {branch.id: branch.length_km for branch in cell.branches}
    assert unit == "km"
    assert set(found) == {bus.id for bus in cell.buses}
    assert found["0"] == found["4"] == 0.0, "a transformer is no way"
    for branch in cell.branches:
        apart = abs(found[branch.from_bus] - found[branch.to_bus])
        assert apart == pytest.approx(lengths[branch.id])
    bare = structs.replace(cell.branches[0], length_km=None)
    found, unit = distances(structs.replace(cell, branches=(bare, *cell.branches[1:])))
    assert unit == "branches"
    assert found["4"] == 1.0
