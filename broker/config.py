"""What a user says about a cell: one TOML file, read into the Structs below and the roles' own.

What belongs to the cell is on this page. What belongs to a role is a table of `role_tables`, made
from the settings of the role, so that a new role or setting changes nothing here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from msgspec import Meta, defstruct, field, structs

from peercell.agents.errors import PeercellError
from peercell.agents.units import Fraction
from peercell.broker.cells import LoadedCell, load_cell, shipped_names
from peercell.broker.configuration.role_tables import TABLES
from peercell.broker.configuration.settings_table import Section, SettingsTable
from peercell.broker.configuration.toml_file import ConfigError, Setting, TomlFile
from peercell.grid.model import Id
from peercell.grid.partition import ZoneOverrides, partition

T = TypeVar("T", bound=Section)

PeerId = Annotated[str, Meta(min_length=1, max_length=64)]
Fee = Annotated[float, Meta(ge=0.0, le=1e6)]
Slope = Annotated[float, Meta(gt=0.0, le=1e6)]
Capacity = Annotated[float, Meta(ge=0.0, le=1e9)]
Share = Annotated[float, Meta(gt=0.0, lt=1.0)]


class Clock(Section, frozen=True, kw_only=True):
    """When the cell lives, and how fast.

    Parameters
    ----------
    start : simulated local time at which the first interval is delivered; the profiles hold it
    speed : simulated s in a real s; a larger value leaves less real time for trading
    interval_s : simulated s of a market interval; a larger value trades less often
    intervals : how many are delivered; a larger value runs longer and needs longer profiles
    offers_due : share of an interval after which trading for the next one opens with the offers
        that are there; a larger value leaves less time for trading
    closure : share of an interval at which the gate closes; a larger value leaves less time to
        send out schedules
    """

    start: Annotated[datetime, Meta(tz=False)]
    speed: Annotated[float, Meta(gt=0.0, le=1e5)] = 60.0
    interval_s: Annotated[float, Meta(ge=1.0, le=86_400.0)] = 900.0
    intervals: Annotated[int, Meta(ge=1, le=100_000)] = 96
    offers_due: Share = 0.2
    closure: Share = 0.8


class Tariff(Section, frozen=True, kw_only=True):
    """What carrying energy between two members of the market costs, where no link says otherwise.

    Carrying f kWh in an interval costs fee * f + slope * f^2 / 2.

    Parameters
    ----------
    fee_eur_per_kwh : EUR/kWh; a larger value keeps trade within the microgrids
    slope_eur_per_kwh2 : EUR/kWh for each kWh carried, > 0; a larger value spreads trade over more
        partners and smooths prices
    capacity_kwh : kWh that a link carries in an interval, without limit when not given; a larger
        value lets prices come closer
    """

    fee_eur_per_kwh: Fee = 0.02
    slope_eur_per_kwh2: Slope = 0.001
    capacity_kwh: Capacity | None = None


class TradeLink(Section, frozen=True, kw_only=True):
    """The right of `seller` to sell to `buyer`, beside or instead of those that the zones give.

    The traders of microgrids below the same point are linked in both directions, and so is each
    with that of the microgrid above, or with the aggregator.

    Parameters
    ----------
    seller : id of a trader or the aggregator
    buyer : id of a trader or the aggregator
    fee_eur_per_kwh : EUR/kWh; that of the tariff when not given
    slope_eur_per_kwh2 : EUR/kWh for each kWh carried; that of the tariff when not given
    capacity_kwh : kWh in an interval, 0 forbids the trade; that of the tariff when not given
    """

    seller: PeerId
    buyer: PeerId
    fee_eur_per_kwh: Fee | None = None
    slope_eur_per_kwh2: Slope | None = None
    capacity_kwh: Capacity | None = None


class MarketGroup(Section, frozen=True, kw_only=True):
    """Traders who clear the links among themselves together: a dense group needs fewer rounds so.

    The traders below the same point form such a group when there are more than two of them.

    Parameters
    ----------
    name : of the group
    members : ids of its traders; each tells its curve to all others, so messages grow as the square
    """

    name: Id
    members: Annotated[tuple[PeerId, ...], Meta(min_length=2, max_length=1000)]


class Network(Section, frozen=True, kw_only=True):
    """What a simulated network does to messages; between processes there is a real one.

    Parameters
    ----------
    loss : share of the messages that get lost; a larger value costs rounds
    duplicate : share of the messages that arrive twice; a larger value costs work
    delay_s : s that a message takes; a larger value costs rounds
    jitter : share of `delay_s` by which it takes less or more; a larger value reorders messages
    """

    loss: Fraction = 0.0
    duplicate: Fraction = 0.0
    delay_s: Annotated[float, Meta(ge=0.0, le=1e4)] = 0.002
    jitter: Fraction = 0.5


class Telemetry(Section, frozen=True, kw_only=True):
    """What is written down while the cell runs.

    Parameters
    ----------
    journal : whether each peer records what it was told and did, for `peercell replay` and
        `peercell results`; costs a disk write each turn
    journal_mb_max : MB after which a peer's journal ends; a larger value may fill the disk
    """

    journal: bool = True
    journal_mb_max: Annotated[float, Meta(ge=0.001, le=1e6)] = 256.0

    @property
    def journal_bytes_max(self) -> int:
        """Most bytes of a peer's journal; 0 for none."""
        return int(1e6 * self.journal_mb_max) if self.journal else 0


class Security(Section, frozen=True, kw_only=True):
    """Who belongs to the cell, and whether its links are locked.

    Parameters
    ----------
    keys : folder, seen from the config, with the keys of the cell as `peercell keys cell` makes it;
        those of the peers that run here will do. With it the links between processes are locked, on
        one machine too; costs CPU
    """

    keys: Annotated[str, Meta(max_length=4096)] = ""


class CellConfig(Section, frozen=True, kw_only=True):
    """A cell: its grid, its time, its market, and what its peers shall do otherwise than usual.

    Parameters
    ----------
    name : of the cell, and of its folder below `run/`
    grid : a shipped cell (`peercell grid ls`), or a folder with a cell file, seen from the config
    seed : of all chance in the cell; another one gives another run
    peers : what single prosumers want otherwise than `[prosumer]`: `[peers."mg1.c9"]` stands for
        that of customer c9 in microgrid mg1
    """

    name: Id
    grid: Annotated[str, Meta(min_length=1, max_length=4096)]
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 1
    clock: Clock
    tariff: Tariff = Tariff()
    links: tuple[TradeLink, ...] = ()
    market_cells: tuple[MarketGroup, ...] = ()
    zones: ZoneOverrides = ZoneOverrides()
    network: Network = Network()
    telemetry: Telemetry = Telemetry()
    security: Security = Security()
    peers: Mapping[PeerId, Mapping[str, Any]] = {}


@cache
def config_kind() -> type[CellConfig]:
    """Return the whole file as a Struct: the cell's own keys, and a table for each role."""
    made = defstruct(
        "Config",
        [(table.key, table.kind, field(default_factory=table.kind)) for table in TABLES],
        bases=(CellConfig,),
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    made.__doc__ = CellConfig.__doc__
    return cast("type[CellConfig]", made)


@dataclass(frozen=True)
class Config:
    """What a file says of a cell.

    Parameters
    ----------
    file : the text, for the lines in errors
    folder : where the file lies; folders that it names are seen from there
    cell : what it says of the cell; for what it says of a role, see `table`
    """

    file: TomlFile
    folder: Path
    cell: CellConfig

    @property
    def keys(self) -> str:
        """Folder with the keys of the cell; "" where it has none."""
        named = self.cell.security.keys
        return str((self.folder / named).resolve()) if named else ""

    def on(self, day: date) -> "Config":
        """Return the same for one whole day: its intervals begin and end at midnight.

        Raises
        ------
        ConfigError : the day is no whole number of intervals.
        """
        clock = self.cell.clock
        intervals, rest_s = divmod(timedelta(days=1).total_seconds(), clock.interval_s)
        if rest_s:
            raise self.file.wrong(
                ("clock", "interval_s"),
                "a day has no whole number of intervals",
                f"an interval takes {clock.interval_s:g} s",
            )
        start = datetime.combine(day, time())
        clock = structs.replace(clock, start=start, intervals=int(intervals))
        return replace(self, cell=structs.replace(self.cell, clock=clock))

    def table(self, table: SettingsTable[T], peer: str) -> T:
        """Return what is said of a peer: the table of its role, and its own on top of it.

        Raises
        ------
        ConfigError : the peer's own table is none of its role.
        """
        tables = self.file.tables
        return table.read(
            self.file,
            ((table.key,), tables.get(table.key, {})),
            (("peers", peer), tables.get("peers", {}).get(peer, {})),
        )


def read_config(path: Path, settings: tuple[Setting, ...] = ()) -> Config:
    """Return the config in a file, with the settings in place of what it says.

    Raises
    ------
    ConfigError : the file is no config.
    OSError : the file cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML", f"it is not UTF-8: {error.reason}") from None
    file = TomlFile(str(path), text, settings)
    file.decode(config_kind())
    own = {key: file.tables[key] for key in CellConfig.__struct_fields__ if key in file.tables}
    cell = file.convert(own, CellConfig)
    if cell.clock.offers_due >= cell.clock.closure:
        raise file.wrong(
            ("clock", "offers_due"),
            "trading must open before the gate closes",
            f"offers_due is {cell.clock.offers_due}, closure {cell.clock.closure}",
        )
    return Config(file, path.parent, cell)


def load_grid(config: Config) -> LoadedCell:
    """Return the cell of the grid that a config names, divided as it wants.

    Raises
    ------
    ConfigError : there is no such cell, it is not valid, or the zones do not fit it.
    """
    named = config.cell.grid
    folder = f"{config.folder.resolve() / named}"
    try:
        loaded = load_cell(named if named in shipped_names() else folder)
    except PeercellError as error:
        raise config.file.wrong(("grid",), error.what, error.why, error.fix) from None
    if config.cell.zones == ZoneOverrides():
        return loaded
    try:
        zones = partition(loaded.cell, config.cell.zones)
    except PeercellError as error:
        raise config.file.wrong(("zones",), error.what, error.why, error.fix) from None
    return replace(loaded, cell=structs.replace(loaded.cell, zones=zones))
