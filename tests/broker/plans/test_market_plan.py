"""Who may trade with whom: groups from the zones, the user's links over them, gossip on rings."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.broker.configs import MINIMAL, make_config

from peercell.agents.trading.settings import MarketCell
from peercell.agents.units import UNLIMITED_KWH
from peercell.broker.plans.market import market_cells, market_members
from peercell.grid.model import CouplingPoint, Level, Microgrid, Zones

FOUR = ("mg1.trader", "mg2.trader", "mg3.trader", "mg4.trader", "aggregator")


def zones(*uppers: str | None) -> Zones:
    """Return microgrids mg1, mg2, …, each below the one that is named, or the grid above."""
    return Zones(
        microgrids=tuple(
            Microgrid(id=f"mg{k}", level=Level.LV, buses=(str(k),))
            for k in range(1, len(uppers) + 1)
        ),
        coupling_points=tuple(
            CouplingPoint(id=f"cp{k}", branch=f"line-{k}", lower=f"mg{k}", upper=upper)
            for k, upper in enumerate(uppers, 1)
        ),
    )


def found(folder: Path, divided: Zones, more: str = "") -> tuple[MarketCell, ...]:
    """Return the market cells of a config."""
    return market_cells(make_config(folder, more), divided)


def members(cells: tuple[MarketCell, ...]) -> list[tuple[str, ...]]:
    """Return who is in each cell."""
    return [cell.members for cell in cells]


def test_feeders_of_one_busbar_and_the_aggregator_are_one_group(tmp_path: Path) -> None:
    (cell,) = found(tmp_path, zones(None, None, None, None))
    assert cell.members == FOUR
    assert len(cell.links) == 5 * 4
    assert {link.capacity_kwh for link in cell.links} == {UNLIMITED_KWH}
    assert {(link.fee_eur_per_kwh, link.slope_eur_per_kwh2) for link in cell.links} == {
        (0.02, 0.001)
    }


def test_a_hierarchy_is_a_tree_of_groups(tmp_path: Path) -> None:
    cells = found(tmp_path, zones(None, "mg1", "mg1", "mg3"))
    assert members(cells) == [
        ("mg1.trader", "mg2.trader", "mg3.trader"),
        ("mg1.trader", "aggregator"),
        ("mg3.trader", "mg4.trader"),
    ]
    assert [len(cell.links) for cell in cells] == [6, 2, 2]


def test_a_microgrid_below_nothing_is_below_the_grid_above(tmp_path: Path) -> None:
    divided = zones(None, None)
    alone = Zones(microgrids=divided.microgrids)
    assert found(tmp_path, alone) == found(tmp_path, divided)


def test_the_tariff_holds_for_all_links_and_an_own_link_over_it(tmp_path: Path) -> None:
    (cell,) = found(
        tmp_path,
        zones(None, None),
        """
        [tariff]
        fee_eur_per_kwh = 0.05
        capacity_kwh = 3.0
        [[links]]
        seller = "mg1.trader"
        buyer = "mg2.trader"
        capacity_kwh = 0.0
        """,
    )
    terms = {
        (link.seller, link.buyer): (link.fee_eur_per_kwh, link.capacity_kwh) for link in cell.links
    }
    assert terms.pop(("mg1.trader", "mg2.trader")) == (0.05, 0.0)
    assert set(terms.values()) == {(0.05, 3.0)}
    assert len(terms) == 5


def test_an_own_link_may_join_what_the_zones_do_not(tmp_path: Path) -> None:
    cells = found(
        tmp_path,
        zones(None, "mg1", "mg1"),
        '[[links]]\nseller = "mg2.trader"\nbuyer = "aggregator"\n',
    )
    assert members(cells)[-1] == ("mg2.trader", "aggregator")
    assert [(link.seller, link.buyer) for link in cells[-1].links] == [("mg2.trader", "aggregator")]


def test_a_group_of_the_user_comes_before_those_of_the_zones(tmp_path: Path) -> None:
    cells = found(
        tmp_path,
        zones(None, None, None, None),
        '[[market_cells]]\nname = "north"\nmembers = ["mg2.trader", "mg1.trader", "mg3.trader"]\n',
    )
    assert [cell.name for cell in cells] == ["north", "below aggregator"]
    assert members(cells) == [("mg2.trader", "mg1.trader", "mg3.trader"), FOUR]
    assert [len(cell.links) for cell in cells] == [6, 14]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 3))
def test_each_link_is_cleared_in_one_cell_of_its_ends(
    tmp_path_factory: pytest.TempPathFactory, uppers: list[int], group: int
) -> None:
    """A microgrid hangs below one with a smaller number, or the grid above."""
    names = [None if upper >= k else f"mg{upper + 1}" for k, upper in enumerate(uppers)]
    divided = zones(*names)
    everyone = market_members(divided)
    more = ""
    if group > 1 and group < len(everyone):
        more = f'[[links]]\nseller = "{everyone[0]}"\nbuyer = "{everyone[group]}"\n'
    cells = found(tmp_path_factory.mktemp("cell"), divided, more)
    cleared = Counter((link.seller, link.buyer) for cell in cells for link in cell.links)
    assert set(cleared.values()) == {1}
    for cell in cells:
        ends = {end for link in cell.links for end in (link.seller, link.buyer)}
        assert ends == set(cell.members)
    assert len({cell.name for cell in cells}) == len(cells)
    assert _connected({(first, second) for first, second in cleared}, everyone)


def test_a_minimal_config_needs_no_market_tables(tmp_path: Path) -> None:
    assert "links" not in MINIMAL
    assert members(found(tmp_path, zones(None))) == [("mg1.trader", "aggregator")]


def _connected(pairs: set[tuple[str, str]], names: tuple[str, ...] | list[str]) -> bool:
    """Return whether one can get from the first name to all others."""
    heard, fresh = {names[0]}, {names[0]}
    while fresh:
        fresh = {second for first, second in pairs if first in fresh} - heard
        heard |= fresh
    return heard == set(names)
