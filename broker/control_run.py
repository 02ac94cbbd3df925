"""How an operating point is controlled: the real agents against the real physics, tick by tick."""

from collections.abc import Callable
from enum import StrEnum

import msgspec
import numpy as np
from msgspec import Struct, structs

from peercell.agents.control.rhythm import rhythm_for
from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.control.voltage_gradient import VoltageGradient
from peercell.agents.control.voltage_messages import VoltageControlled, VoltageGossip
from peercell.agents.grid_messages import StateQuery, StateReport
from peercell.agents.grid_parts import Reading, View
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Role
from peercell.broker.control_cell import GRID, ControlPeers, agent_at, control_peers, member_count
from peercell.broker.loop import LinkFaults, Loop
from peercell.grid.control_case import ControlCase
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.optimum import central_optimum
from peercell.grid.service import GridService

# Ticks in which agents get to know each other's places, before there is anything to control.
_MEET_TICKS_MAX = 400
# Ticks from the start to the crash of some agents.
CRASH_TICK = 150
# Epochs in which limits must hold for the run to end: long enough to see that they do for good.
_HOLD_EPOCHS = 8
_SAME_PU = 1e-9

_encode = msgspec.msgpack.Encoder().encode


class Algorithm(StrEnum):
    """How voltages are controlled."""

    DUAL = "dual"
    GRADIENT = "gradient"
    DROOP = "droop"


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


class ControlResult(Struct, frozen=True):
    """How a case ended, as `control solve -o json` prints it.

    `ticks` until all limits held for good, counted from the crash where there is one; `epochs` are
    the changes of prices until then. `curtailed_kw` is by how much devices leave their plan,
    `reactive_kvar` the sum of |Q|; `objective` weighs both. The optimum knows everything at once.
    """

    in_limits: bool
    ticks: int
    epochs: int
    v_max_pu: float
    v_min_pu: float
    curtailed_kw: float
    reactive_kvar: float
    objective: float
    optimum_objective: float | None
    gap_percent: float | None
    bytes_per_agent_s: float

    def beside(self, optimum_objective: float) -> "ControlResult":
        """Return the result compared with the objective of the optimum."""
        gap = 0.0
        if optimum_objective > 0.0:
            gap = 100.0 * (self.objective / optimum_objective - 1.0)
        return structs.replace(self, optimum_objective=optimum_objective, gap_percent=gap)


class Skewed:
    """A role whose clock is off by some seconds."""

    def __init__(self, role: Role, off_s: float) -> None:
        self.role = role
        self._off_s = off_s

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return self.role.step(event, now_s + self._off_s)


class ControlRun:
    """One case under control, in one process on a virtual clock; a tick is a second.

    Parameters
    ----------
    case : the operating point
    settings : algorithm, faults, seed
    progress : is told each tick what is measured
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
        self.loop = Loop(settings.faults, settings.seed, frozenset({GRID}), _bytes_of)
        make = VoltageGradient if settings.algorithm is Algorithm.GRADIENT else VoltageDual
        self.agents: dict[str, VoltageDual | VoltageGradient] = {
            name: make(told) for name, told in self.peers.agents.items()
        }
        skew = settings.skew_ticks
        # A clock before the beginning of time would be one of negative epochs.
        off_s = {name: skew + float(chance.integers(-skew, skew + 1)) for name in self.agents}
        if settings.algorithm is not Algorithm.DROOP:
            for name, agent in self.agents.items():
                self.loop.start(name, Skewed(agent, off_s[name]))
        count = round(settings.crash_share * len(self.agents))
        chosen = chance.choice(sorted(self.agents), size=count, replace=False).tolist()
        self.crashed = frozenset(str(name) for name in chosen)
        self.begun_s = 0.0
        self.readings: list[Reading] = []
        self._view = View(
            buses=case.monitored,
            branches=tuple(limit.branch for limit in case.loadings),
            assets=tuple(device.id for device in case.devices),
        )

    def run(self) -> ControlResult:
        """Return how the case ended."""
        settings = self.settings
        if settings.algorithm is not Algorithm.DROOP:
            self._meet()
        before = self.loop.bytes_by_kind[VoltageGossip.__name__]
        self.begun_s = self.loop.now_s
        self.loop.start(GRID, GridService(self.case.cell, {}, self.peers.service), self.begun_s)
        for name in self.crashed:
            self.loop.crash(name, self.begun_s + CRASH_TICK)
        while len(self.readings) < settings.ticks_max and not self._holds():
            self._tick()
        spent = self.loop.bytes_by_kind[VoltageGossip.__name__] - before
        return self._result(spent / len(self.agents) / len(self.readings))

    def _meet(self) -> None:
        """Let the agents tell each other where they are."""
        for tick in range(1, _MEET_TICKS_MAX):
            self.loop.run(float(tick))
            if all(agent.knows_all for agent in self.agents.values()):
                break

    def _tick(self) -> None:
        number = len(self.readings) + 1
        at_s = self.begun_s + number
        self.loop.run(at_s - 1e-3)
        self.loop.command(GRID, number, StateQuery(number, self._view), at_s - 1e-3)
        self.loop.run(at_s - 1e-3)
        report = self.loop.replies.pop(number)
        if isinstance(report, StateReport) and report.reading is not None:
            self.readings.append(report.reading)
            self._progress(number, report.reading)

    @property
    def _first(self) -> int:
        """Number of the first reading that counts."""
        return CRASH_TICK if self.crashed else 0

    def _holds(self) -> bool:
        """Return whether all limits have held for some epochs."""
        hold = _HOLD_EPOCHS * self.rhythm.epoch_ticks
        if len(self.readings) < self._first + hold:
            return False
        return all(self.is_in_limits(reading) for reading in self.readings[-hold:])

    def is_in_limits(self, reading: Reading) -> bool:
        """Return whether all voltages at live agents and all loadings are within limits."""
        limits = self.case.limits
        voltages = [
            v_pu
            for bus, v_pu in zip(self.case.monitored, reading.voltages_pu, strict=True)
            if v_pu is not None and agent_at(bus) not in self.crashed
        ]
        return (
            max(voltages) <= limits.v_max_pu + _SAME_PU
            and min(voltages) >= limits.v_min_pu - _SAME_PU
            and all(
                percent is None or percent <= limit.loading_percent_max
                for limit, percent in zip(self.case.loadings, reading.loadings_percent, strict=True)
            )
        )

    def _result(self, bytes_per_agent_s: float) -> ControlResult:
        last = self.readings[-1]
        bad = [k for k, reading in enumerate(self.readings) if not self.is_in_limits(reading)]
        ticks = max(bad[-1] + 1 - self._first, 0) if bad else 0
        until_s = self.begun_s + self._first + ticks
        prices = {
            fact.epoch
            for at_s, _, fact in self.loop.facts_of(VoltageControlled)
            if self.begun_s + self._first < at_s <= until_s
        }
        voltages = [v_pu for v_pu in last.voltages_pu if v_pu is not None]
        objective = sum(
            device.can.cost(asset.p_kw, asset.q_kvar)
            for device, asset in zip(self.case.devices, last.assets, strict=True)
        )
        return ControlResult(
            in_limits=self.is_in_limits(last),
            ticks=ticks,
            epochs=len(prices),
            v_max_pu=max(voltages),
            v_min_pu=min(voltages),
            curtailed_kw=sum(abs(asset.planned_kw - asset.p_kw) for asset in last.assets),
            reactive_kvar=sum(abs(asset.q_kvar) for asset in last.assets),
            objective=objective,
            optimum_objective=None,
            gap_percent=None,
            bytes_per_agent_s=bytes_per_agent_s,
        )


def optimum_of(case: ControlCase) -> float:
    """Return the objective of the central optimum.

    Raises
    ------
    MissingExtraError : the solver is not installed.
    SolverError, CollapseError : there is none.
    """
    return central_optimum(ControlledFeeder(case)).objective


def _bytes_of(message: Message) -> int:
    return len(_encode(message)) if isinstance(message, VoltageGossip) else 0
