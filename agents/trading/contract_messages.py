"""What a microgrid trader and the prosumers under contract say to each other, and their facts.

Who needs something asks until it has it: the trader for offers, the prosumer for its schedule. All
that is said about an interval stays as it is, so a repeated, late or reordered message changes
nothing. Inner arrays have one entry for each market period of the horizon.
"""

from math import fsum
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.grid_parts import Count, LocalTime, Power, VoltagePu
from peercell.agents.messages import Message
from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.calendar import MarketPhase
from peercell.agents.trading.messages import (
    PERIODS_MAX,
    EnergyVector,
    PriceVector,
    TraderSettled,
)
from peercell.agents.units import Counter, EnergyKwh, MoneyEur, PeerName, PriceEurPerKwh

BLOCKS_MAX = 1000
PROSUMERS_MAX = 10_000


class OfferCall(Message, frozen=True):
    """What do you need and can you make in an interval? Answered by `ProsumerOffer`."""

    interval: Counter


class ProsumerOffer(Message, frozen=True):
    """Load and blocks for an interval, and the part of the load that is in no block."""

    interval: Counter
    offers: Annotated[tuple[Offer, ...], Meta(min_length=1, max_length=PERIODS_MAX)]
    firm_kwh: EnergyVector


class ScheduleCall(Message, frozen=True):
    """What shall I do in an interval? Answered by `Schedule` as soon as there is a plan."""

    interval: Counter


class Share(Struct, frozen=True, array_like=True):
    """A prosumer's part of a plan in one period: energy of each block offered, load not served.

    `load_kwh` is the load that the plan counts on.
    """

    price_eur_per_kwh: PriceEurPerKwh
    load_kwh: EnergyKwh
    blocks_kwh: Annotated[tuple[EnergyKwh, ...], Meta(max_length=BLOCKS_MAX)]
    unserved_kwh: EnergyKwh = 0.0

    @property
    def injection_kwh(self) -> float:
        """What the plan expects to be fed into the grid, negative for consumption."""
        return fsum((*self.blocks_kwh, self.unserved_kwh, -self.load_kwh))


class Schedule(Message, frozen=True):
    """What a prosumer shall do in an interval.

    `certified` is False when the gate closed before the traders agreed that the plan is good.
    """

    interval: Counter
    shares: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=PERIODS_MAX)]
    certified: bool


ContractMessage = OfferCall | ProsumerOffer | ScheduleCall | Schedule
"""All that crosses a link between a trader and a prosumer."""


# Facts of a trader.


class LateOffer(Message, frozen=True):
    """Fact: a prosumer's offer was not there when trading opened.

    Its newest offer, of interval `substitute`, counts instead; None: the plan goes without it.
    """

    interval: Counter
    prosumer: PeerName
    substitute: Counter | None


class Shortage(Struct, frozen=True, array_like=True):
    """Who does not get energy that it needs, and how much in each period.

    The trader itself is named for what it has sold and does not get.
    """

    peer: PeerName
    unserved_kwh: EnergyVector


class Settlement(Message, frozen=True):
    """Fact: what a trader has settled for an interval.

    Generation, load and trades balance: generation + bought + unserved = load + sold + spilled.
    `retail_eur` is what it would have cost with the retailer alone, and without one standing alone;
    `saving_eur` is that minus what the plan costs, payments included. The savings of all members of
    a market add up to at least minus their gaps.
    """

    interval: Counter
    at: LocalTime
    plan: TraderSettled
    load_kwh: EnergyVector
    short: Annotated[tuple[Shortage, ...], Meta(max_length=PROSUMERS_MAX)]
    late: Annotated[tuple[PeerName, ...], Meta(max_length=PROSUMERS_MAX)]
    retail_eur: MoneyEur
    saving_eur: MoneyEur


class Unsettled(Message, frozen=True):
    """Fact: the delivery of an interval began and the trader has no plan for it.

    Prosumers without a schedule follow their profiles. A trader that was restarted says so too when
    its earlier life had settled the interval: that plan stands, but it does not know it.
    """

    interval: Counter


class MarketStatusQuery(Message, frozen=True):
    """Command: how does the market go? Answered by `MarketStatus`."""


class MarketStatus(Message, frozen=True):
    """How a trader's market goes.

    `interval` is being traded in `phase`; `rounds`, `price_eur_per_kwh` and `converged` are of it.
    `last` is the newest settlement. The rest is counted since the trader started: intervals
    settled, those of them without a certificate (`fallbacks`), those without any plan in time.
    """

    interval: Counter | None
    phase: MarketPhase
    rounds: Count
    price_eur_per_kwh: PriceVector | None
    converged: bool
    last: Settlement | None
    settled: Count = 0
    fallbacks: Count = 0
    unsettled: Count = 0
    late_offers: Count = 0
    traded_kwh: EnergyKwh = 0.0
    unserved_kwh: EnergyKwh = 0.0
    saving_eur: MoneyEur = 0.0


# Facts of a prosumer.


class Fallback(Message, frozen=True):
    """Fact: a prosumer has no schedule when delivery begins, and follows its profile."""

    interval: Counter


class Delivery(Message, frozen=True):
    """Fact: what a prosumer had planned for an interval, and what was measured near its end.

    Energies are injections into the grid, negative for consumption. `measured_kwh` is None and
    `voltages_pu` empty when the grid service did not answer in time; `scheduled` is False when the
    plan is the profile. A prosumer that was restarted may say it again: the newest counts that was
    measured.
    """

    interval: Counter
    scheduled: bool
    planned_kwh: Power
    measured_kwh: Power | None
    voltages_pu: Annotated[tuple[VoltagePu | None, ...], Meta(max_length=1000)]

    @property
    def deviation_kwh(self) -> float | None:
        """What was measured beyond the plan; None when nothing was measured."""
        return None if self.measured_kwh is None else self.measured_kwh - self.planned_kwh


MarketFact = LateOffer | Settlement | Unsettled | Fallback | Delivery
"""All that traders and prosumers tell their observers about the market."""
