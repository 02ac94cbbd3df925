"""How much a trader imports from one market cell at a price of its own.

Each member of a cell says: without trading here my price would be `level`, and each kWh you take
from me raises it by `slope`. Clearing the cell's links against these straight lines gives the
import curve X(price), which never falls. A bilateral link is the cell with two members, for which
X has a closed form; larger cells are cleared by Newton's method.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peercell.agents.trading.links import Link

Array = NDArray[np.float64]


class BilateralCurve:
    """Import from one neighbour over at most two links, one each way.

    X(p) = (p - level - fee) / (q + slope) - (level - p - fee') / (q' + slope), each term kept
    between 0 and the capacity of its link.

    Parameters
    ----------
    inward, outward : links from and to the neighbour, if there are any
    level, slope : EUR/kWh and EUR/kWh^2, the neighbour's line
    """

    __slots__ = ("cap_in", "cap_out", "rise_in", "rise_out", "start_in", "start_out")

    def __init__(
        self, inward: Link | None, outward: Link | None, level: float, slope: float
    ) -> None:
        self.start_in = self.start_out = level
        self.rise_in = self.rise_out = 1.0
        self.cap_in = self.cap_out = 0.0
        if inward is not None:
            self.start_in = level + inward.fee_eur_per_kwh
            self.rise_in = inward.slope_eur_per_kwh2 + slope
            self.cap_in = inward.capacity_kwh
        if outward is not None:
            self.start_out = level - outward.fee_eur_per_kwh
            self.rise_out = outward.slope_eur_per_kwh2 + slope
            self.cap_out = outward.capacity_kwh

    def at(self, price: float) -> float:
        """Return the import, kWh, negative for export, at an own price in EUR/kWh."""
        energy = 0.0
        if price > self.start_in:
            part = (price - self.start_in) / self.rise_in
            energy = part if part < self.cap_in else self.cap_in
        if price < self.start_out:
            part = (self.start_out - price) / self.rise_out
            energy -= part if part < self.cap_out else self.cap_out
        return energy

    def edges(self) -> tuple[float, float, float, float]:
        """Return the prices at which the curve bends."""
        return (
            self.start_in,
            self.start_in + self.rise_in * self.cap_in,
            self.start_out,
            self.start_out - self.rise_out * self.cap_out,
        )


@dataclass(frozen=True)
class CellTable:
    """The published tariffs of a cell as (seller, buyer) matrices; no link has capacity 0."""

    fee: Array
    slope: Array
    capacity: Array

    def among(self, members: list[int]) -> "CellTable":
        """Return the tariffs among some of the members."""
        grid = np.ix_(members, members)
        return CellTable(self.fee[grid], self.slope[grid], self.capacity[grid])


def cell_table(members: tuple[str, ...], links: tuple[Link, ...]) -> CellTable:
    """Return the tariffs of a cell; rows and columns in the order of the members."""
    size = len(members)
    table = CellTable(np.zeros((size, size)), np.ones((size, size)), np.zeros((size, size)))
    index = {member: k for k, member in enumerate(members)}
    for link in links:
        at = index[link.seller], index[link.buyer]
        table.fee[at] = link.fee_eur_per_kwh
        table.slope[at] = link.slope_eur_per_kwh2
        table.capacity[at] = link.capacity_kwh
    return table


@dataclass(frozen=True)
class CellLines:
    """What the members of a cell have said, (members,) each; the asker's own entries are unused.

    `price` is where the search for the clearing starts; it changes no result.
    """

    level: Array
    slope: Array
    price: Array


# Newton's method on a piecewise quadratic function ends after a few pieces; the bounds only keep
# a bug from hanging.
NEWTON_STEPS_MAX = 100
SEARCH_STEPS_MAX = 20
# A step may stop where the slope along it is this share of the first one. Full steps without a
# search cycle on some markets; an exact search saves nothing.
SEARCH_SHARE = 0.5
# Share of the prices below which a step is the last one.
STEP_MIN = 1e-13
# Least slope of a member's line, in units of its price per kWh: flatter ones turn the last bit of a
# price into energy that matters. Slopes change only the speed, so the optimum stays where it is.
SLOPE_MIN = 1e-10


class ClearingCurve:
    """Import from a cell of any size, by clearing all its links against the members' lines.

    At own price p the other prices minimise the convex, piecewise quadratic function
    sum (mu_j - level_j)^2 / (2 slope_j) + sum over links of surplus(mu_buyer - mu_seller).

    Parameters
    ----------
    table : tariffs among the members
    own : index of the trader that asks
    lines : what the members have said
    """

    def __init__(self, table: CellTable, own: int, lines: CellLines) -> None:
        self.fee, self.rise, self.capacity = table.fee, table.slope, table.capacity
        self.own = own
        self.others = np.flatnonzero(np.arange(len(lines.level)) != own)
        self.level = lines.level[self.others]
        flattest = SLOPE_MIN * np.maximum(lines.price[self.others], SLOPE_MIN)
        self.stiffness = 1.0 / np.maximum(lines.slope[self.others], flattest)
        self.prices = lines.price.copy()

    def at(self, price: float) -> float:
        """Return the import, kWh, negative for export, at an own price in EUR/kWh."""
        flow, _ = self._clear(price)
        return float(flow[:, self.own].sum() - flow[self.own].sum())

    def tangent(self, price: float) -> tuple[float, float]:
        """Return the import, kWh, and its derivative, kWh per EUR/kWh, at an own price."""
        flow, hessian = self._clear(price)
        edge = hessian[self.own, self.others]
        inner = hessian[np.ix_(self.others, self.others)]
        slope = hessian[self.own, self.own] - edge @ np.linalg.solve(inner, edge)
        imported = flow[:, self.own].sum() - flow[self.own].sum()
        return float(imported), max(float(slope), 0.0)

    def shares(self, price: float) -> list[float]:
        """Return the import from each member, kWh, export negative, at an own price."""
        flow, _ = self._clear(price)
        imported: list[float] = (flow[:, self.own] - flow[self.own]).tolist()
        return imported

    def _links(self, prices: Array) -> tuple[Array, NDArray[np.int8], Array]:
        """Return flows, the piece each link is on, and the gradient of the function."""
        margin = prices[None, :] - prices[:, None] - self.fee
        flow = np.minimum(np.maximum(margin / self.rise, 0.0), self.capacity)
        idle, full = margin <= 0.0, margin >= self.rise * self.capacity
        piece = np.where(idle, 0, np.where(full, 2, 1)).astype(np.int8)
        gradient = (flow.sum(axis=0) - flow.sum(axis=1))[self.others]
        return flow, piece, gradient + (prices[self.others] - self.level) * self.stiffness

    def _curvature(self, piece: NDArray[np.int8]) -> Array:
        """Return the second derivative of the function on the pieces that the links are on."""
        weight = np.where(piece == 1, 1.0 / self.rise, 0.0)
        weight = weight + weight.T
        hessian = np.diag(weight.sum(axis=0)) - weight
        hessian[self.others, self.others] += self.stiffness
        return hessian

    def _clear(self, price: float) -> tuple[Array, Array]:
        """Return the flows at the clearing prices and the second derivative there."""
        self.prices[self.own] = price
        flow, piece, gradient = self._links(self.prices)
        for _ in range(NEWTON_STEPS_MAX):
            hessian = self._curvature(piece)
            if not gradient.any():
                break
            inner = hessian[np.ix_(self.others, self.others)]
            step: Array = np.linalg.solve(inner, -gradient).astype(np.float64, copy=False)
            # Of a step among the last bits the search would see nothing but rounding, for ever.
            last = np.abs(step).max() <= STEP_MIN * np.abs(self.prices).max()
            size = 1.0 if last else self._search(step, float(gradient @ step))
            self.prices[self.others] += size * step
            flow, new_piece, gradient = self._links(self.prices)
            if last or (size == 1.0 and np.array_equal(piece, new_piece)):
                # A full step that stays on its pieces has hit the minimum.
                break
            piece = new_piece
        return flow, hessian

    def _search(self, step: Array, descent: float) -> float:
        """Return the share of a step to take: 1, or where the function has nearly stopped falling.

        The slope along the step is piecewise linear and rises, so its root is bracketed by secants.
        """
        low, low_slope, size = 0.0, descent, 1.0
        high, high_slope = 1.0, 0.0
        trial = self.prices.copy()
        for _ in range(SEARCH_STEPS_MAX):
            trial[self.others] = self.prices[self.others] + size * step
            slope = float(self._links(trial)[2] @ step)
            if abs(slope) <= -SEARCH_SHARE * descent or (size == 1.0 and slope <= 0.0):
                break
            if slope > 0.0:
                high, high_slope = size, slope
            else:
                low, low_slope = size, slope
            width = high - low
            size = low - low_slope * width / (high_slope - low_slope)
            size = min(max(size, low + 0.05 * width), high - 0.05 * width)
        return size
