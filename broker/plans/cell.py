"""Which peers make up a cell, what each must be told, and to whom it talks.

It follows from the config and the grid alone, so every process of a cell can make the same plan.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from peercell.agents.dso import DsoSettings
from peercell.agents.trading.aggregator import AggregatorSettings
from peercell.agents.trading.ballots import vote_peers
from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.calendar import MarketCalendar
from peercell.agents.trading.market import MarketTraderSettings
from peercell.agents.trading.prosumer import ProsumerSettings
from peercell.agents.trading.retail import RetailTerms
from peercell.agents.trading.settings import MarketCell, TraderSettings
from peercell.broker.cells import LoadedCell
from peercell.broker.config import Config, Telemetry
from peercell.broker.configuration.role_tables import (
    DSO,
    GRID_SERVICE,
    PROSUMER,
    TRADING,
    WHOLESALE,
)
from peercell.broker.configuration.settings_table import Section, SettingsTable
from peercell.broker.own_class import own_class
from peercell.broker.plans.levels import AgentSettings
from peercell.broker.plans.market import (
    AGGREGATOR,
    market_cells,
    market_members,
    trader_of,
)
from peercell.broker.plans.neighbours import neighbours
from peercell.broker.plans.prosumers import Schedule, traded, units
from peercell.broker.plans.retail import asset_powers_kw, retail_terms
from peercell.broker.plans.voltage import voltage_plan
from peercell.grid.model import Cell, Customer, Microgrid, Zones
from peercell.grid.service_rights import Access, GridServiceSettings

S = TypeVar("S", bound=Struct)
T = TypeVar("T", bound=Section)

DSO_ID, GRID_ID = "dso", "grid"
# With fewer rounds an interval, trading would end without agreement at every gate closure: a market
# of five takes 10 to 20 from one interval to the next, and up to 60 in its first.
ROUNDS_MIN = 40
_SHARED_TABLES = (
    "only a class can be its own; all members of the market share [trading] and [wholesale],"
    " the DSO has [dso], the grid service [grid_service]"
)


class GridPeerSettings(Struct, frozen=True, kw_only=True):
    """What the process of the grid service must be told.

    Parameters
    ----------
    folder : of the cell
    zones : how the cell is divided, in place of what its file says
    service : of the role
    """

    folder: str
    zones: Zones
    service: GridServiceSettings


class PeerPlan(Struct, frozen=True, kw_only=True):
    """One peer of a cell.

    Parameters
    ----------
    id : unique in the cell
    role : name of what it is
    settings : Struct of the role
    neighbours : peers to which it talks, as they do to it
    make : reference of the class that the config wants for it; "" for that of the role
    """

    id: str
    role: str
    settings: Any
    neighbours: tuple[str, ...]
    make: str = ""


class CellPlan(Struct, frozen=True, kw_only=True):
    """All peers of a cell, and what holds for each of them.

    Parameters
    ----------
    name : of the cell
    seed : of all chance in it
    calendar : of its market
    telemetry : what is written down
    keys : folder with the keys of its peers; "" for none
    market : its links, each in the market cell in which it is cleared
    peers : each microgrid's trader followed by its prosumers, then aggregator, DSO, voltage
        agents, grid service
    """

    name: str
    seed: int
    calendar: MarketCalendar
    telemetry: Telemetry
    keys: str
    market: tuple[MarketCell, ...]
    peers: tuple[PeerPlan, ...]


_ROLES: Mapping[type[Struct], str] = {
    MarketTraderSettings: "trader",
    ProsumerSettings: "prosumer",
    AggregatorSettings: "aggregator",
    DsoSettings: "dso",
    GridPeerSettings: "grid",
}


def plan_cell(config: Config, loaded: LoadedCell, origin_s: float) -> CellPlan:
    """Return the peers of a cell.

    Parameters
    ----------
    config : what the user says of the cell.
    loaded : the cell of the grid, as `load_grid` gives it.
    origin_s : host time in s at which the delivery of the first interval begins.

    Raises
    ------
    ConfigError : the config does not fit the grid, or itself.
    """
    _check_ids(config, loaded.cell)
    planner = _Planner(config, loaded, origin_s)
    settings = dict(planner.settings())
    _check_apart(config, settings, planner.voltage.agents)
    settings |= planner.voltage.agents
    settings[GRID_ID] = planner.grid(settings)
    near = neighbours(settings)
    return CellPlan(
        name=config.cell.name,
        seed=config.cell.seed,
        calendar=planner.calendar,
        telemetry=config.cell.telemetry,
        keys=config.keys,
        market=planner.cells,
        peers=tuple(
            PeerPlan(
                id=peer,
                role=planner.voltage.role_of(told)
                if isinstance(told, AgentSettings)
                else _ROLES[type(told)],
                settings=own.settings,
                neighbours=near[peer],
                make=own.make,
            )
            for peer, told in settings.items()
            for own in (own_class(config, peer, told),)
        ),
    )


class _Planner:
    """Makes the settings of all peers of a cell."""

    def __init__(self, config: Config, loaded: LoadedCell, origin_s: float) -> None:
        self._config = config
        self._loaded = loaded
        self._zones = loaded.cell.zones
        clock = config.cell.clock
        self.voltage = voltage_plan(config, loaded.cell, GRID_ID)
        self.calendar = MarketCalendar(
            origin_s=origin_s,
            at_first=clock.start,
            intervals=clock.intervals,
            interval_s=clock.interval_s / clock.speed,
            period_s=clock.interval_s,
            offers_due=clock.offers_due,
            closure=clock.closure,
        )
        self._trading_s = (clock.closure - clock.offers_due) * self.calendar.interval_s
        self._members = market_members(self._zones)
        self.cells = market_cells(config, self._zones)
        self._gossip = vote_peers(self._members)

    def settings(self) -> Iterator[tuple[str, Struct]]:
        """Yield the settings of all peers but the grid service."""
        schedule = Schedule(self._config, self._loaded)
        aggregator = self._aggregator()
        links = (link for cell in self.cells for link in cell.links)
        retail = retail_terms(links, aggregator, asset_powers_kw(self._loaded.cell))
        for microgrid in self._zones.microgrids:
            prosumers = dict(self._prosumers(microgrid, schedule))
            trader = trader_of(microgrid.id)
            contracts = tuple(peer for peer, told in prosumers.items() if told.trader == trader)
            yield trader, self._trader(trader, contracts, retail.get(trader))
            yield from prosumers.items()
        yield AGGREGATOR, aggregator
        yield DSO_ID, self._dso()

    def grid(self, others: Mapping[str, Struct]) -> GridPeerSettings:
        """Return the settings of the grid service, which knows who may do what."""
        peers = {DSO_ID: Access(operates=True)}
        for microgrid in self._zones.microgrids:
            peers[trader_of(microgrid.id)] = Access(microgrids=(microgrid.id,))
        for peer, told in others.items():
            if isinstance(told, ProsumerSettings):
                owned = dict.fromkeys(unit.asset for unit in told.units)
                peers[peer] = Access(assets=tuple(owned))
        derived = {
            "peers": peers | dict(self.voltage.access),
            "start": self._config.cell.clock.start,
            "controlled": self.voltage.controlled,
            "primary_s": self.voltage.terms.primary_s,
            "silence_s": self.voltage.terms.silence_s,
        }
        return GridPeerSettings(
            folder=str(self._loaded.folder.resolve()),
            zones=self._zones,
            service=self._settled(GridServiceSettings, GRID_SERVICE, GRID_ID, derived),
        )

    def _prosumers(
        self, microgrid: Microgrid, schedule: Schedule
    ) -> Iterator[tuple[str, ProsumerSettings]]:
        for peer, customer in _prosumers(self._loaded.cell, microgrid):
            terms = self._config.table(PROSUMER, peer)
            derived = {
                "name": peer,
                "grid": GRID_ID,
                "calendar": self.calendar,
                "units": units(customer, terms, schedule),
                "trader": trader_of(microgrid.id) if terms.contract else None,
            }
            yield peer, self._settled(ProsumerSettings, PROSUMER, peer, derived)

    def _trader(
        self, trader: str, contracts: tuple[str, ...], retail: RetailTerms | None
    ) -> MarketTraderSettings:
        derived = {
            "trading": self._trading(trader),
            "calendar": self.calendar,
            "prosumers": contracts,
            "retail": retail,
        }
        return self._settled(MarketTraderSettings, TRADING, trader, derived)

    def _dso(self) -> DsoSettings:
        derived = {
            "name": DSO_ID,
            "grid": GRID_ID,
            "calendar": self.calendar,
            "microgrids": tuple(microgrid.id for microgrid in self._zones.microgrids),
        }
        return self._settled(DsoSettings, DSO, DSO_ID, derived)

    def _trading(self, member: str) -> TraderSettings:
        """Return how a member of the market trades with the others."""
        derived = {
            "name": member,
            "offers": (Offer(0.0),),
            "roster": self._members,
            "cells": tuple(cell for cell in self.cells if member in cell.members),
            "gossip_peers": self._gossip[member],
            "gate_closure_s": self._trading_s,
        }
        settings = self._settled(TraderSettings, TRADING, member, derived)
        rounds = self._trading_s / settings.round_s
        if rounds < ROUNDS_MIN:
            interval_s = self.calendar.interval_s
            raise self._config.file.wrong(
                ("clock", "speed"),
                f"traders have time for {rounds:.0f} rounds in an interval, and need {ROUNDS_MIN}",
                f"it takes {interval_s:.3g} s of real time, in which they trade for"
                f" {self._trading_s:.3g} s with {settings.round_s:g} s a round",
                f"[clock] speed = {self._config.cell.clock.speed * rounds / ROUNDS_MIN:.3g}",
            )
        return settings

    def _aggregator(self) -> AggregatorSettings:
        terms = self._config.table(WHOLESALE, AGGREGATOR)
        connection_kw = _connection_kw(self._loaded.cell)
        hours = self.calendar.period_h
        derived = {
            "trading": self._trading(AGGREGATOR),
            "calendar": self.calendar,
            "retail_eur_per_kwh": _series(terms.retail_eur_per_kwh),
            "feed_in_eur_per_kwh": _series(terms.feed_in_eur_per_kwh),
            "retail_kwh_max": _or_default(terms.retail_kw_max, connection_kw) * hours,
            "feed_in_kwh_max": _or_default(terms.feed_in_kw_max, connection_kw) * hours,
        }
        return self._settled(AggregatorSettings, WHOLESALE, AGGREGATOR, derived)

    def _settled(
        self, kind: type[S], table: SettingsTable[T], peer: str, derived: Mapping[str, object]
    ) -> S:
        """Return settings of a peer; ConfigError when they refuse what they are told."""
        try:
            return table.settle(kind, self._config.table(table, peer), derived)
        except msgspec.ValidationError as error:
            raise self._config.file.wrong(
                (table.key,), f'this does not fit "{peer}"', str(error)
            ) from None


def _connection_kw(cell: Cell) -> float:
    """Return what the connection to the grid above carries, kW.

    These are the ratings of the transformers that leave the voltage of the source, where all
    customers are behind them, else the power of all assets together.
    """
    kv = {bus.id: bus.kv for bus in cell.buses}
    above = {kv[source.bus] for source in cell.sources}
    behind = not any(kv[customer.bus] in above for customer in cell.customers)
    ratings = [item.rating_kva for item in cell.transformers if kv[item.hv_bus] in above]
    known = [rating for rating in ratings if rating is not None]
    if behind and known and len(known) == len(ratings):
        return sum(known)
    return sum(abs(asset.p_kw) for asset in cell.assets)


def _series(price: float | tuple[float, ...]) -> tuple[float, ...]:
    """Return prices as the aggregator takes them."""
    return price if isinstance(price, tuple) else (price,)


def _or_default(chosen_kw: float | None, default_kw: float) -> float:
    """Return what the user chose, else the default."""
    return default_kw if chosen_kw is None else chosen_kw


def _prosumers(cell: Cell, microgrid: Microgrid) -> Iterator[tuple[str, Customer]]:
    """Yield the customers of a microgrid that have anything to trade, by the id of their peer."""
    inside = set(microgrid.buses)
    for customer in cell.customers:
        if customer.bus in inside and traded(customer):
            yield f"{microgrid.id}.{customer.id}", customer


def _check_ids(config: Config, cell: Cell) -> None:
    """Raise ConfigError for two peers with one id, and for a table of a peer that has none."""
    zones = cell.zones
    own = [peer for microgrid in zones.microgrids for peer, _ in _prosumers(cell, microgrid)]
    shared = [*market_members(zones), DSO_ID, GRID_ID]
    for peer, count in Counter([*own, *shared]).items():
        if count > 1:
            raise config.file.wrong(
                ("grid",),
                f'two peers would be called "{peer}"',
                "a prosumer is called by its microgrid and its customer, joined by a dot",
                "rename the customer, or the microgrid in [[zones.microgrids]]",
            )
    for peer in config.cell.peers:
        if peer in shared and not set(config.cell.peers[peer]) <= {"class", "own"}:
            raise config.file.wrong(
                ("peers", peer), f'"{peer}" has no table of its own', _SHARED_TABLES
            )
        if peer not in own and peer not in shared:
            raise config.file.unknown_key(("peers", peer), own)


def _check_apart(config: Config, others: Container[str], agents: Iterable[str]) -> None:
    """Raise ConfigError where a voltage agent would be called like another peer."""
    for agent in agents:
        if agent in others:
            raise config.file.wrong(
                ("control", "method"),
                f'two peers would be called "{agent}"',
                "a voltage agent is called volt and its bus or transformer, joined by a dot,"
                " and what couples two levels c and the transformer",
                "rename the microgrid in [[zones.microgrids]]",
            )
