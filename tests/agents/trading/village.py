"""A village for tests: four microgrids with 13 prosumers, an aggregator, a DSO, a grid service."""

from dataclasses import dataclass
from datetime import datetime
from math import cos, pi, sin
from typing import TypeVar

from tests.agents.trading.fake_grid import FakeGrid

from peercell.agents.dso import Dso, DsoSettings
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Role, Send
from peercell.agents.trading.aggregator import Aggregator, AggregatorSettings
from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.calendar import MarketCalendar
from peercell.agents.trading.contract_messages import Delivery, Schedule, Settlement
from peercell.agents.trading.links import Link
from peercell.agents.trading.market import MarketTrader, MarketTraderSettings
from peercell.agents.trading.portfolio import ProsumerAsset
from peercell.agents.trading.prosumer import Prosumer, ProsumerSettings
from peercell.agents.trading.retail import RetailTerms
from peercell.agents.trading.settings import MarketCell, TraderSettings
from peercell.broker.faults.network import LinkFaults
from peercell.broker.plans.retail import retail_terms
from peercell.broker.simulation import Simulation

Fact = TypeVar("Fact", bound=Message)

VOLL_EUR_PER_KWH = 3.0
TOLERANCE = 1e-6
FEED_IN, RETAIL = 0.08, 0.30
TRADERS = ("mg1", "mg2", "mg3", "mg4")
HOMES = {"mg1": 1, "mg2": 3, "mg3": 4, "mg4": 5}
MARKET = (*TRADERS, "aggregator")


def calendar(intervals: int, interval_s: float = 10.0) -> MarketCalendar:
    """Return a calendar whose interval 0 is delivered from host time 1000 s on."""
    return MarketCalendar(
        origin_s=1000.0,
        at_first=datetime(2016, 5, 28, 9, 0),
        intervals=intervals,
        interval_s=interval_s,
    )


def homes(trader: str) -> list[str]:
    """Return the prosumers under contract with a trader."""
    return [f"{trader}-home{k}" for k in range(HOMES[trader])]


def prosumers() -> list[str]:
    """Return all prosumers."""
    return [home for trader in TRADERS for home in homes(trader)]


def units(home: str, intervals: int) -> tuple[ProsumerAsset, ...]:
    """Return load, PV, a recorded battery and here and there a small generator, all different."""
    k = prosumers().index(home)
    turns = [2.0 * pi * (i + k) / 7.0 for i in range(intervals)]
    load_kw = tuple(-(2.0 + k % 4 + sin(turn)) for turn in turns)
    pv_kw = tuple(max((3.0 + 2.5 * k) * (1.0 + cos(turn)) / 2.0 - 2.0, 0.0) for turn in turns)
    battery_kw = tuple(1.5 * sin(turn + k) for turn in turns)
    listed = [
        ProsumerAsset(
            asset=f"{home}-load",
            p_kw=load_kw,
            q_kvar=tuple(0.4 * p_kw for p_kw in load_kw),
            flexible_share=0.25 if k % 2 else 0.0,
            price_eur_per_kwh=0.12 + 0.02 * k,
            slope_eur_per_kwh2=0.1,
        ),
        ProsumerAsset(asset=f"{home}-pv", p_kw=pv_kw),
        ProsumerAsset(asset=f"{home}-battery", p_kw=battery_kw),
    ]
    if k % 3 == 0:
        # Behind the meter of the load.
        listed.append(
            ProsumerAsset(
                asset=f"{home}-load",
                p_kw=(2.0,),
                price_eur_per_kwh=0.15 + 0.01 * k,
                slope_eur_per_kwh2=0.2,
            )
        )
    return tuple(listed)


def _both_ways(first: str, second: str, fee: float, capacity_kwh: float) -> MarketCell:
    links = (
        Link(first, second, fee, 0.002, capacity_kwh),
        Link(second, first, fee, 0.002, capacity_kwh),
    )
    return MarketCell(f"{first}~{second}", (first, second), links)


def cells() -> tuple[MarketCell, ...]:
    """Return the links: a ring of microgrids, each also linked to the aggregator."""
    ring = zip(TRADERS, (*TRADERS[1:], TRADERS[0]), strict=True)
    return (
        *(_both_ways(one, other, 0.01, 2.0) for one, other in ring),
        *(_both_ways(trader, "aggregator", 0.02, 1e9) for trader in TRADERS),
    )


def trading(name: str, round_s: float) -> TraderSettings:
    """Return the settings of one trader's market access."""
    return TraderSettings(
        name=name,
        offers=(Offer(0.0),),
        voll_eur_per_kwh=VOLL_EUR_PER_KWH,
        roster=MARKET,
        cells=tuple(cell for cell in cells() if name in cell.members),
        gossip_peers=tuple(peer for peer in MARKET if peer != name),
        tolerance=TOLERANCE,
        round_s=round_s,
    )


GOOD_LINKS = LinkFaults(delay_s_min=0.002, delay_s_max=0.002)
BAD_LINKS = LinkFaults(drop=0.3, duplicate=0.1, delay_s_min=0.002, delay_s_max=0.03)


@dataclass
class Tap:
    """A trader whose schedules are overheard."""

    role: Role
    heard: list[tuple[str, Schedule]]

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        actions = self.role.step(event, now_s)
        self.heard += [
            (action.to, action.message)
            for action in actions
            if isinstance(action, Send) and isinstance(action.message, Schedule)
        ]
        return actions


@dataclass
class Skewed:
    """A role whose clock is ahead."""

    role: Role
    ahead_s: float

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return self.role.step(event, now_s + self.ahead_s)


@dataclass
class Village:
    """The village, ready to start.

    Parameters
    ----------
    market : when what happens.
    faults : of all links.
    seed : of the faults.
    round_s : of the traders.
    retry_s : of everybody.
    limit_kw : see `FakeGrid`.
    skew_s : clocks are ahead by up to this, each by another part of it.
    """

    market: MarketCalendar
    faults: LinkFaults = GOOD_LINKS
    seed: int = 0
    round_s: float = 0.02
    retry_s: float = 0.1
    limit_kw: float = 1e9
    skew_s: float = 0.0

    def __post_init__(self) -> None:
        owners = {
            home: tuple(dict.fromkeys(unit.asset for unit in units(home, self.market.intervals)))
            for home in prosumers()
        }
        self.grid = FakeGrid(owners, ("dso",), self.limit_kw)
        self.simulation = Simulation(self.faults, self.seed)
        self.schedules: list[tuple[str, Schedule]] = []

    def names(self) -> list[str]:
        """Return all peers, the grid service first."""
        return ["grid", "dso", *MARKET, *prosumers()]

    def role(self, name: str) -> Role:
        """Return a new role for a peer, with nothing remembered; the grid service stays itself."""
        names = self.names()
        return Skewed(
            self._role(name), self.skew_s * (7 * names.index(name) % len(names)) / len(names)
        )

    def _role(self, name: str) -> Role:
        match name:
            case "grid":
                return self.grid
            case "dso":
                return Dso(
                    DsoSettings(name=name, grid="grid", calendar=self.market, retry_s=self.retry_s)
                )
            case "aggregator":
                return Aggregator(self.aggregator_settings())
            case _ if name in TRADERS:
                return Tap(self._trader(name), self.schedules)
            case _:
                return self._prosumer(name)

    def aggregator_settings(self) -> AggregatorSettings:
        """Return what the aggregator is told."""
        return AggregatorSettings(
            trading=trading("aggregator", self.round_s),
            calendar=self.market,
            feed_in_eur_per_kwh=(FEED_IN,),
            retail_eur_per_kwh=(RETAIL,),
            feed_in_kwh_max=40.0,
            retail_kwh_max=40.0,
        )

    def retail_terms(self) -> dict[str, RetailTerms]:
        """Return what each trader could have from the aggregator alone; all homes are equal."""
        links = (link for cell in cells() for link in cell.links)
        counts = {trader: float(count) for trader, count in HOMES.items()}
        return retail_terms(links, self.aggregator_settings(), counts)

    def _trader(self, name: str) -> MarketTrader:
        return MarketTrader(
            MarketTraderSettings(
                trading=trading(name, self.round_s),
                calendar=self.market,
                prosumers=tuple(homes(name)),
                retail=self.retail_terms()[name],
                retry_s=self.retry_s,
            )
        )

    def _prosumer(self, name: str) -> Prosumer:
        return Prosumer(
            ProsumerSettings(
                name=name,
                grid="grid",
                calendar=self.market,
                units=units(name, self.market.intervals),
                trader=name.partition("-")[0],
                retry_s=self.retry_s,
            )
        )

    def start(self, at_s: float | None = None) -> None:
        """Start everybody, by default a second before the first offers are called for."""
        first_s = self.market.start_s(-1) - 1.0 if at_s is None else at_s
        for name in self.names():
            self.simulation.start(name, self.role(name), first_s)

    def restart(self, name: str, down_s: float, up_s: float) -> None:
        """Let a peer crash at one time and come back with nothing remembered at another."""
        self.simulation.crash(name, down_s)
        self.simulation.start(name, self.role(name), up_s)

    def run_to_end(self) -> None:
        """Run until the last interval has been delivered."""
        self.simulation.run(self.market.start_s(self.market.intervals) + 1.0)

    def facts(self, kind: type[Fact]) -> list[tuple[str, Fact]]:
        """Return who has recorded what of one kind, in the order of time."""
        return [(name, fact) for _, name, fact in self.simulation.facts if isinstance(fact, kind)]

    def settlements(self, interval: int) -> dict[str, Settlement]:
        """Return each trader's settlement of an interval.

        Raises
        ------
        AssertionError : a trader has settled it in two ways.
        """
        found: dict[str, Settlement] = {}
        for name, fact in self.facts(Settlement):
            if fact.interval == interval:
                again, plan = found.setdefault(name, fact).plan, fact.plan
                same = (again.price_eur_per_kwh, again.trades) == (
                    plan.price_eur_per_kwh,
                    plan.trades,
                )
                assert same, f"{name} has settled interval {interval} in two ways"
        return found

    def deliveries(self, interval: int) -> dict[str, Delivery]:
        """Return each prosumer's delivery in an interval."""
        return {name: fact for name, fact in self.facts(Delivery) if fact.interval == interval}

    def blocks_kwh(self, trader: str, interval: int) -> list[float]:
        """Return what each block of a trader's offer makes, as its prosumers were told."""
        if trader == "aggregator":
            made_kwh = self.settlements(interval)[trader].plan.generation_kwh[0]
            most_kwh = self.aggregator_settings().feed_in_kwh_max
            return [min(made_kwh, most_kwh), max(made_kwh - most_kwh, 0.0)]
        told = {
            home: schedule for home, schedule in self.schedules if schedule.interval == interval
        }
        return [energy for home in homes(trader) for energy in told[home].shares[0].blocks_kwh]
