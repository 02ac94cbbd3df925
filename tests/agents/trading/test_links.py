"""Links: the energy that is worth carrying at two prices, and what that earns."""

import pytest
from hypothesis import given
from tests.agents.trading.markets import numbers

from peercell.agents.trading.links import Link, LinkPair, links_by_peer

LINK = Link("a", "b", fee_eur_per_kwh=2.0, slope_eur_per_kwh2=0.5, capacity_kwh=4.0)


@pytest.mark.parametrize(
    ("seller", "buyer", "flow"),
    [(10.0, 11.0, 0.0), (10.0, 12.0, 0.0), (10.0, 13.0, 2.0), (10.0, 14.0, 4.0), (10.0, 99.0, 4.0)],
)
def test_energy_flows_where_the_price_rises_by_more_than_the_fee(
    seller: float, buyer: float, flow: float
) -> None:
    assert LINK.flow(seller, buyer) == flow


def test_carrying_costs_the_fee_and_a_rising_part() -> None:
    assert LINK.cost(3.0) == 2.0 * 3.0 + 0.5 * 3.0**2 / 2


@given(numbers(-20, 20), numbers(0, 4))
def test_no_flow_earns_more_than_the_best_one(difference: float, flow: float) -> None:
    best = LINK.flow(0.0, difference)
    assert LINK.surplus(difference) == pytest.approx(difference * best - LINK.cost(best))
    assert difference * flow - LINK.cost(flow) <= LINK.surplus(difference) + 1e-12


def test_a_trader_finds_its_links_by_neighbour() -> None:
    back = Link("b", "a", 1.0, 0.5)
    stranger = Link("b", "c", 1.0, 0.5)
    assert links_by_peer("a", [LINK, back, stranger]) == {"b": LinkPair(back, LINK)}
    assert links_by_peer("c", [LINK, back, stranger]) == {"b": LinkPair(stranger, None)}
