"""Which lines may be overloaded: those that carry less than all behind them can feed in or draw."""

import pytest
from msgspec.structs import replace
from tests.grid.builders import chain

from peercell.broker.cells import load_cell
from peercell.grid.branch_limits import overloadable_lines, rated_branch
from peercell.grid.model import Branch, Cell
from peercell.grid.paths import path_lists

# A kVA at 0.4 kV, balanced.
AMPERE = 1.0 / (3.0**0.5 * 0.4)


def rated_chain(kva: float, *, reversed_line: bool = False) -> Cell:
    """Return a source and three loads of 5 kW and 1.25 kvar in a row, each line of a rating."""
    cell = chain(4)
    lines = [replace(line, rating_a=kva * AMPERE) for line in cell.branches]
    if reversed_line:
        lines[1] = replace(lines[1], from_bus=lines[1].to_bus, to_bus=lines[1].from_bus)
    return replace(cell, branches=tuple(lines))


@pytest.mark.parametrize(
    ("kva", "lines"),
    [(16.0, []), (15.0, ["line-1"]), (10.0, ["line-1", "line-2"]), (5.0, None)],
)
def test_lines_that_loads_may_overload(kva: float, lines: list[str] | None) -> None:
    cell = rated_chain(kva)
    expected = [line.id for line in cell.branches] if lines is None else lines
    assert list(overloadable_lines(cell, path_lists(cell))) == expected


def test_lines_without_a_rating_are_left_alone() -> None:
    cell = chain(4)
    assert list(overloadable_lines(cell, path_lists(cell))) == []
    assert rated_branch(cell, "line-1", 100.0, path_lists(cell)) is None


def test_sun_that_does_not_shine_now_counts() -> None:
    cell = load_cell("rural1").cell
    found = set(overloadable_lines(cell, path_lists(cell)))
    assert found == {"line-1", "line-2", "line-4", "line-6", "line-7"}


@pytest.mark.parametrize("reversed_line", [False, True])
def test_who_sits_behind_a_line_knows_which_way_it_points(reversed_line: bool) -> None:
    cell = rated_chain(10.0, reversed_line=reversed_line)
    found = rated_branch(cell, "line-2", 90.0, path_lists(cell))
    assert found is not None
    assert found.buses == ("2",)
    assert [span.branch for span in found.path] == ["line-1", "line-2"]
    assert found.limit.rating_kva == pytest.approx(10.0)
    assert found.limit.loading_percent_max == 90.0
    assert found.limit.points_up == reversed_line


def test_a_branch_that_leads_nowhere_is_watched_by_nobody() -> None:
    cell = rated_chain(10.0)
    loop = Branch(id="loop", from_bus="1", to_bus="2", r_ohm=9.0, x_ohm=9.0, rating_a=1.0)
    meshed = replace(cell, branches=(*cell.branches, loop))
    assert rated_branch(meshed, "loop", 100.0, path_lists(meshed)) is None
