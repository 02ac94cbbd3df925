"""The best answer to the neighbours' offers: exact prices, true curves, adaptation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.trading.markets import VOLL, blocks, numbers

from peercell.agents.trading.blocks import Block, Offer, Supply
from peercell.agents.trading.curves import BilateralCurve
from peercell.agents.trading.links import Link
from peercell.agents.trading.response import Responder, Tangent, exact_price

SLOPED = Supply(Offer(4.0, (Block(10.0, 2.0),)), VOLL)
STEPPED = Supply(Offer(4.0, (Block(25.0, 0.0, 2.0), Block(60.0, 0.0, 3.0))), VOLL)
SUNNY = Supply(Offer(2.0, (Block(0.0, 0.0, 9.0),)), VOLL)
EMPTY = Supply(Offer(4.0), VOLL)
COUPLING = Supply(Offer(0.0), VOLL)


def curve(level: float, slope: float, fee: float = 1.0, most: float = 1e9) -> BilateralCurve:
    return BilateralCurve(
        Link("b", "a", fee, 0.5, most), Link("a", "b", fee, 0.5, most), level, slope
    )


@pytest.mark.parametrize(
    ("supply", "price"),
    [(SLOPED, 18.0), (STEPPED, 60.0), (SUNNY, 0.0), (EMPTY, VOLL), (COUPLING, 0.0)],
)
def test_alone_the_price_is_what_the_last_kwh_costs(supply: Supply, price: float) -> None:
    assert exact_price(supply, ()) == price


@pytest.mark.parametrize(
    ("supply", "neighbour", "price"),
    [
        # 2 kWh of the own 25-step are left out when the neighbour sells all 4 below it.
        (STEPPED, curve(10.0, 0.0), 13.0),
        # (p - 10) / 2 + (p - 12) / 1.5 = 4: own supply and purchase at one price.
        (SLOPED, curve(11.0, 1.0), 102.0 / 7.0),
        # Sun that is sold at (30 - 1 - p) / 1.5 up to 3 kWh still leaves 4 kWh to be curtailed.
        (SUNNY, curve(30.0, 1.0, most=3.0), 0.0),
        # Nobody sells below VOLL, so the load is shed.
        (EMPTY, curve(VOLL, 1.0), VOLL),
        # A coupling agent between nobody and one neighbour sits in its dead zone.
        (COUPLING, curve(20.0, 1.0), 19.0),
    ],
)
def test_with_a_neighbour_supply_and_import_meet_the_load(
    supply: Supply, neighbour: BilateralCurve, price: float
) -> None:
    assert exact_price(supply, [neighbour]) == pytest.approx(price)


@given(
    blocks(),
    numbers(0, 10),
    st.lists(st.builds(curve, numbers(0, 60), numbers(0, 5), numbers(0, 3)), max_size=4),
)
def test_the_price_balances_supply_import_and_load(
    offered: tuple[Block, ...], load: float, curves: list[BilateralCurve]
) -> None:
    supply = Supply(Offer(load, offered), VOLL)
    price = exact_price(supply, curves)
    imported = sum(curve.at(price) for curve in curves)
    assert 0.0 <= price <= VOLL
    if price < VOLL:
        assert supply.up_to(price) + imported >= load - 1e-9
    if price > 0.0:
        assert supply.below(price) + imported <= load + 1e-9


def test_a_tangent_counts_as_an_import() -> None:
    straight = Tangent(energy=1.0, rise=0.5, price=15.0)
    price = exact_price(SLOPED, (), straight)
    assert (price - 10.0) / 2.0 + 1.0 + 0.5 * (price - 15.0) == pytest.approx(4.0)


def test_a_trader_tells_each_cell_its_price_without_it() -> None:
    """With linear supply the line is exact: level and slope are those of the trader alone."""
    responder = Responder(SLOPED)
    responder.respond([curve(11.0, 1.0)], [])
    level, slope = responder.lines[0]
    assert level == pytest.approx(18.0)
    assert slope == pytest.approx(2.0)


def test_elasticity_of_other_neighbours_is_passed_on() -> None:
    """To each of two neighbours the other one makes the trader's curve flatter."""
    responder = Responder(SLOPED)
    for _ in range(2):  # the first move crosses the dead zone, and so does its chord
        responder.respond([curve(30.0, 1.0), curve(30.0, 1.0)], [])
    for level, slope in responder.lines:
        assert slope == pytest.approx(1.0 / (1.0 / 2.0 + 1.0 / 1.5))
        alone = exact_price(SLOPED, [curve(30.0, 1.0)])
        assert level == pytest.approx(alone)


def test_spilled_sun_is_offered_for_nothing() -> None:
    responder = Responder(SUNNY)
    responder.respond([curve(30.0, 1.0, most=3.0)], [])
    level, slope = responder.lines[0]
    assert level == pytest.approx(0.0, abs=1e-3)
    assert slope < 1e-3


def test_a_coupling_agent_with_nobody_beyond_offers_nothing() -> None:
    responder = Responder(COUPLING)
    responder.respond([curve(30.0, 1.0)], [])
    assert responder.lines[0][1] >= VOLL


@given(st.lists(numbers(5, 60), min_size=2, max_size=30))
def test_what_is_told_stays_finite_and_in_range(levels: list[float]) -> None:
    responder = Responder(STEPPED)
    for level in levels:
        responder.respond([curve(level, 1.0), curve(60.0 - level, 2.0)], [])
        assert 0.0 <= responder.price <= VOLL
        for line in responder.lines:
            assert 0.0 < line[1] <= 100.0 * VOLL / 4.0
            assert abs(line[0]) <= 1e9


@pytest.mark.parametrize(
    ("neighbours", "shared"),
    [([-5.0, -5.0, -5.0], True), ([5.0, 0.0, -5.0], False), ([], False)],
)
def test_who_swings_in_a_neighbourhood_that_creeps_shares_its_elasticity_out(
    neighbours: list[float], shared: bool
) -> None:
    """A coupling agent passes all of one neighbour's elasticity on to each other, else a share."""
    assert (least_slope(neighbours) > 1.5 * least_slope(None)) == shared


def least_slope(neighbours: list[float] | None) -> float:
    """Return the flattest line a trader tells whose own price has swung for long."""
    responder = Responder(COUPLING)
    for k in range(40):
        level = 41.0 if k % 2 else 39.0
        responder.respond([curve(level + 4.0 * side, 1.0) for side in (-1, 0, 1)], [], neighbours)
    return min(slope for _, slope in responder.lines)
