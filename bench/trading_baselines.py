"""Two classical ways to clear the same market, run in lockstep: ADMM and FISTA.

Both keep one price a trader and use its exact cost curve, so that what differs is only how prices
are found. A round is one exchange between neighbours, as for the traders.
"""

from math import sqrt

from bench.trading_rounds import Prices

from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.curves import BilateralCurve
from peercell.agents.trading.links import Link
from peercell.agents.trading.response import Tangent, exact_price
from peercell.broker.solving.instance import Market


class Fista:
    """Accelerated proximal gradient on the dual, with restart (Beck and Teboulle 2009).

    The links are the smooth part, with the step 1 / (2 * sum of 1 / slope) of each trader; its own
    supply is the other part and is met exactly.
    """

    def __init__(self, market: Market) -> None:
        self.links = market.links
        voll = market.voll_eur_per_kwh
        self.supplies = {name: Supply(offer, voll) for name, offer in market.offers.items()}
        self.stiffness = dict.fromkeys(market.offers, 1e-9)
        for link in market.links:
            for name in (link.seller, link.buyer):
                self.stiffness[name] += 2.0 / link.slope_eur_per_kwh2
        self.prices = {name: exact_price(supply, ()) for name, supply in self.supplies.items()}
        self._ahead = dict(self.prices)
        self._momentum = 1.0

    def round(self) -> Prices:
        """Return the prices after one more exchange."""
        imported = dict.fromkeys(self.prices, 0.0)
        for link in self.links:
            flow = link.flow(self._ahead[link.seller], self._ahead[link.buyer])
            imported[link.buyer] += flow
            imported[link.seller] -= flow
        before, self.prices = (
            self.prices,
            {
                name: exact_price(
                    supply, (), Tangent(imported[name], self.stiffness[name], self._ahead[name])
                )
                for name, supply in self.supplies.items()
            },
        )
        uphill = sum(
            (self._ahead[name] - price) * (price - before[name])
            for name, price in self.prices.items()
        )
        if uphill > 0.0:
            self._momentum = 1.0
        momentum = (1.0 + sqrt(1.0 + 4.0 * self._momentum**2)) / 2.0
        share = (self._momentum - 1.0) / momentum
        self._ahead = {
            name: price + share * (price - before[name]) for name, price in self.prices.items()
        }
        self._momentum = momentum
        return self.prices


class Admm:
    """Consensus on the flow of each link between its two ends (Boyd et al. 2011).

    The seller's copy of a flow costs nothing, the buyer's pays the transfer; both are drawn to
    their mean by `penalty` EUR/kWh^2, a constant that has to be guessed for each market.
    """

    def __init__(self, market: Market, penalty: float) -> None:
        self.links = market.links
        self.penalty = penalty
        voll = market.voll_eur_per_kwh
        self.supplies = {name: Supply(offer, voll) for name, offer in market.offers.items()}
        self._mean = [0.0] * len(self.links)
        self._dual = [(0.0, 0.0)] * len(self.links)

    def round(self) -> Prices:
        """Return the prices after one more exchange."""
        penalty = self.penalty
        curves: dict[str, list[BilateralCurve]] = {name: [] for name in self.supplies}
        ends = []
        for k, link in enumerate(self.links):
            at_seller, at_buyer = self._dual[k]
            free = Link(link.seller, link.buyer, 0.0, 0.0, link.capacity_kwh)
            seller = BilateralCurve(None, free, penalty * (self._mean[k] - at_seller), penalty)
            buyer = BilateralCurve(link, None, -penalty * (self._mean[k] - at_buyer), penalty)
            curves[link.seller].append(seller)
            curves[link.buyer].append(buyer)
            ends.append((seller, buyer))
        prices = {name: exact_price(self.supplies[name], curves[name]) for name in self.supplies}
        for k, link in enumerate(self.links):
            sold = -ends[k][0].at(prices[link.seller])
            bought = ends[k][1].at(prices[link.buyer])
            mean = (sold + bought) / 2.0
            at_seller, at_buyer = self._dual[k]
            self._dual[k] = (at_seller + sold - mean, at_buyer + bought - mean)
            self._mean[k] = mean
        return prices
