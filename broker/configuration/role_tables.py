"""The tables of a config that set roles, and what stands in them beside the roles' own settings."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, field

from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.dso import DsoSettings
from peercell.agents.trading.aggregator import AggregatorSettings
from peercell.agents.trading.market import MarketTraderSettings
from peercell.agents.trading.prosumer import ProsumerSettings
from peercell.agents.trading.settings import TraderSettings
from peercell.agents.units import Fraction, PriceEurPerKwh, SlopeEurPerKwh2
from peercell.broker.configuration.settings_table import Section, SettingsTable
from peercell.grid.service_rights import GridServiceSettings

Power = Annotated[float, Meta(ge=0.0, le=1e9)]
PriceSeries = Annotated[tuple[PriceEurPerKwh, ...], Meta(min_length=1, max_length=100_000)]


ClassName = Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.-]*(:[A-Za-z_]\w*)?$", max_length=200)]


class RoleTerms(Section, frozen=True, kw_only=True):
    """What every role may have.

    Parameters
    ----------
    class : your own, in place of the usual one: `my_agents:CautiousTrader`, looked for beside the
        config as well, or the name under which a package announces it to `peercell.agents`
    own : what your class is told beside the settings of the role, by names of your own
    """

    class_: ClassName | None = field(default=None, name="class")
    own: Annotated[Mapping[str, Any], Meta(max_length=100)] = {}


class TradingTerms(RoleTerms, frozen=True, kw_only=True):
    """How the members of the market find prices; the same for all of them.

    Parameters
    ----------
    voll_eur_per_kwh : EUR/kWh, the value of lost load: the highest price there is, at which load is
        shed; a larger value sheds later
    method : how prices are found; `rce` is the fast one, `relax` converges whatever the network
        does, `subgradient` is the paper's Algorithm 1
    """


class DsoTerms(RoleTerms, frozen=True, kw_only=True):
    """How the operator of the network asks the grid service."""


class GridServiceTerms(Section, frozen=True, kw_only=True):
    """How the grid service answers."""


class ControlMethod(StrEnum):
    """How voltages and loadings are kept."""

    NONE = "none"
    DUAL = "dual"
    GRADIENT = "gradient"


class ControlTerms(RoleTerms, frozen=True, kw_only=True):
    """How voltages and loadings are kept within limits, and how often each level acts.

    Times are real ones: the faster the clock, the shorter they must be. The third level is the
    market, whose interval is in [clock].

    Parameters
    ----------
    method : `dual` at least cost, `gradient` by the paper's first algorithm, `none` without agents
    primary_s : s between two steps of what each inverter does by itself; smaller costs CPU
    secondary_s : s between two rounds of gossip of the voltage agents; smaller costs messages
    silence_s : s without a word of its agent after which an inverter follows a standard droop;
        larger bears more loss
    late_ticks : rounds of gossip by which clocks and messages may be late; larger is slower
    reactive_share : share of its rating that an inverter gives as reactive power
    v_min_pu : lowest voltage, that of the cell when not given; a larger value costs more
    v_max_pu : highest voltage, that of the cell when not given; a smaller value costs more
    by_level : whether the voltage agents below each transformer that hangs below others keep a
        level of their own, coupled with the one above; true costs time and saves messages
    """

    method: ControlMethod = ControlMethod.NONE
    primary_s: Annotated[float, Meta(ge=0.01, le=60.0)] = 0.1
    secondary_s: Annotated[float, Meta(ge=0.01, le=60.0)] = 0.1
    silence_s: Annotated[float, Meta(ge=0.1, le=3600.0)] = 3.0
    late_ticks: Annotated[int, Meta(ge=0, le=100)] = 1
    reactive_share: Fraction = 0.44
    v_min_pu: Annotated[float, Meta(ge=0.5, le=1.0)] | None = None
    v_max_pu: Annotated[float, Meta(ge=1.0, le=1.5)] | None = None
    by_level: bool = False


class WholesaleTerms(RoleTerms, frozen=True, kw_only=True):
    """At which prices the aggregator trades with the grid above the cell.

    Parameters
    ----------
    retail_eur_per_kwh : EUR/kWh that it asks for energy, one value or one for each interval; a
        larger value makes the cell trade more within itself
    feed_in_eur_per_kwh : EUR/kWh that it pays for surplus, likewise, never above the retail price;
        a larger value draws energy out of the cell
    retail_kw_max : kW that it sells at most, 0 for an island; what the transformers to the grid
        above carry when not given, and in a cell without any what its assets take at most
    feed_in_kw_max : kW that it buys at most, likewise
    """

    retail_eur_per_kwh: PriceEurPerKwh | PriceSeries = 0.30
    feed_in_eur_per_kwh: PriceEurPerKwh | PriceSeries = 0.08
    retail_kw_max: Power | None = None
    feed_in_kw_max: Power | None = None


class AssetTerms(Section, frozen=True, kw_only=True):
    """For which price an asset is changed: a load that is left out, a plant that feeds in.

    Parameters
    ----------
    flexible_share : share of what it draws that may be left out for the price; a larger value
        makes demand follow prices more
    price_eur_per_kwh : EUR/kWh of the first kWh left out or fed in: comfort lost, or fuel; a larger
        value lets it happen later
    slope_eur_per_kwh2 : EUR/kWh by which that price rises with each kWh in an interval; a larger
        value spreads a change over more assets
    """

    flexible_share: Fraction = 0.0
    price_eur_per_kwh: PriceEurPerKwh = 0.0
    slope_eur_per_kwh2: SlopeEurPerKwh2 = 0.0


class MicroGenerator(Section, frozen=True, kw_only=True):
    """A small plant behind the meter of a prosumer, beside the assets that the grid knows.

    Parameters
    ----------
    power_kw : kW that it makes at most
    price_eur_per_kwh : EUR/kWh of the first kWh; a larger value lets it start later
    slope_eur_per_kwh2 : EUR/kWh by which that rises with each kWh in an interval
    """

    power_kw: Power
    price_eur_per_kwh: PriceEurPerKwh
    slope_eur_per_kwh2: SlopeEurPerKwh2 = 0.0


class ProsumerTerms(RoleTerms, frozen=True, kw_only=True):
    """What prosumers want for their assets; `[peers."mg1.c9"]` says what one wants otherwise.

    Parameters
    ----------
    contract : whether the trader of its microgrid trades for it; else its assets follow their
        profiles
    generators : small plants beside the assets of the grid
    """

    contract: bool = True
    generators: Annotated[tuple[MicroGenerator, ...], Meta(max_length=100)] = ()
    load: AssetTerms = AssetTerms(flexible_share=0.05, price_eur_per_kwh=0.6)
    heat_pump: AssetTerms = AssetTerms(
        flexible_share=0.2, price_eur_per_kwh=0.3, slope_eur_per_kwh2=0.2
    )
    ev: AssetTerms = AssetTerms(flexible_share=0.5, price_eur_per_kwh=0.25, slope_eur_per_kwh2=0.1)
    pv: AssetTerms = AssetTerms()
    wind: AssetTerms = AssetTerms()
    hydro: AssetTerms = AssetTerms()
    biomass: AssetTerms = AssetTerms(price_eur_per_kwh=0.12)
    generator: AssetTerms = AssetTerms(price_eur_per_kwh=0.25)
    battery: AssetTerms = AssetTerms()


TRADING = SettingsTable(
    key="trading",
    settings=(TraderSettings, MarketTraderSettings),
    derived=frozenset(
        {"name", "offers", "roster", "cells", "gossip_peers", "gate_closure_s"}
        | {"trading", "calendar", "prosumers", "retail"}
    ),
    terms=TradingTerms,
    defaults={"voll_eur_per_kwh": 10.0, "round_s": 0.05, "retry_s": 0.2},
)
WHOLESALE = SettingsTable(
    key="wholesale",
    settings=(AggregatorSettings,),
    derived=frozenset(
        {"trading", "calendar", "feed_in_eur_per_kwh", "retail_eur_per_kwh"}
        | {"feed_in_kwh_max", "retail_kwh_max"}
    ),
    terms=WholesaleTerms,
)
PROSUMER = SettingsTable(
    key="prosumer",
    settings=(ProsumerSettings,),
    derived=frozenset({"name", "grid", "calendar", "units", "trader"}),
    terms=ProsumerTerms,
    defaults={"retry_s": 0.2},
)
DSO = SettingsTable(
    key="dso",
    settings=(DsoSettings,),
    derived=frozenset({"name", "grid", "calendar", "microgrids"}),
    terms=DsoTerms,
    defaults={"retry_s": 0.2},
)
GRID_SERVICE = SettingsTable(
    key="grid_service",
    settings=(GridServiceSettings,),
    derived=frozenset({"peers", "start", "controlled", "primary_s", "silence_s"}),
    terms=GridServiceTerms,
)
CONTROL = SettingsTable(
    key="control",
    settings=(VoltageSettings,),
    derived=frozenset(
        {"name", "grid", "members", "place", "path", "rhythm", "renew_s", "v_min_pu", "v_max_pu"}
    ),
    terms=ControlTerms,
)
TABLES: tuple[SettingsTable[Any], ...] = (
    TRADING,
    WHOLESALE,
    PROSUMER,
    CONTROL,
    DSO,
    GRID_SERVICE,
)
