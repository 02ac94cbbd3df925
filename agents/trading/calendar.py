"""Which interval is delivered now, which is traded, and how far its trading has come.

Trading for interval k takes place during the delivery of interval k - 1:

    |<-------------------- interval_s -------------------->|
    | offers are collected |   trading    |  closed        | delivery of k ...
    0                      offers_due     closure          1

All peers of a market share one calendar, so nobody has to tell them the time of the market.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from math import floor
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.grid_parts import LocalTime
from peercell.agents.units import PositiveDurationS

# Share of an interval by which a timer may fire early, from the rounding of host times.
_EARLY = 1e-6
# s; no timer is shorter, so that rounding cannot make one fire at one time for ever.
_TIMER_S_MIN = 1e-3

HostTimeS = Annotated[float, Meta(ge=-1e11, le=1e11)]
Share = Annotated[float, Meta(gt=0.0, lt=1.0)]


class MarketPhase(StrEnum):
    """How far the market for an interval has come."""

    AHEAD = "ahead"
    """The first interval is not yet traded."""
    OFFERS = "offers"
    """Prosumers tell their traders what they need and can make."""
    TRADING = "trading"
    """Traders seek prices."""
    CLOSED = "closed"
    """The gate is closed: plans become schedules."""
    OVER = "over"
    """The last interval has been delivered."""


class Moment(Struct, frozen=True):
    """What the calendar says of a time.

    `traded` and `delivered` are intervals; None where there is none.
    """

    phase: MarketPhase
    traded: int | None
    delivered: int | None


class MarketCalendar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When what happens in a market; the same for all its peers.

    Parameters
    ----------
    origin_s : host time in s at which the delivery of interval 0 begins
    at_first : simulated local time of that moment
    intervals : how many are delivered; > 0
    interval_s : host s an interval; `period_s` over the speed of the cell; > 0
    period_s : simulated s an interval
    offers_due : share of an interval after which trading opens with the offers that are there
    closure : share of an interval at which the gate closes, after `offers_due`; later leaves less
        time for schedules

    Raises
    ------
    ValueError : the gate closes before trading opens.
    """

    origin_s: HostTimeS
    at_first: LocalTime
    intervals: Annotated[int, Meta(ge=1, le=2**31)]
    interval_s: PositiveDurationS = 900.0
    period_s: PositiveDurationS = 900.0
    offers_due: Share = 0.2
    closure: Share = 0.8

    def __post_init__(self) -> None:
        if self.closure <= self.offers_due:
            raise ValueError(
                f"closure ({self.closure}) must come after offers_due ({self.offers_due})"
            )

    @property
    def period_h(self) -> float:
        """Simulated hours an interval: kWh for each kW."""
        return self.period_s / 3600.0

    def start_s(self, interval: int) -> float:
        """Return the host time in s at which the delivery of an interval begins."""
        return self.origin_s + interval * self.interval_s

    def due_s(self, interval: int) -> float:
        """Return the host time in s at which trading for an interval opens."""
        return self.start_s(interval - 1) + self.offers_due * self.interval_s

    def closure_s(self, interval: int) -> float:
        """Return the host time in s at which trading for an interval ends in any case."""
        return self.start_s(interval - 1) + self.closure * self.interval_s

    def at(self, interval: int) -> datetime:
        """Return the simulated local time at which the delivery of an interval begins."""
        return self.at_first + timedelta(seconds=self.period_s) * interval

    def moment(self, now_s: float) -> Moment:
        """Return what is traded and delivered at a host time in s."""
        delivered, share = self._place(now_s)
        if delivered < -1:
            return Moment(MarketPhase.AHEAD, None, None)
        if delivered >= self.intervals:
            return Moment(MarketPhase.OVER, None, None)
        if share < self.offers_due:
            phase = MarketPhase.OFFERS
        elif share < self.closure:
            phase = MarketPhase.TRADING
        else:
            phase = MarketPhase.CLOSED
        traded = delivered + 1
        return Moment(
            phase,
            traded if traded < self.intervals else None,
            delivered if delivered >= 0 else None,
        )

    def until_change_s(self, now_s: float) -> float | None:
        """Return the s until the next phase begins; None when all is over."""
        delivered, share = self._place(now_s)
        if delivered >= self.intervals:
            return None
        if delivered < -1:
            change_s = self.start_s(-1)
        elif share < self.offers_due:
            change_s = self.due_s(delivered + 1)
        elif share < self.closure:
            change_s = self.closure_s(delivered + 1)
        else:
            change_s = self.start_s(delivered + 1)
        return max(change_s - now_s, _TIMER_S_MIN)

    def _place(self, now_s: float) -> tuple[int, float]:
        """Return the interval that is delivered and the share of it that is over."""
        place = (now_s - self.origin_s) / self.interval_s + _EARLY
        return floor(place), place - floor(place)


def at_interval(series: tuple[float, ...], interval: int) -> float:
    """Return the value of a series in an interval; a series of one value always holds.

    Raises
    ------
    IndexError : the series is shorter than the market.
    """
    return series[0] if len(series) == 1 else series[interval]
