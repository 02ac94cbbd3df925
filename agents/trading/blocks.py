"""What energy costs a trader, and how much it makes at a price.

An offer is a load and a list of blocks. A generator with quadratic cost is one block, a piecewise
linear one a list of flat blocks, PV a block of price zero, demand response a block priced at the
utility lost. Two blocks close every list: beyond its offer a trader sheds load at the value of
lost load, and below nothing it spills for free; so every quantity has a finite cost.
"""

from collections.abc import Iterable

from msgspec import Struct

from peercell.agents.units import (
    UNLIMITED_KWH,
    EnergyKwh,
    MoneyEur,
    PriceEurPerKwh,
    SlopeEurPerKwh2,
)


class Block(Struct, frozen=True, array_like=True):
    """Energy from 0 to `width_kwh` at the marginal cost price + slope * energy."""

    price_eur_per_kwh: PriceEurPerKwh
    slope_eur_per_kwh2: SlopeEurPerKwh2 = 0.0
    width_kwh: EnergyKwh = UNLIMITED_KWH


class Offer(Struct, frozen=True):
    """What one trader needs and can make in one period; lists of blocks add up.

    `fixed_cost_eur` is paid whatever is traded (the cost of a must-run generator's minimum).
    """

    load_kwh: EnergyKwh
    blocks: tuple[Block, ...] = ()
    fixed_cost_eur: MoneyEur = 0.0


def concatenate(offers: Iterable[Offer]) -> Offer:
    """Return the offer of a group: loads and fixed costs add, block lists are joined."""
    listed = tuple(offers)
    return Offer(
        load_kwh=sum(offer.load_kwh for offer in listed),
        blocks=tuple(block for offer in listed for block in offer.blocks),
        fixed_cost_eur=sum(offer.fixed_cost_eur for offer in listed),
    )


class Dispatch(Struct, frozen=True):
    """Who makes an energy: one figure for each block of the offer, and what is left over."""

    blocks_kwh: tuple[float, ...]
    unserved_kwh: float
    spilled_kwh: float


class Supply:
    """The cost curve of an offer in a market whose prices end at the value of lost load.

    Parameters
    ----------
    offer : load and blocks of the trader
    voll_eur_per_kwh : value of lost load, the highest price there is; > 0
    """

    def __init__(self, offer: Offer, voll_eur_per_kwh: float) -> None:
        self.offer = offer
        self.load_kwh = offer.load_kwh
        self.voll_eur_per_kwh = voll_eur_per_kwh
        # (price, slope, width); a sloped block is used no further than to the price VOLL.
        self.curve: list[tuple[float, float, float]] = []
        for block in offer.blocks:
            price, slope, width = (
                block.price_eur_per_kwh,
                block.slope_eur_per_kwh2,
                block.width_kwh,
            )
            if slope > 0.0:
                width = min(width, (voll_eur_per_kwh - price) / slope)
            self.curve.append((price, slope, width if price < voll_eur_per_kwh else 0.0))
        self.width_kwh = sum(width for _, _, width in self.curve)
        edges = {price for price, _, width in self.curve if width > 0.0}
        edges.update(price + slope * width for price, slope, width in self.curve if slope > 0.0)
        self.edges = sorted(edges)

    def up_to(self, price_eur_per_kwh: float) -> float:
        """Return the most energy, kWh, that is worth making at a price: a flat block counts."""
        energy = 0.0
        for price, slope, width in self.curve:
            if price_eur_per_kwh >= price:
                if slope > 0.0:
                    part = (price_eur_per_kwh - price) / slope
                    energy += part if part < width else width
                else:
                    energy += width
        return energy

    def below(self, price_eur_per_kwh: float) -> float:
        """Return the least energy, kWh, that is worth making at a price: a flat block waits."""
        energy = 0.0
        for price, slope, width in self.curve:
            if price_eur_per_kwh > price:
                if slope > 0.0:
                    part = (price_eur_per_kwh - price) / slope
                    energy += part if part < width else width
                else:
                    energy += width
        return energy

    def marginal_price(self, energy_kwh: float) -> float:
        """Return a price, EUR/kWh, at which making this energy is optimal; in [0, VOLL]."""
        if energy_kwh <= 0.0:
            return 0.0
        for upper in self.edges:
            if self.up_to(upper) >= energy_kwh:
                break
        else:
            return self.voll_eur_per_kwh
        if self.below(upper) <= energy_kwh:
            return upper
        lower = max((edge for edge in self.edges if edge < upper), default=0.0)
        low, high = self.up_to(lower), self.below(upper)
        return lower + (energy_kwh - low) / (high - low) * (upper - lower)

    def dispatch(self, energy_kwh: float) -> Dispatch:
        """Return the cheapest way to make an energy; negative energy is spilled.

        The parts always add up: blocks + unserved - spilled = energy.
        """
        if energy_kwh <= 0.0:
            return Dispatch((0.0,) * len(self.curve), 0.0, -energy_kwh)
        margin = self.marginal_price(energy_kwh)
        made = [
            0.0
            if margin <= price
            else min((margin - price) / slope, width)
            if slope > 0.0
            else width
            for price, slope, width in self.curve
        ]
        rest = energy_kwh - sum(made)
        flat = [k for k, block in enumerate(self.curve) if block[0] == margin and block[1] == 0.0]
        sloped = [k for k, block in enumerate(self.curve) if block[0] <= margin and block[1] > 0.0]
        for k in (*flat, *sloped):
            # Flat blocks at the margin share the rest; after them it is rounding, anywhere fits.
            part = min(max(made[k] + rest, 0.0), self.curve[k][2]) - made[k]
            made[k] += part
            rest -= part
        return Dispatch(tuple(made), max(rest, 0.0), max(-rest, 0.0))

    def cost(self, dispatch: Dispatch) -> float:
        """Return what a dispatch costs, EUR, with lost load at VOLL and the fixed cost."""
        return (
            self.offer.fixed_cost_eur
            + self.voll_eur_per_kwh * dispatch.unserved_kwh
            + sum(
                part * (price + 0.5 * slope * part)
                for part, (price, slope, _) in zip(dispatch.blocks_kwh, self.curve, strict=True)
            )
        )

    def surplus(self, price_eur_per_kwh: float) -> float:
        """Return the best profit at a price, EUR: the conjugate C*(p) of the cost; p in [0, VOLL].

        C*(p) = max over g of p g - C(g); the fixed cost counts against it.
        """
        profit = -self.offer.fixed_cost_eur
        for price, slope, width in self.curve:
            margin = price_eur_per_kwh - price
            if margin > 0.0:
                part = min(margin / slope, width) if slope > 0.0 else width
                profit += part * (margin - 0.5 * slope * part)
        return profit

    def gap(self, dispatch: Dispatch, price_eur_per_kwh: float) -> float:
        """Return by how much a dispatch misses the best profit at a price, EUR; never negative.

        This is C(g) + C*(p) - p g, summed block by block so that nothing cancels.
        """
        missed = (
            dispatch.unserved_kwh * (self.voll_eur_per_kwh - price_eur_per_kwh)
            + dispatch.spilled_kwh * price_eur_per_kwh
        )
        for part, (price, slope, width) in zip(dispatch.blocks_kwh, self.curve, strict=True):
            margin = price_eur_per_kwh - price
            best = width if margin > 0.0 else 0.0
            if 0.0 < margin < slope * width:
                best = margin / slope
            missed += (part - best) * (0.5 * slope * (part + best) - margin)
        return max(missed, 0.0)
