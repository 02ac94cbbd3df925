"""From a config to the processes that a supervisor runs, and the note that says what the run is."""

from datetime import date
from pathlib import Path

import msgspec
from msgspec import Struct

from peercell import __version__
from peercell.agents.errors import PeercellError
from peercell.agents.trading.calendar import MarketCalendar
from peercell.broker.config import Config, Network, load_grid, read_config
from peercell.broker.configuration.toml_file import ConfigError, Setting
from peercell.broker.home import replace_file
from peercell.broker.own_class import own_unions
from peercell.broker.plans.cell import CellPlan, plan_cell
from peercell.broker.plans.placement import Placement
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.processes.plan import Plan
from peercell.broker.roles import CELL_MESSAGES, peer_spec

# s; what a fork server loads before the first peer starts, and what each peer takes to start. A
# peer that comes later than planned joins the market late, so this is generous.
START_S, START_PEER_S = 2.5, 0.05
_DAY_SAYS = {("clock", "start"), ("clock", "intervals")}


class RunOrder(Struct, frozen=True, kw_only=True):
    """Which run is wanted.

    Parameters
    ----------
    config : file
    settings : in place of what the file says
    day : the whole day to run, in place of what the config says; None for that
    name : of the run; None for that of the cell
    pack : peers in one process
    lab : whether people may break it without saying until when
    placement : on which machines its peers run
    """

    config: Path
    settings: tuple[Setting, ...] = ()
    day: date | None = None
    name: str | None = None
    pack: int = 1
    lab: bool = False
    placement: Placement = Placement()


class RunNote(Struct, frozen=True, kw_only=True):
    """What a run is, for who looks at its folder.

    Parameters
    ----------
    cell : name
    config : path of the file, absolute
    version : of peercell
    seed : of the config
    begun_s : s, Unix time before the first process was started; what a journal holds from an
        earlier time belongs to an earlier run
    calendar : of the market
    roles : role of each peer that runs on this machine, in the order of the plan
    journal : whether the peers keep journals, from which its results are read
    """

    cell: str
    config: str
    version: str
    seed: int
    begun_s: float
    calendar: MarketCalendar
    roles: dict[str, str]
    journal: bool = True

    @property
    def begins_s(self) -> float:
        """When the run begins, Unix time in s: an interval before its first delivery."""
        return self.calendar.origin_s - self.calendar.interval_s

    @property
    def members(self) -> tuple[str, ...]:
        """Peers that settle: the traders and the aggregator."""
        return tuple(p for p, role in self.roles.items() if role in {"trader", "aggregator"})


def read_order(order: RunOrder) -> Config:
    """Return the config of a run.

    Raises
    ------
    ConfigError : see `read_config` and `Config.on`.
    OSError : the file cannot be read.
    """
    config = read_config(order.config, order.settings)
    if order.day is None:
        return config
    for setting in order.settings:
        if setting.place in _DAY_SAYS:
            raise ConfigError(f"--set {setting} does not go with --day", "a day says it already")
    return config.on(order.day)


def plan_run(order: RunOrder, now_s: float) -> CellPlan:
    """Return the plan of a cell of processes that starts now.

    The market opens one interval after its peers are there: that is when the first one is traded.

    Raises
    ------
    ConfigError : see `read_order` and `plan_cell`; or the config wants a simulated network.
    OSError : the file cannot be read.
    """
    config = read_order(order)
    if config.cell.network != Network():
        raise config.file.wrong(
            ("network",),
            "[network] says what a simulated network does",
            "between processes there is a real one",
            f"peercell run {order.config} --sim",
        )
    loaded = load_grid(config)
    interval_s = config.cell.clock.interval_s / config.cell.clock.speed
    plan = plan_cell(config, loaded, now_s)
    return plan_cell(config, loaded, now_s + lead_s(len(plan.peers)) + interval_s)


def lead_s(peers: int) -> float:
    """Return how long so many peers may take to start, in s."""
    return START_S + START_PEER_S * peers


def peer_specs(plan: CellPlan) -> tuple[PeerSpec, ...]:
    """Return all peers of a cell as their hosts want them."""
    return tuple(
        peer_spec(peer.id, peer.role, peer.settings, plan.seed + place, peer.make)
        for place, peer in enumerate(plan.peers)
    )


def unions_of(plan: CellPlan) -> tuple[str, ...]:
    """Return references of all that the peers of a cell say, own classes included."""
    return CELL_MESSAGES, *own_unions(peer.make for peer in plan.peers)


def supervised(plan: CellPlan, order: RunOrder, folder: Path) -> Plan:
    """Return a plan as a supervisor wants it; `folder` is that of the run."""
    return Plan(
        cell=folder.name,
        folder=str(folder),
        config=str(order.config),
        peers=peer_specs(plan),
        unions=unions_of(plan),
        pack=order.pack,
        lab=order.lab,
        journal_bytes_max=plan.telemetry.journal_bytes_max,
        keys=plan.keys,
    )


def run_note(plan: CellPlan, order: RunOrder, now_s: float) -> RunNote:
    """Return what to note of a run that begins now.

    Raises
    ------
    PeercellError : see `Placement.away`.
    """
    roles = {peer.id: peer.role for peer in plan.peers}
    away = order.placement.away(roles)
    return RunNote(
        cell=order.name or plan.name,
        config=str(order.config.resolve()),
        version=__version__,
        seed=plan.seed,
        begun_s=now_s,
        calendar=plan.calendar,
        roles={peer: role for peer, role in roles.items() if peer not in away},
        journal=plan.telemetry.journal,
    )


def note_path(folder: Path) -> Path:
    """Return where the note of a run lies."""
    return folder / "run.json"


def write_note(note: RunNote, folder: Path) -> None:
    """Write the note of a run into its folder, which is there."""
    replace_file(note_path(folder), msgspec.json.format(msgspec.json.encode(note)) + b"\n")


def read_note(folder: Path) -> RunNote:
    """Return the note of a run.

    Raises
    ------
    PeercellError : there is none, or it is not what `peercell up` writes.
    """
    path = note_path(folder)
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunNote)
    except FileNotFoundError:
        raise PeercellError(
            f'"{folder.name}" was not started by `peercell up`', f"{path} is missing"
        ) from None
    except msgspec.MsgspecError as error:
        raise PeercellError(f"{path} is no note of a run", str(error)) from None
