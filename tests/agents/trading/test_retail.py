"""What a microgrid pays with the retailer alone: worked out by hand, and as a market of two."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.agents.trading.markets import VOLL, blocks, market_of, numbers

from peercell.agents.trading.blocks import Block, Offer, Supply
from peercell.agents.trading.certificate import standalone_cost
from peercell.agents.trading.links import Link
from peercell.agents.trading.retail import RetailTerms, retail_cost
from peercell.broker.solving.trade import SolveSettings, trade_out

FLAT = RetailTerms(
    buy_eur_per_kwh=(30.0,),
    sell_eur_per_kwh=(8.0,),
    buy_slope_eur_per_kwh2=0.0,
    sell_slope_eur_per_kwh2=0.0,
    buy_kwh_max=1000.0,
    sell_kwh_max=1000.0,
)
SUN = Block(0.0, 0.0, 5.0)


@pytest.mark.parametrize(
    ("offer", "terms", "cost"),
    [
        (Offer(4.0), FLAT, 120.0),
        (Offer(4.0, (Block(20.0, 0.0, 3.0),)), FLAT, 90.0),
        (Offer(4.0, (Block(40.0, 0.0, 3.0),)), FLAT, 120.0),
        (Offer(2.0, (SUN,)), FLAT, -24.0),
        (Offer(2.0, (SUN, Block(7.0, 0.0, 1.0), Block(9.0, 0.0, 1.0))), FLAT, -25.0),
        (Offer(2.0, (SUN,)), replace(FLAT, sell_kwh_max=1.0), -8.0),
        # The second kWh brings 6, and the third 4.
        (Offer(2.0, (SUN,)), replace(FLAT, sell_slope_eur_per_kwh2=2.0), -15.0),
        # After 1 kWh more would cost what it brings.
        (Offer(2.0, (SUN,)), replace(FLAT, sell_slope_eur_per_kwh2=8.0), -4.0),
        (Offer(2.0, (SUN,)), replace(FLAT, sell_eur_per_kwh=(0.0,)), 0.0),
        (Offer(4.0), replace(FLAT, buy_slope_eur_per_kwh2=1.0), 128.0),
        (Offer(4.0), replace(FLAT, buy_kwh_max=3.0), 90.0 + VOLL),
        (Offer(4.0, fixed_cost_eur=1.0), replace(FLAT, buy_eur_per_kwh=(99.0, 20.0)), 81.0),
    ],
)
def test_what_is_lacking_is_bought_and_what_is_left_is_sold(
    offer: Offer, terms: RetailTerms, cost: float
) -> None:
    assert retail_cost(offer, terms, 1, VOLL) == pytest.approx(cost, abs=1e-9)


@st.composite
def doors(draw: st.DrawFn) -> RetailTerms:
    """Draw terms of any kind."""
    sell = draw(numbers(0, 40))
    return RetailTerms(
        buy_eur_per_kwh=(sell + draw(numbers(0.001, 40)),),
        sell_eur_per_kwh=(sell,),
        buy_slope_eur_per_kwh2=draw(numbers(0.01, 3)),
        sell_slope_eur_per_kwh2=draw(numbers(0.01, 3)),
        buy_kwh_max=draw(numbers(0, 20)),
        sell_kwh_max=draw(numbers(0, 20)),
    )


offers = st.builds(Offer, numbers(0, 10), blocks())


@given(offers, doors())
def test_a_retailer_is_never_worse_than_nobody(offer: Offer, terms: RetailTerms) -> None:
    alone = standalone_cost((Supply(offer, VOLL),))
    assert retail_cost(offer, terms, 0, VOLL) <= alone + 1e-9 * (1.0 + alone)
    closed = replace(terms, buy_kwh_max=0.0, sell_kwh_max=0.0)
    assert retail_cost(offer, closed, 0, VOLL) == pytest.approx(alone, abs=1e-9)


@settings(max_examples=30)
@given(offers, doors())
def test_it_is_the_best_plan_of_a_market_of_the_two(offer: Offer, terms: RetailTerms) -> None:
    """The retailer as a trader: it gives at a price, takes at another, and the link has slopes."""
    sell = terms.sell_eur_per_kwh[0]
    assume(sell > 0.0)
    wholesale = Offer(50.0, (Block(sell, 0.0, 50.0), Block(terms.buy_eur_per_kwh[0], 0.0, 50.0)))
    links = (
        Link("shop", "home", 0.0, terms.buy_slope_eur_per_kwh2, terms.buy_kwh_max),
        Link("home", "shop", 0.0, terms.sell_slope_eur_per_kwh2, terms.sell_kwh_max),
    )
    market = market_of({"shop": wholesale, "home": offer}, links)
    best = trade_out(market, SolveSettings(tolerance=1e-12)).cost_eur - 50.0 * sell
    assert retail_cost(offer, terms, 0, VOLL) == pytest.approx(best, abs=1e-6)
