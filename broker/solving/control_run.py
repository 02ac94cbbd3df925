"""How an operating point is controlled: the real agents against the real physics, tick by tick."""

from collections.abc import Callable, Mapping
from enum import StrEnum

import numpy as np
from msgspec import Struct

from peercell.agents.control.coupling import Coupling, CouplingSettings
from peercell.agents.control.rhythm import rhythm_for
from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.control.voltage_gradient import VoltageGradient
from peercell.agents.control.voltage_messages import VoltageControlled, VoltageGossip
from peercell.agents.control.voltage_paper import VoltagePaper
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.errors import PeercellError
from peercell.agents.grid_messages import StateQuery, StateReport
from peercell.agents.grid_parts import Reading
from peercell.agents.protocol import Role
from peercell.agents.push_sum_messages import SUMS_MAX, Heard, Sum
from peercell.broker.faults.network import LinkFaults
from peercell.broker.simulating import simulation
from peercell.broker.solving.control_cell import GRID, ControlPeers, control_peers, member_count
from peercell.broker.solving.control_log import CRASH_TICK, ControlLog, ControlResult
from peercell.broker.wire import kind_of, messages_of
from peercell.grid.control_case import ControlCase
from peercell.grid.service import WINDOW_S, GridService

# Ticks in which agents get to know each other's places, before there is anything to control.
_MEET_TICKS_MAX = 400
# s before the end of a tick at which the grid is looked at; its answer is there before the end.
_LOOK_S = 5.0 * WINDOW_S

_GOSSIP = tuple(map(kind_of, messages_of(VoltageGossip | Sum | Heard)))


class Algorithm(StrEnum):
    """How voltages are controlled."""

    DUAL = "dual"
    GRADIENT = "gradient"
    PAPER = "paper"
    DROOP = "droop"

    @property
    def role(self) -> str:
        """Name of the role of its agents."""
        return {Algorithm.GRADIENT: "voltage gradient", Algorithm.PAPER: "voltage paper"}.get(
            self, "voltage"
        )


Agent = VoltageDual | VoltageGradient | VoltagePaper
_AGENTS: Mapping[Algorithm, type[Agent]] = {
    Algorithm.DUAL: VoltageDual,
    Algorithm.GRADIENT: VoltageGradient,
    Algorithm.PAPER: VoltagePaper,
    Algorithm.DROOP: VoltageDual,
}


class ControlSettings(Struct, frozen=True, kw_only=True):
    """How to control a case.

    Parameters
    ----------
    algorithm : of the agents; `droop` has none, inverters act alone
    faults : what the network does to messages; times are in ticks
    skew_ticks : ticks by which the clock of each agent may be off
    crash_share : share of the agents that crash at `CRASH_TICK`
    ticks_max : when to give up
    seed : of faults, skew and crashes
    """

    algorithm: Algorithm = Algorithm.DUAL
    faults: LinkFaults = LinkFaults()
    skew_ticks: int = 0
    crash_share: float = 0.0
    ticks_max: int = 1000
    seed: int = 0


class ControlRun:
    """One case under control, in one process on a virtual clock; a tick is a second.

    Parameters
    ----------
    case : the operating point
    settings : algorithm, faults, seed
    progress : is told each tick what is measured

    Raises
    ------
    PeercellError : more agents than the paper's algorithm bears.
    """

    def __init__(
        self,
        case: ControlCase,
        settings: ControlSettings,
        progress: Callable[[int, Reading], None] = lambda *_: None,
    ) -> None:
        self.case = case
        self.settings = settings
        self._progress = progress
        chance = np.random.default_rng(settings.seed)
        late = settings.skew_ticks + int(settings.faults.delay_s_max)
        self.rhythm = rhythm_for(member_count(case), late_ticks=late)
        self.peers: ControlPeers = control_peers(case, self.rhythm)
        if settings.algorithm is Algorithm.PAPER and len(self.peers.agents) > SUMS_MAX:
            raise PeercellError(
                f"the paper's algorithm is for at most {SUMS_MAX} agents",
                f"this case has {len(self.peers.agents)}, and push-sum carries a sum for each",
                "--algorithm dual",
            )
        couplings = {n: t for n, t in self.peers.agents.items() if isinstance(t, CouplingSettings)}
        if couplings and settings.algorithm not in {Algorithm.DUAL, Algorithm.DROOP}:
            raise PeercellError(
                "levels of control are coupled by prices",
                f"the algorithm {settings.algorithm.value} has none that could be passed on",
                "--algorithm dual",
            )
        self.couplings = {name: Coupling(told) for name, told in couplings.items()}
        self.simulation = simulation(settings.faults, settings.seed, frozenset({GRID}))
        self.agents: dict[str, Agent] = {
            name: _AGENTS[settings.algorithm](told)
            for name, told in self.peers.agents.items()
            if isinstance(told, VoltageSettings)
        }
        skew = settings.skew_ticks
        # A clock before the beginning of time would be one of negative epochs.
        everybody: dict[str, Role] = {**self.agents, **self.couplings}
        off_s = {name: skew + float(chance.integers(-skew, skew + 1)) for name in everybody}
        if settings.algorithm is not Algorithm.DROOP:
            for name, agent in everybody.items():
                self.simulation.peer(name).ahead_s = off_s[name]
                self.simulation.start(name, agent)
        count = round(settings.crash_share * len(self.agents))
        chosen = chance.choice(sorted(self.agents), size=count, replace=False).tolist()
        crashed = frozenset(str(name) for name in chosen)
        self.log = ControlLog(case, self.rhythm, crashed)
        self.begun_s = 0.0

    def run(self) -> ControlResult:
        """Return how the case ended."""
        settings = self.settings
        self.begin()
        before = self._gossiped
        while len(self.log.readings) < settings.ticks_max and not self.log.holds():
            self.tick()
        spent = self._gossiped - before
        return self.log.result(spent / len(self.agents), self._changes)

    @property
    def _gossiped(self) -> int:
        """Bytes that the agents have said to each other."""
        return sum(self.simulation.bytes_by_kind[kind] for kind in _GOSSIP)

    def begin(self) -> None:
        """Let the agents meet, and then let there be a grid to control."""
        if self.settings.algorithm is not Algorithm.DROOP:
            self._meet()
        self.begun_s = self.simulation.now_s
        service = GridService(self.case.cell, {}, self.peers.service)
        self.simulation.start(GRID, service, self.begun_s)
        for name in self.log.crashed:
            self.simulation.crash(name, self.begun_s + CRASH_TICK)

    def _changes(self, from_tick: int, to_tick: int) -> int:
        """Return how often prices changed between two ticks."""
        from_s, to_s = self.begun_s + from_tick, self.begun_s + to_tick
        facts = self.simulation.facts_of(VoltageControlled)
        return len({fact.epoch for at_s, _, fact in facts if from_s < at_s <= to_s})

    def _meet(self) -> None:
        """Let the agents tell each other where they are."""
        for tick in range(1, _MEET_TICKS_MAX):
            self.simulation.run(float(tick))
            known = all(agent.circle.knows_all for agent in self.agents.values())
            if known and all(coupling.knows_all for coupling in self.couplings.values()):
                break

    def tick(self) -> None:
        """Go on by one tick, and look at the grid."""
        number = len(self.log.readings) + 1
        at_s = self.begun_s + number
        self.simulation.run(at_s - _LOOK_S)
        self.simulation.command(GRID, number, StateQuery(number, self.log.view), at_s - _LOOK_S)
        self.simulation.run(at_s - _LOOK_S + 2.0 * WINDOW_S)
        report = self.simulation.replies.pop(number)
        if isinstance(report, StateReport) and report.reading is not None:
            self.log.readings.append(report.reading)
            self._progress(number, report.reading)
