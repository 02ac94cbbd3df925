"""What a device can inject, and what it injects at given prices: the private half of the control.

P in kW and Q in kvar, positive = injection into the grid. Prices are in units of cost per kW and
per kvar of injection; a positive price asks for less.
"""

import math
from typing import Annotated

from msgspec import Meta, Struct

PRICE_MAX = 1e9
"""Prices are cut to plus or minus this; beyond it every device is at a bound anyway."""

# h in which a battery gives back what it was lent, or takes back what it has given, when nothing is
# asked of it.
_REPAID_H = 4.0
# Halvings of a range of power: what is left is below the last bit of its ends.
_HALVINGS = 64
# Share of the rating over which the slope of the reactive limit is taken. At a corner this gives
# the edge below it, on which a device moves when it is asked for less.
_SLOPE_STEP = 1e-4
# Shares of the rating: below the first Q the circle is too steep for such a step, below the second
# it is vertical.
_STEEP, _TIP = 0.05, 1e-6

Weight = Annotated[float, Meta(ge=0.0, le=1e9)]
PositiveWeight = Annotated[float, Meta(gt=0.0, le=1e9)]
Kilowatt = Annotated[float, Meta(ge=-1e9, le=1e9)]
Rating = Annotated[float, Meta(ge=0.0, le=1e9)]


class Weights(Struct, frozen=True, kw_only=True):
    """What leaving the plan costs: linear * (P0 - P) + active * (P0 - P)² / 2 + reactive * Q² / 2.

    Parameters
    ----------
    linear : per kW; larger keeps energy and spends reactive power instead
    active : per kW²; larger shares the burden more evenly
    reactive : per kvar²; larger spares losses and curtails earlier
    """

    linear: Weight
    active: PositiveWeight
    reactive: PositiveWeight


class Response(Struct, frozen=True):
    """How a device answers to a small change of its prices.

    Parameters
    ----------
    along : kW by which P falls for a unit of price along the edge (1, `edge`)
    edge : dQ/dP where Q is at its limit, 0 where it is free
    reactive : kvar by which Q falls for a unit of its price; 0 where it is at its limit
    gap : price along the edge that is missing until P moves: > 0 at its upper bound, < 0 at its
        lower one, 0 where it moves
    """

    along: float
    edge: float
    reactive: float
    gap: float


class Device(Struct, frozen=True, kw_only=True):
    """A device as it stands: its working range and what leaving the plan costs it.

    The range is `p_kw_min` <= P <= `p_kw_max`, P² + Q² <= `rating_kva`², |Q| <= `q_kvar_max` and,
    with `tan_max`, |Q| <= `tan_max` P. That last limit is for devices that only feed in: without
    it an inverter is a STATCOM at night.

    Parameters
    ----------
    planned_kw : P0, what it would inject without control; Q is then 0
    weights : of leaving the plan
    """

    p_kw_min: Kilowatt
    p_kw_max: Kilowatt
    planned_kw: Kilowatt
    rating_kva: Rating
    q_kvar_max: Rating
    weights: Weights
    tan_max: Annotated[float, Meta(ge=0.0, le=1e6)] | None = None

    def __post_init__(self) -> None:
        if self.p_kw_min > self.p_kw_max or abs(self.p_kw_min) > self.rating_kva * (1 + 1e-12):
            raise ValueError(f"no power between {self.p_kw_min} and {self.p_kw_max} kW")
        if self.tan_max is not None and self.p_kw_min < 0.0:
            raise ValueError("a power factor limit is for devices that only feed in")

    @property
    def p_kw_most(self) -> float:
        """Largest P within range and rating."""
        return min(self.p_kw_max, self.rating_kva)

    def reactive_limit(self, p_kw: float) -> float:
        """Return the largest |Q| in kvar beside a P within the range."""
        size = abs(p_kw)
        circle = math.sqrt(max(self.rating_kva - size, 0.0) * (self.rating_kva + size))
        limit = min(circle, self.q_kvar_max)
        return limit if self.tan_max is None else min(limit, self.tan_max * size)

    def cost(self, p_kw: float, q_kvar: float) -> float:
        """Return what an injection costs beside the plan."""
        less, weights = self.planned_kw - p_kw, self.weights
        return (
            weights.linear * less
            + 0.5 * weights.active * less * less
            + 0.5 * weights.reactive * q_kvar * q_kvar
        )

    def nearest(self, p_kw: float, q_kvar: float) -> tuple[float, float]:
        """Return an injection within the range: P first, then as much of Q as fits beside it."""
        active = min(max(p_kw, self.p_kw_min), self.p_kw_most)
        limit = self.reactive_limit(active)
        return active, min(max(q_kvar, -limit), limit)

    def best(self, price_kw: float, price_kvar: float) -> tuple[float, float]:
        """Return the P and Q of least cost at these prices.

        For a given P the best Q is a clipped one; what is left is convex in P, so its derivative
        is halved down to the last bit.
        """
        price_kw, price_kvar = _cut(price_kw), _cut(price_kvar)
        low, high = self.p_kw_min, self.p_kw_most
        if self._slope(high, price_kw, price_kvar) <= 0.0:
            low = high
        elif self._slope(low, price_kw, price_kvar) >= 0.0:
            high = low
        for _ in range(_HALVINGS):
            middle = low + 0.5 * (high - low)
            if not low < middle < high:
                break
            if self._slope(middle, price_kw, price_kvar) > 0.0:
                high = middle
            else:
                low = middle
        return low, self._reactive(low, price_kvar)

    def response(self, price_kw: float, price_kvar: float) -> Response:
        """Return how the best injection moves with the prices.

        On the circle the limit itself bends, which adds the multiplier nu to both weights.
        """
        price_kw, price_kvar = _cut(price_kw), _cut(price_kvar)
        p_kw, q_kvar = self.best(price_kw, price_kvar)
        weights, limit = self.weights, self.reactive_limit(p_kw)
        slope = price_kw - weights.linear + weights.active * (p_kw - self.planned_kw)
        free = -price_kvar / weights.reactive
        if abs(free) < limit:
            gap = self._gap(p_kw, slope)
            return Response(1.0 / weights.active, 0.0, 1.0 / weights.reactive, gap)
        bend, edge = 0.0, self._edge(p_kw, limit)
        if self._is_on_circle(p_kw, limit):
            if limit <= _TIP * self.rating_kva:
                # Where the circle is vertical Q moves alone, and P when its price pays for it.
                if not p_kw:
                    return Response(0.0, 0.0, 0.0, 0.0)
                bend = max(-slope / p_kw, 0.0)
                return Response(1.0 / weights.active, 0.0, 1.0 / (weights.reactive + bend), -slope)
            bend = weights.reactive * (abs(free) / limit - 1.0)
        edge = math.copysign(edge, edge * free)
        stiff = weights.active + bend + (weights.reactive + bend) * edge * edge
        slope += edge * (price_kvar + weights.reactive * q_kvar)
        return Response(1.0 / stiff, edge, 0.0, self._gap(p_kw, slope))

    def _gap(self, p_kw: float, slope: float) -> float:
        """Return what is missing until P leaves a bound that the derivative holds it at."""
        held_high = p_kw >= self.p_kw_most and slope < 0.0
        held_low = p_kw <= self.p_kw_min and slope > 0.0
        return -slope if held_high or held_low else 0.0

    def _reactive(self, p_kw: float, price_kvar: float) -> float:
        limit = self.reactive_limit(p_kw)
        return min(max(-price_kvar / self.weights.reactive, -limit), limit)

    def _slope(self, p_kw: float, price_kw: float, price_kvar: float) -> float:
        """Return the derivative of the cost by P where Q follows as well as it can."""
        weights = self.weights
        slope = price_kw - weights.linear + weights.active * (p_kw - self.planned_kw)
        limit = self.reactive_limit(p_kw)
        missing = abs(price_kvar) - weights.reactive * limit
        if missing <= 0.0:
            return slope
        return slope - missing * self._limit_slope(p_kw, limit)

    def _limit_slope(self, p_kw: float, limit: float) -> float:
        """Return the derivative of the reactive limit by P."""
        if self.tan_max is not None and limit >= self.tan_max * abs(p_kw):
            return self.tan_max
        if not self._is_on_circle(p_kw, limit):
            return 0.0
        return -p_kw / limit if limit > 0.0 else math.copysign(math.inf, -p_kw)

    def _is_on_circle(self, p_kw: float, limit: float) -> bool:
        on_triangle = self.tan_max is not None and limit >= self.tan_max * abs(p_kw)
        return limit < self.q_kvar_max and not on_triangle

    def _edge(self, p_kw: float, limit: float) -> float:
        """Return the slope of the reactive limit just below P."""
        step = _SLOPE_STEP * self.rating_kva
        below = max(p_kw - step, self.p_kw_min)
        if below >= p_kw or (limit < _STEEP * self.rating_kva and self._is_on_circle(p_kw, limit)):
            return self._limit_slope(p_kw, limit)
        return (limit - self.reactive_limit(below)) / (p_kw - below)


class DeviceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An asset that control may move; what it can do follows from what it is about to inject.

    P ranges from its plan to `floor_kw` below and `ceiling_kw` above, None for no way; of these
    ways only `share` is open. PV has a floor of 0, a flexible load a ceiling of 0, storage both.

    Parameters
    ----------
    asset : its name in the cell
    rating_kva, q_kvar_max, tan_max : see `Device`
    weights : of leaving the plan
    energy_kwh : what a battery holds; None where energy does not count
    hold_h : h for which a battery must be able to hold its power; larger keeps further from full
        and from empty
    """

    asset: Annotated[str, Meta(min_length=1, max_length=80)]
    rating_kva: Rating
    q_kvar_max: Rating
    weights: Weights
    tan_max: Annotated[float, Meta(ge=0.0, le=1e6)] | None = None
    floor_kw: Kilowatt | None = None
    ceiling_kw: Kilowatt | None = None
    share: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    energy_kwh: Rating | None = None
    hold_h: Annotated[float, Meta(gt=0.0, le=1000.0)] = 0.25

    def at(self, planned_kw: float, stored_kwh: float = 0.0, lent_kwh: float = 0.0) -> Device:
        """Return the device as it stands when it is about to inject this much, in kW.

        Parameters
        ----------
        planned_kw : by its schedule or profile
        stored_kwh : what a battery holds now
        lent_kwh : how much of it control has put there, < 0 for taken; it is given back slowly
        """
        planned_kw += lent_kwh / _REPAID_H
        planned = min(max(planned_kw, -self.rating_kva), self.rating_kva)
        low = high = planned
        if self.floor_kw is not None:
            low += self.share * min(max(self.floor_kw, -self.rating_kva) - planned, 0.0)
        if self.ceiling_kw is not None:
            high += self.share * max(min(self.ceiling_kw, self.rating_kva) - planned, 0.0)
        if self.energy_kwh is not None:
            least = min(stored_kwh - self.energy_kwh, 0.0) / self.hold_h
            most = stored_kwh / self.hold_h
            low, high = min(max(low, least), most), max(min(high, most), least)
        return Device(
            p_kw_min=low,
            p_kw_max=high,
            planned_kw=planned,
            rating_kva=self.rating_kva,
            q_kvar_max=self.q_kvar_max,
            weights=self.weights,
            tan_max=self.tan_max,
        )


def _cut(price: float) -> float:
    return min(max(price, -PRICE_MAX), PRICE_MAX)
