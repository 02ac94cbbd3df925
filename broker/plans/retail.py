"""On which terms each microgrid could deal with the retailer alone, over the links of its market.

The retailer is the aggregator at its own prices, and its energy takes the way with the lowest fees.
All microgrids can live on these terms at once: of what several need on the way, and of what the
grid above takes, each has a share in proportion to the power of its assets. Only who buys finds the
whole connection free, since a retailer serves everyone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from itertools import count

from peercell.agents.trading.aggregator import AggregatorSettings
from peercell.agents.trading.links import Link
from peercell.agents.trading.retail import RetailTerms
from peercell.broker.plans.market import AGGREGATOR, trader_of
from peercell.grid.model import Cell

Way = tuple[Link, ...]


def retail_terms(
    links: Iterable[Link], wholesale: AggregatorSettings, powers_kw: Mapping[str, float]
) -> dict[str, RetailTerms]:
    """Return the terms of each trader that has any assets.

    Parameters
    ----------
    links : of the market
    wholesale : prices of the retailer, and the most that it sells and buys
    powers_kw : of the assets of each trader's microgrid, >= 0

    Notes
    -----
    With n traders on a link of slope q, each with the share w of its use (the sum of w is 1), the
    slope of each is q / w: since (f_1 + … + f_n)^2 <= f_1^2 / w_1 + … + f_n^2 / w_n (Cauchy and
    Schwarz), carrying all that they need costs at most what they reckon with.
    """
    listed = tuple(links)
    shares_kw = {name: power for name, power in powers_kw.items() if power > 0.0}
    inward = _Ways(listed, shares_kw, outward=False)
    outward = _Ways(listed, shares_kw, outward=True)
    return {
        name: RetailTerms(
            buy_eur_per_kwh=tuple(
                price + inward.fee(name) for price in wholesale.retail_eur_per_kwh
            ),
            sell_eur_per_kwh=tuple(
                max(price - outward.fee(name), 0.0) for price in wholesale.feed_in_eur_per_kwh
            ),
            buy_slope_eur_per_kwh2=inward.slope(name),
            sell_slope_eur_per_kwh2=outward.slope(name),
            buy_kwh_max=inward.most_kwh(name, wholesale.retail_kwh_max),
            sell_kwh_max=outward.own_kwh(name, wholesale.feed_in_kwh_max),
        )
        for name in shares_kw
    }


def asset_powers_kw(cell: Cell) -> dict[str, float]:
    """Return the power of all assets of each trader's microgrid, kW >= 0."""
    return {
        trader_of(microgrid.id): sum(
            abs(asset.p_kw)
            for customer in cell.customers
            if customer.bus in microgrid.buses
            for asset in customer.assets
        )
        for microgrid in cell.zones.microgrids
    }


class _Ways:
    """The cheapest way of each trader from the aggregator, or to it, and who else is on it."""

    def __init__(
        self, links: tuple[Link, ...], shares_kw: Mapping[str, float], *, outward: bool
    ) -> None:
        self._shares_kw = shares_kw
        self._total_kw = sum(shares_kw.values())
        self._ways = _cheapest(links, outward=outward)
        self._used_kw: defaultdict[tuple[str, str], float] = defaultdict(float)
        for name, share_kw in shares_kw.items():
            for link in self._ways.get(name, ()):
                self._used_kw[link.seller, link.buyer] += share_kw

    def fee(self, name: str) -> float:
        """Return what carrying the first kWh costs, EUR/kWh."""
        return sum(link.fee_eur_per_kwh for link in self._ways.get(name, ()))

    def slope(self, name: str) -> float:
        """Return by how much that rises with each kWh, EUR/kWh per kWh."""
        way = self._ways.get(name, ())
        return sum(link.slope_eur_per_kwh2 / self._share(name, link) for link in way)

    def most_kwh(self, name: str, connection_kwh: float) -> float:
        """Return how much fits when nobody else is there, kWh; 0 where there is no way."""
        if name not in self._ways:
            return 0.0
        return min(connection_kwh, *(link.capacity_kwh for link in self._ways[name]))

    def own_kwh(self, name: str, connection_kwh: float) -> float:
        """Return how much of what fits is the trader's own share, kWh; 0 where there is no way."""
        if name not in self._ways:
            return 0.0
        parts = [link.capacity_kwh * self._share(name, link) for link in self._ways[name]]
        return min(connection_kwh * self._shares_kw[name] / self._total_kw, *parts)

    def _share(self, name: str, link: Link) -> float:
        return self._shares_kw[name] / self._used_kw[link.seller, link.buyer]


def _cheapest(links: tuple[Link, ...], *, outward: bool) -> dict[str, Way]:
    """Return the way with the lowest fees from the aggregator to each trader, or back.

    Of ways with equal fees the one with fewer links counts, and then the first one listed.
    """
    near: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        if link.capacity_kwh > 0.0:
            near[link.buyer if outward else link.seller].append(link)
    found: dict[str, Way] = {}
    order = count()
    queue: list[tuple[float, int, int, str, Way]] = [(0.0, 0, next(order), AGGREGATOR, ())]
    while queue:
        fee, hops, _, here, way = heappop(queue)
        if here in found:
            continue
        found[here] = way
        for link in near[here]:
            beyond = link.seller if outward else link.buyer
            known = fee + link.fee_eur_per_kwh
            heappush(queue, (known, hops + 1, next(order), beyond, (*way, link)))
    return found
