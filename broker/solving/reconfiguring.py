"""How a cell is reconfigured: the real agents of its open points against the real physics."""

from datetime import datetime
from math import ceil

from msgspec import Struct

from peercell.agents.control.reconfiguration import OpenPoint, OpenPointSettings
from peercell.agents.control.reconfiguration_messages import (
    OpenPointsMoved,
    OpenPointsRefused,
    ReconfigurationGossip,
)
from peercell.agents.errors import PeercellError
from peercell.agents.grid_messages import StateQuery, StateReport
from peercell.agents.grid_parts import Reading, View
from peercell.broker.cells import LoadedCell
from peercell.broker.faults.network import LinkFaults
from peercell.broker.simulating import simulation
from peercell.broker.wire import kind_of
from peercell.grid.open_points import open_points
from peercell.grid.service import GridService
from peercell.grid.service_rights import Access, GridServiceSettings

GRID = "grid"
_TICKS_MAX = 2000
# s at which the grid is looked at before the first tick, and how long its answer takes at most.
_LOOK_S = 0.2


class Exchange(Struct, frozen=True, kw_only=True):
    """One open point moved; `losses_kw` are those after it."""

    closed: str
    opened: str
    losses_kw: float


class Reconfigured(Struct, frozen=True, kw_only=True):
    """How a cell was reconfigured, as `control reconfigure -o json` prints it.

    `settled` says that all agents agree and have set the switches. Open sections are named as the
    branches are, or as the switch where there is no branch. `power_flows` counts
    those that agents have had solved.
    """

    cell: str
    at: datetime | None
    settled: bool
    losses_before_kw: float
    losses_kw: float
    v_min_before_pu: float
    v_min_pu: float
    open_before: tuple[str, ...]
    open: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    ticks: int
    power_flows: int
    messages: int


class ReconfigurationRun:
    """One cell under reconfiguration, in one process on a virtual clock; a tick is a second.

    Parameters
    ----------
    loaded : the cell
    at : local time of its profiles; None for the nominal powers
    faults : what the network does to messages between agents
    seed : of faults

    Attributes
    ----------
    agents : of the open points, by name
    simulation : in which they run; it knows the facts they tell

    Raises
    ------
    NoOpenPointError : nothing is open that would close a loop.
    """

    def __init__(
        self, loaded: LoadedCell, at: datetime | None, faults: LinkFaults, seed: int = 0
    ) -> None:
        self._name, self._at = loaded.cell.name, at
        self.points = open_points(loaded.cell)
        members = tuple(f"o.{name}" for name in self.points.opened)
        service = GridServiceSettings(
            peers={member: Access(operates=True) for member in members}, start=at
        )
        self.simulation = simulation(faults, seed, frozenset({GRID}))
        self.simulation.start(GRID, GridService(loaded.cell, loaded.profiles, service))
        self.agents = {
            member: OpenPoint(
                OpenPointSettings(
                    name=member,
                    grid=GRID,
                    members=members,
                    sections=self.points.sections,
                    opened=self.points.opened,
                )
            )
            for member in members
        }

    def run(self) -> Reconfigured:
        """Return how the cell ended.

        Raises
        ------
        PeercellError : the grid service refused what the agents asked.
        """
        before = self._look()
        begun_s = self.simulation.now_s
        for member, agent in self.agents.items():
            self.simulation.start(member, agent, begun_s)
        settled = self.simulation.run(begun_s + _TICKS_MAX, self._is_over)
        ticks = ceil(self.simulation.now_s - begun_s)
        for _, member, refused in self.simulation.facts_of(OpenPointsRefused):
            raise PeercellError(f"{member} cannot reconfigure the network", refused.what)
        after = self._look()
        exchanges = self._exchanges()
        return Reconfigured(
            cell=self._name,
            at=self._at,
            settled=settled,
            losses_before_kw=before.losses_kw,
            losses_kw=after.losses_kw,
            v_min_before_pu=before.v_min_pu,
            v_min_pu=after.v_min_pu,
            open_before=self.points.opened,
            open=max(self.agents.values(), key=lambda agent: agent.version).opened,
            exchanges=exchanges,
            ticks=ticks,
            power_flows=sum(agent.compared for agent in self.agents.values()),
            messages=self.simulation.sent_by_kind[kind_of(ReconfigurationGossip)],
        )

    def _is_over(self) -> bool:
        refused = self.simulation.facts_of(OpenPointsRefused)
        return bool(refused) or all(agent.switched for agent in self.agents.values())

    def _look(self) -> Reading:
        """Return what the grid service measures now."""
        number = len(self.simulation.replies) + 1
        now_s = self.simulation.now_s
        self.simulation.command(GRID, number, StateQuery(number, View()), now_s)
        self.simulation.run(now_s + _LOOK_S)
        report = self.simulation.replies[number]
        if not isinstance(report, StateReport) or report.reading is None:
            raise TypeError(f"the grid service answers {report!r}")
        return report.reading

    def _exchanges(self) -> tuple[Exchange, ...]:
        """Return what was exchanged, in order: each version is told by the first that adopts it."""
        versions = {fact.version: fact for _, _, fact in self.simulation.facts_of(OpenPointsMoved)}
        before, found = self.points.opened, []
        for number in sorted(versions):
            fact = versions[number]
            closed, opened = next(
                pair for pair in zip(before, fact.opened, strict=True) if pair[0] != pair[1]
            )
            found.append(Exchange(closed=closed, opened=opened, losses_kw=fact.losses_kw))
            before = fact.opened
        return tuple(found)
