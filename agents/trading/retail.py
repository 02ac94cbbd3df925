"""What a microgrid's energy would cost without a market: with its own plants and a retailer.

This is what people have before they trade: they buy what they lack at the retail price, and get the
feed-in price for what they have left.
"""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.trading.blocks import Block, Offer, Supply
from peercell.agents.trading.calendar import at_interval
from peercell.agents.units import EnergyKwh, PriceEurPerKwh, SlopeEurPerKwh2

PriceSeries = Annotated[tuple[PriceEurPerKwh, ...], Meta(min_length=1)]


class RetailTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a retailer gives and takes at a microgrid's own door, the way there included.

    Parameters
    ----------
    buy_eur_per_kwh : of the first kWh bought in each interval, or one value for all
    sell_eur_per_kwh : for the first kWh sold, likewise; at most the price of buying
    buy_slope_eur_per_kwh2, sell_slope_eur_per_kwh2 : by which the one rises and the other falls
        with each kWh, as carrying does
    buy_kwh_max, sell_kwh_max : most in an interval; 0 where there is no way to a retailer
    """

    buy_eur_per_kwh: PriceSeries
    sell_eur_per_kwh: PriceSeries
    buy_slope_eur_per_kwh2: SlopeEurPerKwh2
    sell_slope_eur_per_kwh2: SlopeEurPerKwh2
    buy_kwh_max: EnergyKwh
    sell_kwh_max: EnergyKwh


def retail_cost(offer: Offer, terms: RetailTerms, interval: int, voll_eur_per_kwh: float) -> float:
    """Return the least that an offer's load costs with a retailer and without a market, EUR.

    Revenue counts against it; what nobody serves costs the value of lost load.
    """
    sell, slope = at_interval(terms.sell_eur_per_kwh, interval), terms.sell_slope_eur_per_kwh2
    most_kwh = terms.sell_kwh_max
    if slope > 0.0:
        most_kwh = min(most_kwh, sell / slope)
    # All that could be sold counts as load, and not to sell is one more block: the kWh that would
    # bring least is kept first.
    blocks = (
        *offer.blocks,
        Block(
            at_interval(terms.buy_eur_per_kwh, interval),
            terms.buy_slope_eur_per_kwh2,
            terms.buy_kwh_max,
        ),
        Block(max(sell - slope * most_kwh, 0.0), slope, most_kwh),
    )
    revenue_eur = most_kwh * (sell - 0.5 * slope * most_kwh)
    whole = Offer(offer.load_kwh + most_kwh, blocks, offer.fixed_cost_eur)
    supply = Supply(whole, voll_eur_per_kwh)
    return supply.cost(supply.dispatch(whole.load_kwh)) - revenue_eur
