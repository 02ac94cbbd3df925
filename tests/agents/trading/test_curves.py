"""Import curves: a cell of two is a link, a larger cell clears, and no curve ever falls."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.agents.trading.markets import numbers

from peercell.agents.trading.curves import (
    Array,
    BilateralCurve,
    CellLines,
    CellTable,
    ClearingCurve,
    cell_table,
)
from peercell.agents.trading.links import Link

TARIFF = st.builds(Link, st.just("a"), st.just("b"), numbers(0, 3), numbers(0.1, 1), numbers(0, 6))


def lines(*said: tuple[float, float]) -> CellLines:
    level, slope = np.array(said).T
    return CellLines(level, slope, level)


@pytest.mark.parametrize(
    ("price", "imported"),
    [(10.0, -4.0), (17.0, -2.0), (19.5, 0.0), (20.5, 0.0), (22.5, 1.0), (40.0, 3.0)],
)
def test_a_link_imports_above_and_exports_below_the_neighbours_line(
    price: float, imported: float
) -> None:
    inward = Link("b", "a", 1.0, 0.5, capacity_kwh=3.0)
    outward = Link("a", "b", 1.0, 0.0, capacity_kwh=4.0)
    curve = BilateralCurve(inward, outward, level=20.0, slope=1.0)
    assert curve.at(price) == pytest.approx(imported)


@given(TARIFF, TARIFF, numbers(0, 60), numbers(0.001, 9), numbers(0, 60))
def test_a_cell_of_two_is_a_link(
    outward: Link, other: Link, level: float, slope: float, price: float
) -> None:
    inward = Link("b", "a", other.fee_eur_per_kwh, other.slope_eur_per_kwh2, other.capacity_kwh)
    plain = BilateralCurve(inward, outward, level, slope)
    table = cell_table(("a", "b"), (inward, outward))
    cell = ClearingCurve(table, 0, lines((0.0, 1.0), (level, slope)))
    assert cell.at(price) == pytest.approx(plain.at(price), abs=1e-9)


@st.composite
def cells(draw: st.DrawFn) -> ClearingCurve:
    size = draw(st.integers(2, 6))
    names = [f"t{k}" for k in range(size)]
    links = [
        Link(one, other, draw(numbers(0, 3)), draw(numbers(0.05, 1)), draw(numbers(0, 6)))
        for one in names
        for other in names
        if one != other and draw(st.booleans())
    ]
    said = [(draw(numbers(0, 60)), draw(numbers(0.001, 9))) for _ in names]
    own = draw(st.integers(0, size - 1))
    return ClearingCurve(cell_table(tuple(names), tuple(links)), own, lines(*said))


@given(cells(), numbers(0, 60))
def test_a_cleared_cell_balances_every_other_member(cell: ClearingCurve, price: float) -> None:
    """Each member's price is its level minus slope times what it gets: the lines hold."""
    cell.at(price)
    margin = cell.prices[None, :] - cell.prices[:, None] - cell.fee
    flow = np.clip(margin / cell.rise, 0.0, cell.capacity)
    net_import = flow.sum(axis=0) - flow.sum(axis=1)
    expected = cell.level - net_import[cell.others] / cell.stiffness
    assert cell.prices[cell.others] == pytest.approx(expected, abs=1e-8)


@given(cells(), numbers(0, 60), numbers(0, 10))
def test_an_import_curve_never_falls(cell: ClearingCurve, price: float, more: float) -> None:
    assert cell.at(price) <= cell.at(price + more) + 1e-9


@given(cells(), numbers(0, 60))
def test_the_tangent_has_the_slope_of_the_curve(cell: ClearingCurve, price: float) -> None:
    """On a bend the slope is that of one of the two sides."""
    energy, slope = cell.tangent(price)
    assert energy == pytest.approx(cell.at(price), abs=1e-9)
    small = 1e-6
    sides = [
        (cell.at(price) - cell.at(price - small)) / small,
        (cell.at(price + small) - cell.at(price)) / small,
    ]
    assert min(sides) - 1e-2 <= slope <= max(sides) + 1e-2


def test_a_cell_whose_members_are_silent_offers_nothing() -> None:
    table = cell_table(("a", "b", "c"), (Link("a", "b", 1.0, 0.5), Link("c", "a", 1.0, 0.5)))
    cell = ClearingCurve(table.among([0]), 0, lines((0.0, 1.0)))
    assert cell.at(50.0) == 0.0
    assert cell.tangent(50.0) == (0.0, 0.0)


def test_a_cell_of_a_thousandth_of_the_friction_clears() -> None:
    names = tuple(f"t{k}" for k in range(8))
    links = tuple(Link(a, b, 1e-3, 1e-6) for a in names for b in names if a != b)
    said = [(10.0 + k, 0.5 + k) for k in range(8)]
    cell = ClearingCurve(cell_table(names, links), 0, lines(*said))
    weights = np.array([1.0 / slope for _, slope in said[1:]])
    levels = np.array([level for level, _ in said[1:]])
    # Without friction the others meet at one price, and each moves away from its level.
    assert cell.at(20.0) == pytest.approx(float((weights * (20.0 - levels)).sum()), rel=1e-2)


class CountedCurve(ClearingCurve):
    """A cell that counts how often its links are looked at."""

    looks = 0

    def _links(self, prices: Array) -> tuple[Array, NDArray[np.int8], Array]:
        self.looks += 1
        return super()._links(prices)


def test_a_converged_cell_does_not_search_its_own_rounding() -> None:
    """A cell as it stood in a converged market: two members with flat supply make it stiff.

    Its gradient never vanishes, and a search along it once looked at the links 401 times.
    """
    case = json.loads((Path(__file__).parent / "stiff_cell.json").read_text())
    table = CellTable(*(np.array(case[name]) for name in ("fee", "slope", "capacity")))
    said = CellLines(*(np.array(case[name]) for name in ("level", "line_slope", "start")))
    cell = CountedCurve(table, case["own"], said)
    cell.at(case["price"])
    assert cell.looks <= 20
