"""What a prosumer's assets can offer to the market, and what they must do under a schedule.

To the market a load that may be left out and a generator are the same: a block of energy at a
price. Without a schedule a prosumer does as if there were no market: it draws its whole load, feeds
in what costs nothing, and leaves off what costs.
"""

from collections.abc import Iterable
from math import fsum
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.grid_parts import Name, Power, SetPoint
from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.calendar import at_interval
from peercell.agents.trading.contract_messages import Share
from peercell.agents.units import Fraction, PriceEurPerKwh, SlopeEurPerKwh2

PowerSeries = Annotated[tuple[Power, ...], Meta(min_length=1)]


class ProsumerAsset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One unit of a prosumer: load, PV, battery in its recorded operation, small generator.

    Parameters
    ----------
    asset : of the grid service; several units may share one (a generator behind a load's meter)
    p_kw : kW in each interval, or one value for all; > 0: the most that it can feed in, < 0: what
        it draws
    q_kvar : kvar beside that P; it changes in proportion with P
    flexible_share : of what it draws that may be left out for the price
    price_eur_per_kwh : of the first kWh fed in or left out: fuel, or the utility of the load
    slope_eur_per_kwh2 : by which that price rises with each kWh
    """

    asset: Name
    p_kw: PowerSeries
    q_kvar: PowerSeries = (0.0,)
    flexible_share: Fraction = 0.0
    price_eur_per_kwh: PriceEurPerKwh = 0.0
    slope_eur_per_kwh2: SlopeEurPerKwh2 = 0.0

    @property
    def offers(self) -> bool:
        """True when it has a block in the offers: in each interval or in none, even an empty one.

        So the blocks of any two offers of a prosumer are the same ones in the same order.
        """
        return self.flexible_share > 0.0 or max(self.p_kw) > 0.0

    def block_kw(self, interval: int) -> float:
        """Return how much it can feed in or leave out, kW."""
        p_kw = at_interval(self.p_kw, interval)
        return p_kw if p_kw > 0.0 else -p_kw * self.flexible_share

    def draw_kw(self, interval: int) -> float:
        """Return what it draws when nothing is left out, kW."""
        return max(-at_interval(self.p_kw, interval), 0.0)

    def idle_block_kw(self, interval: int) -> float:
        """Return what it feeds in without a market, kW."""
        free = self.price_eur_per_kwh == 0.0
        return max(at_interval(self.p_kw, interval), 0.0) if free else 0.0


class PortfolioOffer(Struct, frozen=True):
    """What a prosumer offers in an interval; `firm_kwh` is the load that no block leaves out."""

    offer: Offer
    firm_kwh: float


class Portfolio:
    """The units of one prosumer.

    Parameters
    ----------
    units : in the order in which their blocks are offered
    period_h : h an interval; > 0
    """

    def __init__(self, units: tuple[ProsumerAsset, ...], period_h: float) -> None:
        self.units = units
        self.period_h = period_h

    def offer(self, interval: int) -> PortfolioOffer:
        """Return load and blocks for an interval."""
        hours = self.period_h
        blocks = tuple(
            Block(unit.price_eur_per_kwh, unit.slope_eur_per_kwh2, unit.block_kw(interval) * hours)
            for unit in self.units
            if unit.offers
        )
        load_kw = fsum(unit.draw_kw(interval) for unit in self.units)
        return PortfolioOffer(Offer(load_kw * hours, blocks), self._firm_kw(interval) * hours)

    def set_points(self, interval: int, share: Share | None) -> tuple[SetPoint, ...]:
        """Return P in kW and Q in kvar of each asset under a schedule; None: without a market.

        What a schedule asks beyond the units' ability is cut: it may rest on an older offer.
        """
        served = 1.0 if share is None else self._served(interval, share.unserved_kwh)
        powers: dict[str, tuple[float, float]] = {}
        for unit, block_kw in zip(self.units, self._blocks_kw(interval, share), strict=True):
            p_kw = _power_kw(unit, interval, min(block_kw, unit.block_kw(interval)), served)
            q_kvar = _reactive_kvar(unit, interval, p_kw)
            before = powers.get(unit.asset, (0.0, 0.0))
            powers[unit.asset] = before[0] + p_kw, before[1] + q_kvar
        return tuple(SetPoint(asset, p_kw, q_kvar) for asset, (p_kw, q_kvar) in powers.items())

    def _blocks_kw(self, interval: int, share: Share | None) -> list[float]:
        """Return what each unit shall feed in or leave out, kW."""
        if share is None:
            return [unit.idle_block_kw(interval) for unit in self.units]
        energies_kwh = iter(share.blocks_kwh)
        return [
            next(energies_kwh, 0.0) / self.period_h if unit.offers else 0.0 for unit in self.units
        ]

    def _served(self, interval: int, unserved_kwh: float) -> float:
        """Return the share of the firm load that is served."""
        firm_kwh = self._firm_kw(interval) * self.period_h
        return max(1.0 - unserved_kwh / firm_kwh, 0.0) if firm_kwh > 0.0 else 1.0

    def _firm_kw(self, interval: int) -> float:
        return fsum(unit.draw_kw(interval) * (1.0 - unit.flexible_share) for unit in self.units)


def injection_kwh(points: Iterable[SetPoint], period_h: float) -> float:
    """Return the energy that set-points feed into the grid in an interval, kWh."""
    return fsum(point.p_kw or 0.0 for point in points) * period_h


def _power_kw(unit: ProsumerAsset, interval: int, block_kw: float, served: float) -> float:
    """Return P in kW of a unit that gives `block_kw` and whose firm load is served in part."""
    draw_kw = unit.draw_kw(interval)
    if draw_kw == 0.0:
        return block_kw
    firm_kw = draw_kw * (1.0 - unit.flexible_share)
    return block_kw - draw_kw + (1.0 - served) * firm_kw


def _reactive_kvar(unit: ProsumerAsset, interval: int, p_kw: float) -> float:
    """Return Q in kvar at the power factor of the profile."""
    profile_kw = at_interval(unit.p_kw, interval)
    q_kvar = at_interval(unit.q_kvar, interval)
    return q_kvar * (p_kw / profile_kw) if profile_kw else q_kvar
