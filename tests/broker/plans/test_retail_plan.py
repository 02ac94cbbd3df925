"""The terms of the retailer over the links of a market, and what nobody loses by trading."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.agents.trading.markets import VOLL, market_of, markets, numbers, plan
from tests.broker.configs import make_config

from peercell.agents.trading.aggregator import AggregatorSettings, wholesale_offer
from peercell.agents.trading.blocks import Offer, Supply
from peercell.agents.trading.calendar import MarketCalendar
from peercell.agents.trading.certificate import standalone_cost
from peercell.agents.trading.links import Link
from peercell.agents.trading.retail import RetailTerms, retail_cost
from peercell.agents.trading.settings import TraderSettings
from peercell.broker.config import load_grid
from peercell.broker.plans.cell import plan_cell
from peercell.broker.plans.retail import retail_terms
from peercell.broker.solving.instance import Market

SHOP = "aggregator"


def wholesale(
    feed_in: float = 8.0, retail: float = 30.0, feed_in_kwh_max: float = 60.0
) -> AggregatorSettings:
    """Return an aggregator with a large connection for buying."""
    return AggregatorSettings(
        trading=TraderSettings(
            name=SHOP, offers=(Offer(0.0),), voll_eur_per_kwh=VOLL, roster=(SHOP,)
        ),
        calendar=MarketCalendar(origin_s=0.0, at_first=datetime(2016, 5, 28), intervals=1),
        feed_in_eur_per_kwh=(feed_in,),
        retail_eur_per_kwh=(retail,),
        feed_in_kwh_max=feed_in_kwh_max,
        retail_kwh_max=1e6,
    )


def both_ways(one: str, other: str, fee: float, slope: float, most: float = 1e9) -> list[Link]:
    return [Link(one, other, fee, slope, most), Link(other, one, fee, slope, most)]


def test_a_neighbour_of_the_retailer_pays_its_link() -> None:
    links = [*both_ways("a", SHOP, 2.0, 0.5), *both_ways("b", SHOP, 3.0, 0.5, 9.0)]
    terms = retail_terms(links, wholesale(), {"a": 10.0, "b": 30.0, "nobody": 0.0})
    assert terms == {
        "a": RetailTerms(
            buy_eur_per_kwh=(32.0,),
            sell_eur_per_kwh=(6.0,),
            buy_slope_eur_per_kwh2=0.5,
            sell_slope_eur_per_kwh2=0.5,
            buy_kwh_max=1e6,
            sell_kwh_max=15.0,
        ),
        "b": RetailTerms(
            buy_eur_per_kwh=(33.0,),
            sell_eur_per_kwh=(5.0,),
            buy_slope_eur_per_kwh2=0.5,
            sell_slope_eur_per_kwh2=0.5,
            buy_kwh_max=9.0,
            sell_kwh_max=9.0,
        ),
    }


def test_who_is_below_another_shares_the_way_with_it() -> None:
    links = [*both_ways("a", SHOP, 2.0, 0.5, 40.0), *both_ways("b", "a", 7.0, 0.25)]
    terms = retail_terms(links, wholesale(), {"a": 10.0, "b": 30.0})
    assert terms["a"].buy_slope_eur_per_kwh2 == pytest.approx(0.5 * 4.0)
    below = terms["b"]
    assert (below.buy_eur_per_kwh, below.sell_eur_per_kwh) == ((39.0,), (0.0,))
    assert below.buy_slope_eur_per_kwh2 == pytest.approx(0.5 * 4.0 / 3.0 + 0.25)
    assert (below.buy_kwh_max, below.sell_kwh_max) == (40.0, 30.0)


def test_the_cheapest_open_way_counts() -> None:
    links = [
        *both_ways("a", SHOP, 9.0, 0.5),
        *both_ways("b", SHOP, 1.0, 0.5),
        *both_ways("a", "b", 2.0, 0.5),
    ]
    assert retail_terms(links, wholesale(), {"a": 1.0})["a"].buy_eur_per_kwh == (33.0,)
    closed = [replace(link, capacity_kwh=0.0) if "b" in (link.buyer,) else link for link in links]
    assert retail_terms(closed, wholesale(), {"a": 1.0})["a"].buy_eur_per_kwh == (39.0,)


def test_an_island_has_no_retailer() -> None:
    terms = retail_terms(both_ways("a", SHOP, 2.0, 0.5, 0.0), wholesale(), {"a": 1.0})["a"]
    assert (terms.buy_kwh_max, terms.sell_kwh_max) == (0.0, 0.0)


def test_a_cell_tells_its_traders_what_the_retailer_asks(tmp_path: Path) -> None:
    config = make_config(tmp_path, "[wholesale]\nretail_eur_per_kwh = 0.4\n")
    told = plan_cell(config, load_grid(config), 0.0)
    terms = {each.id: each.settings.retail for each in told.peers if each.role == "trader"}
    assert [each.buy_eur_per_kwh for each in terms.values()] == [pytest.approx((0.42,))] * 4
    assert [each.sell_eur_per_kwh for each in terms.values()] == [pytest.approx((0.06,))] * 4
    assert sum(each.sell_kwh_max for each in terms.values()) == pytest.approx(160.0 / 4.0)


Priced = tuple[Market, dict[str, float], AggregatorSettings, dict[str, float]]


@st.composite
def shops(draw: st.DrawFn) -> Priced:
    """Draw a market in which one of the traders is the aggregator, any prices, and powers."""
    drawn = draw(markets())
    feed_in = draw(numbers(0, 40))
    shop = wholesale(feed_in, feed_in + draw(numbers(0, 60)), draw(numbers(0.1, 30)))
    first = next(iter(drawn.offers))
    names = {name: SHOP if name == first else name for name in drawn.offers}
    offers = {names[name]: offer for name, offer in drawn.offers.items()}
    offers[SHOP] = wholesale_offer(shop, 0)
    links = tuple(
        Link(names[link.seller], names[link.buyer], link.fee_eur_per_kwh, link.slope_eur_per_kwh2)
        for link in drawn.links
    )
    price = st.one_of(numbers(0, VOLL), numbers(0, 60), st.sampled_from([0.0, VOLL]))
    prices = {name: draw(price) for name in offers}
    powers = {name: draw(numbers(0.1, 9)) for name in offers if name != SHOP}
    return market_of(offers, links), prices, shop, powers


def retail_costs(case: Priced) -> dict[str, float]:
    """Return what each trader would pay with the retailer alone, and the aggregator's own cost."""
    market, _, shop, powers = case
    terms: Mapping[str, RetailTerms] = retail_terms(market.links, shop, powers)
    alone = standalone_cost((Supply(market.offers[SHOP], VOLL),))
    costs = {name: retail_cost(market.offers[name], terms[name], 0, VOLL) for name in powers}
    return {**costs, SHOP: alone}


@given(shops())
def test_together_nobody_pays_more_than_with_the_retailer_alone(case: Priced) -> None:
    """For any prices at all: what all would do alone is one of the plans of the market."""
    market, prices, _, _ = case
    positions = plan(market, prices)
    paid = sum(each.net_cost_eur for each in positions.values())
    gap = sum(each.gap_eur for each in positions.values())
    alone = sum(retail_costs(case).values())
    assert paid <= alone + gap + 1e-9 * (1.0 + abs(alone) + abs(paid) + gap)


@given(shops(), st.floats(0.0, 1.0))
def test_a_neighbour_of_the_retailer_loses_its_links_rent_at_most(
    case: Priced, place: float
) -> None:
    """While the retailer's connection is not full: its price is between feed-in and retail."""
    market, prices, shop, powers = case
    low, high = shop.feed_in_eur_per_kwh[0], shop.retail_eur_per_kwh[0]
    prices[SHOP] = low + place * (high - low)
    positions = plan(market, prices)
    costs = retail_costs((market, prices, shop, powers))
    direct = [link for link in market.links if link.buyer == SHOP]
    # Where a detour is cheaper, it is the detour that the retailer's terms are of.
    terms = retail_terms(market.links, shop, powers)
    for link in direct:
        name, position = link.seller, positions[link.seller]
        if terms[name].buy_eur_per_kwh[0] != high + link.fee_eur_per_kwh:
            continue
        rent = link.surplus(prices[SHOP] - prices[name])
        bound = costs[name] + position.gap_eur + rent
        assert position.net_cost_eur <= bound + 1e-9 * (1.0 + abs(bound) + position.gap_eur)
