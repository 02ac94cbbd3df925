"""What an aggregator does: it is the microgrids' access to the wholesale market.

It is a trader whose offer is made of wholesale prices. It needs as much as it would buy at most,
and can make as much as it would sell, in two blocks. The first says at which price it would rather
not buy: below the feed-in price it takes energy from the cell, above it keeps it. The second sells
at the retail price. So no mechanism of its own is needed (section II of the paper: the aggregator
as the retailer of the microgrids).
"""

from msgspec import Struct

from peercell.agents.protocol import Action, Event
from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.calendar import MarketCalendar, at_interval
from peercell.agents.trading.market import MarketTrader, MarketTraderSettings
from peercell.agents.trading.retail import PriceSeries
from peercell.agents.trading.settings import TraderSettings
from peercell.agents.units import EnergyKwh


class AggregatorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One aggregator.

    Parameters
    ----------
    trading, calendar : see `MarketTraderSettings`
    feed_in_eur_per_kwh : what it pays for surplus in each interval, or one value for all
    retail_eur_per_kwh : what it asks for energy, likewise; never below the feed-in price
    feed_in_kwh_max : most that it buys in an interval. Its value counts as a cost in the relative
        gap, so keep it near what the cell can make; the connection's rating is a good choice
    retail_kwh_max : most that it sells in an interval
    """

    trading: TraderSettings
    calendar: MarketCalendar
    feed_in_eur_per_kwh: PriceSeries
    retail_eur_per_kwh: PriceSeries
    feed_in_kwh_max: EnergyKwh
    retail_kwh_max: EnergyKwh

    def __post_init__(self) -> None:
        for series in (self.feed_in_eur_per_kwh, self.retail_eur_per_kwh):
            if len(series) not in {1, self.calendar.intervals}:
                raise ValueError(
                    f"{len(series)} prices for a market of {self.calendar.intervals} intervals"
                )
        for interval in range(self.calendar.intervals):
            feed_in = at_interval(self.feed_in_eur_per_kwh, interval)
            retail = at_interval(self.retail_eur_per_kwh, interval)
            if feed_in > retail:
                raise ValueError(
                    f"in interval {interval} it buys at {feed_in} EUR/kWh and sells at {retail}:"
                    " anybody could earn by trading with it in a circle"
                )


def wholesale_offer(settings: AggregatorSettings, interval: int) -> Offer:
    """Return the offer that stands for the wholesale market in an interval."""
    feed_in = at_interval(settings.feed_in_eur_per_kwh, interval)
    retail = at_interval(settings.retail_eur_per_kwh, interval)
    return Offer(
        settings.feed_in_kwh_max,
        (
            Block(feed_in, 0.0, settings.feed_in_kwh_max),
            Block(retail, 0.0, settings.retail_kwh_max),
        ),
    )


class Aggregator:
    """Sells to and buys from the traders of a cell at wholesale prices; see `Role`."""

    def __init__(self, settings: AggregatorSettings) -> None:
        self.settings = settings
        self._market = MarketTrader(
            MarketTraderSettings(trading=settings.trading, calendar=settings.calendar),
            lambda interval: wholesale_offer(settings, interval),
        )

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return self._market.step(event, now_s)
