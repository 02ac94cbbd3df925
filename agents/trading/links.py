"""What carrying energy between traders costs, and how much is carried at two prices."""

from collections.abc import Iterable

from msgspec import Struct

from peercell.agents.units import (
    UNLIMITED_KWH,
    EnergyKwh,
    PeerName,
    PriceEurPerKwh,
    SlopeEurPerKwh2,
)


class Link(Struct, frozen=True):
    """The right to sell from `seller` to `buyer`; carrying f costs fee * f + slope * f^2 / 2.

    The slope must be positive (it makes flows unique and prices move smoothly); capacity 0 is an
    open switch.
    """

    seller: PeerName
    buyer: PeerName
    fee_eur_per_kwh: PriceEurPerKwh
    slope_eur_per_kwh2: SlopeEurPerKwh2
    capacity_kwh: EnergyKwh = UNLIMITED_KWH

    def flow(self, seller_price_eur_per_kwh: float, buyer_price_eur_per_kwh: float) -> float:
        """Return what is carried at the two ends' prices, kWh, in [0, capacity].

        Both ends call this with equal arguments, so their results are equal bit for bit.
        """
        margin = buyer_price_eur_per_kwh - seller_price_eur_per_kwh - self.fee_eur_per_kwh
        return min(max(margin / self.slope_eur_per_kwh2, 0.0), self.capacity_kwh)

    def cost(self, flow_kwh: float) -> float:
        """Return what the grid operator asks for carrying an energy, EUR."""
        return flow_kwh * (self.fee_eur_per_kwh + 0.5 * self.slope_eur_per_kwh2 * flow_kwh)

    def surplus(self, difference_eur_per_kwh: float) -> float:
        """Return the best profit of carrying at a price difference, EUR: the conjugate of cost."""
        flow = self.flow(0.0, difference_eur_per_kwh)
        return difference_eur_per_kwh * flow - self.cost(flow)

    def gap(self, flow_kwh: float, difference_eur_per_kwh: float) -> float:
        """Return by how much a flow misses the best profit at a price difference, EUR."""
        best = self.flow(0.0, difference_eur_per_kwh)
        margin = difference_eur_per_kwh - self.fee_eur_per_kwh
        missed = (flow_kwh - best) * (0.5 * self.slope_eur_per_kwh2 * (flow_kwh + best) - margin)
        return max(missed, 0.0)


class LinkPair(Struct, frozen=True):
    """The links with one neighbour: `inward` brings energy, `outward` takes it."""

    inward: Link | None = None
    outward: Link | None = None


def links_by_peer(name: str, links: Iterable[Link]) -> dict[str, LinkPair]:
    """Return the links of one trader by neighbour, in the order in which they are listed."""
    pairs: dict[str, LinkPair] = {}
    for link in links:
        if link.buyer == name:
            known = pairs.get(link.seller, LinkPair())
            pairs[link.seller] = LinkPair(link, known.outward)
        elif link.seller == name:
            known = pairs.get(link.buyer, LinkPair())
            pairs[link.buyer] = LinkPair(known.inward, link)
    return pairs
