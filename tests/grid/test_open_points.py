"""Where a cell is open, and what could be open instead."""

import pytest
from msgspec import structs
from tests.grid.builders import case33, make_cell
from tests.grid.small_grids import buses, lines, loads, transformer, two_levels

from peercell.agents.control.open_points import loop
from peercell.grid.errors import NoOpenPointError
from peercell.grid.model import Source, Switch
from peercell.grid.open_points import open_points


def test_the_feeder_of_the_literature_is_open_at_its_five_ties() -> None:
    points = open_points(case33())
    assert points.opened == tuple(f"line-{n}" for n in range(32, 37))
    around = [len(loop(points.sections, points.opened, name)) for name in points.opened]
    # As in Baran and Wu (1989): without the tie itself.
    assert around == [9, 6, 14, 20, 10]


def test_what_has_no_switch_stays_closed_and_what_is_out_of_service_open() -> None:
    points = open_points(two_levels())
    assert points.opened == ("u2-w1",)
    switches = {section.name: section.switches for section in points.sections}
    assert switches["u2-w1"] == ("gap",)
    assert switches["m2-m3"] == ()
    assert switches["coupler"] == ("coupler",)
    assert "m3-m4" not in switches


def test_what_is_meshed_stays_meshed() -> None:
    # Two transformers side by side, and a ring below them that is open between 2 and 3.
    cell = make_cell(
        [*buses(20.0, "h"), *buses(0.4, "0 1 2 3")],
        lines("0 1", "1 2", "2 3", "3 0"),
        transformers=[transformer("t1", "h", "0"), transformer("t2", "h", "0")],
        switches=[
            Switch(id="s1", bus="1", branch="0-1"),
            Switch(id="s2", bus="2", branch="2-3", closed=False),
            Switch(id="s3", bus="3", branch="2-3", closed=False),
            Switch(id="s4", bus="h", branch="t1"),
        ],
        sources=[Source(id="grid", bus="h")],
        customers=loads("1 2 3"),
    )
    points = open_points(cell)
    assert points.opened == ("2-3",)
    assert {section.name: section.switches for section in points.sections} == {
        "0-1": ("s1",),
        "1-2": (),
        "2-3": ("s2", "s3"),
        "3-0": (),
    }


def test_all_sources_are_one_place() -> None:
    cell = make_cell(
        buses(0.4, "a b c d"),
        lines("a b", "b c", "c d"),
        switches=[Switch(id="s", bus="b", branch="b-c", closed=False)],
        sources=[Source(id="east", bus="a"), Source(id="west", bus="d")],
        customers=loads("b c"),
    )
    points = open_points(cell)
    assert {s.name for s in loop(points.sections, points.opened, "b-c")} == {"a-b", "c-d"}


@pytest.mark.parametrize("closed", [True, False])
def test_without_a_loop_there_is_nothing_to_exchange(closed: bool) -> None:
    cell = make_cell(
        buses(0.4, "a b c"),
        lines("a b", "b c"),
        switches=[Switch(id="s", bus="b", branch="b-c", closed=closed)],
        sources=[Source(id="grid", bus="a")],
        customers=loads("b"),
    )
    with pytest.raises(NoOpenPointError, match="has no open point"):
        open_points(cell)
    meshed = structs.replace(cell, branches=(*cell.branches, *lines("c a")))
    if closed:
        with pytest.raises(NoOpenPointError):
            open_points(meshed)
    else:
        assert open_points(meshed).opened == ("b-c",)
