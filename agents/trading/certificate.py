"""How wrong a plan is at most, and who pays whom: freeze and settle.

For any prices at all: let both ends of each link compute its flow from their two prices, and let
each trader make what its balance then needs. With gap_i = C_i(g_i) + C_i*(p_i) - p_i g_i >= 0, the
cost of the plan minus the dual bound is exactly the sum of the gaps; links add nothing, because
their flows are the best ones at these prices. So every trader knows its own share of the error.
"""

from collections.abc import Mapping
from math import ulp

from msgspec import Struct

from peercell.agents.trading.blocks import Dispatch, Supply
from peercell.agents.trading.links import LinkPair

Vector = tuple[float, ...]

# Share of an energy that is rounding in a balance of many.
ROUNDING = 1e-14


class Trade(Struct, frozen=True):
    """What is exchanged with one neighbour in each period, and at which two prices."""

    sold_kwh: tuple[float, ...]
    bought_kwh: tuple[float, ...]
    peer_price_eur_per_kwh: tuple[float, ...]

    @property
    def idle(self) -> bool:
        """True when nothing is exchanged either way."""
        return not any(self.sold_kwh) and not any(self.bought_kwh)


class Position(Struct, frozen=True):
    """A trader's part of a plan.

    `cost_eur` is generation, lost load and the transfer of what is bought; `payment_eur` is what
    is paid to sellers minus what buyers pay; `gap_eur` is the trader's share of the plan's error.
    """

    price_eur_per_kwh: tuple[float, ...]
    trades: dict[str, Trade]
    dispatch: tuple[Dispatch, ...]
    cost_eur: float
    payment_eur: float
    gap_eur: float

    @property
    def net_cost_eur(self) -> float:
        """What the plan costs the trader; at most its stand-alone cost plus `gap_eur`."""
        return self.cost_eur + self.payment_eur


def position(
    supplies: tuple[Supply, ...],
    links: Mapping[str, LinkPair],
    own_price: tuple[float, ...],
    peer_price: Mapping[str, tuple[float, ...]],
) -> Position:
    """Return a trader's part of the plan that follows from prices, EUR/kWh for each period.

    Links to neighbours whose price is not given count as open.
    """
    trades = {
        peer: trade_at(pair, own_price, peer_price[peer])
        for peer, pair in links.items()
        if peer in peer_price
    }
    return position_with(supplies, links, own_price, trades)


def trade_at(pair: LinkPair, own: tuple[float, ...], peer: tuple[float, ...]) -> Trade:
    """Return the trade on a link that follows from the prices of its two ends, EUR/kWh."""
    sold = bought = (0.0,) * len(own)
    if pair.outward is not None:
        sold = tuple(map(pair.outward.flow, own, peer))
    if pair.inward is not None:
        bought = tuple(map(pair.inward.flow, peer, own))
    return Trade(sold, bought, peer)


def agreed(own: Vector, theirs: Vector, peer_price: Vector) -> Trade:
    """Return what is traded when both ends have planned imports, kWh, export negative.

    On each link the smaller of the two plans counts, so that nobody sells or buys more than it has
    reckoned with.
    """
    both = tuple(zip(own, theirs, strict=True))
    return Trade(
        sold_kwh=tuple(min(max(-mine, 0.0), max(other, 0.0)) for mine, other in both),
        bought_kwh=tuple(min(max(mine, 0.0), max(-other, 0.0)) for mine, other in both),
        peer_price_eur_per_kwh=peer_price,
    )


def position_with(
    supplies: tuple[Supply, ...],
    links: Mapping[str, LinkPair],
    own_price: tuple[float, ...],
    trades: dict[str, Trade],
) -> Position:
    """Return a trader's part of a plan whose trades are given; supply makes up the balance.

    Flows that are not the best ones at the prices leave a gap as well, which is the buyer's.
    """
    cost = payment = gap = 0.0
    dispatch = []
    for t, supply in enumerate(supplies):
        price, need = own_price[t], supply.load_kwh
        for peer, trade in trades.items():
            sold, bought = trade.sold_kwh[t], trade.bought_kwh[t]
            need += sold - bought
            payment += trade.peer_price_eur_per_kwh[t] * bought - price * sold
            inward = links[peer].inward
            if inward is not None:
                cost += inward.cost(bought)
                gap += inward.gap(bought, price - trade.peer_price_eur_per_kwh[t])
        made = supply.dispatch(need)
        dispatch.append(made)
        cost += supply.cost(made)
        gap += supply.gap(made, price)
    return Position(own_price, trades, tuple(dispatch), cost, payment, gap)


def rounding_eur(
    supplies: tuple[Supply, ...], links: Mapping[str, LinkPair], plan: Position
) -> float:
    """Return how large a gap may come from rounding alone, EUR.

    A flow is a price difference by a slope, so one bit of a price is worth ulp / slope of energy; a
    balance adds some bits of each energy. What is short by rounding is valued at VOLL.
    """
    energy = 0.0
    for t, supply in enumerate(supplies):
        bit = ulp(plan.price_eur_per_kwh[t])
        energy += ROUNDING * supply.load_kwh
        for peer, trade in plan.trades.items():
            pair = links[peer]
            for link, flow in ((pair.outward, trade.sold_kwh), (pair.inward, trade.bought_kwh)):
                if link is not None and flow[t] > 0.0:
                    energy += ROUNDING * flow[t] + 2.0 * bit / link.slope_eur_per_kwh2
    return energy * supplies[0].voll_eur_per_kwh


def standalone_cost(supplies: tuple[Supply, ...]) -> float:
    """Return what a trader's energy costs without any trade, EUR."""
    return sum(supply.cost(supply.dispatch(supply.load_kwh)) for supply in supplies)
