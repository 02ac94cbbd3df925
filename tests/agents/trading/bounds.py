"""What a plan costs and what any plan must cost at least, written anew from the formulas.

For any prices mu the dual function
D(mu) = sum_i [d_i mu_i - C_i*(mu_i)] - sum_links Gamma*(mu_buyer - mu_seller)
is below the cost of every feasible plan. So a plan whose cost equals D is optimal, whoever has
found it.
"""

from collections.abc import Iterable, Mapping

from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.links import Link
from peercell.agents.trading.messages import TraderSettled


def lower_bound_eur(
    offers: Mapping[str, Offer], links: Iterable[Link], prices: Mapping[str, float]
) -> float:
    """Return D(mu), EUR; prices within [0, VOLL]."""
    bound = 0.0
    for trader, offer in offers.items():
        price = prices[trader]
        bound += offer.load_kwh * price
        for block in offer.blocks:
            margin, slope = price - block.price_eur_per_kwh, block.slope_eur_per_kwh2
            if margin > 0.0:
                energy = min(block.width_kwh, margin / slope) if slope else block.width_kwh
                bound -= margin * energy - slope * energy**2 / 2.0
    for link in links:
        margin = prices[link.buyer] - prices[link.seller] - link.fee_eur_per_kwh
        energy = min(max(margin, 0.0) / link.slope_eur_per_kwh2, link.capacity_kwh)
        bound -= margin * energy - link.slope_eur_per_kwh2 * energy**2 / 2.0
    return bound


def cost_eur(
    offer: Offer, blocks_kwh: Iterable[float], unserved_kwh: float, voll_eur_per_kwh: float
) -> float:
    """Return what it costs to use an offer's blocks and to leave load unserved, EUR."""
    cost = voll_eur_per_kwh * unserved_kwh
    for block, energy in zip(offer.blocks, blocks_kwh, strict=True):
        assert -1e-12 <= energy <= block.width_kwh + 1e-12
        cost += energy * (block.price_eur_per_kwh + block.slope_eur_per_kwh2 * energy / 2.0)
    return cost


def transfer_eur(links: Iterable[Link], plans: Mapping[str, TraderSettled]) -> float:
    """Return what the trades of a plan cost to carry, EUR; both ends must tell the same."""
    tariffs = {(link.seller, link.buyer): link for link in links}
    sold = {(a, t.peer): t.sold_kwh[0] for a, plan in plans.items() for t in plan.trades}
    bought = {(t.peer, b): t.bought_kwh[0] for b, plan in plans.items() for t in plan.trades}
    assert sold == bought
    cost = 0.0
    for ends, energy in sold.items():
        if energy > 0.0:
            link = tariffs[ends]
            assert energy <= link.capacity_kwh
            cost += energy * (link.fee_eur_per_kwh + link.slope_eur_per_kwh2 * energy / 2.0)
    return cost
