"""What was measured while a case was controlled, and what it comes to."""

from collections.abc import Callable

from msgspec import Struct, structs

from peercell.agents.control.rhythm import Rhythm
from peercell.agents.grid_parts import Reading, View
from peercell.broker.solving.control_cell import agent_at
from peercell.grid.control_case import ControlCase
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.optimum import central_optimum

# Ticks from the start to the crash of some agents.
CRASH_TICK = 150
# Epochs in which limits must hold for the run to end: long enough to see that they do for good.
_HOLD_EPOCHS = 8
_SAME_PU = 1e-9
_STEADY = 1e-3


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


class ControlLog:
    """The readings of a run, one a tick.

    Parameters
    ----------
    case : the operating point
    rhythm : of the agents
    crashed : agents that crash at `CRASH_TICK`
    """

    def __init__(self, case: ControlCase, rhythm: Rhythm, crashed: frozenset[str]) -> None:
        self.case = case
        self.crashed = crashed
        self.readings: list[Reading] = []
        self.view = View(
            buses=case.monitored,
            branches=tuple(limit.branch for limit in case.loadings),
            assets=tuple(device.id for device in case.devices),
        )
        self._hold = _HOLD_EPOCHS * rhythm.epoch_ticks

    @property
    def _first(self) -> int:
        """Number of the first reading that counts."""
        return CRASH_TICK if self.crashed else 0

    def holds(self) -> bool:
        """Return whether all limits have held for some epochs."""
        if len(self.readings) < self._first + self._hold:
            return False
        return all(self.is_in_limits(reading) for reading in self.readings[-self._hold :])

    def is_steady(self) -> bool:
        """Return whether devices cost the same as some epochs ago, to a thousandth."""
        now, before = (self.objective(self.readings[k]) for k in (-1, -self._hold))
        return abs(now - before) <= _STEADY * max(now, before)

    def objective(self, reading: Reading) -> float:
        """Return what the devices cost by their weights."""
        injected = zip(self.case.devices, reading.assets, strict=True)
        return sum(d.can.cost(asset.p_kw, asset.q_kvar) for d, asset in injected)

    def is_in_limits(self, reading: Reading) -> bool:
        """Return whether all voltages at live agents and all loadings are within limits."""
        voltages = zip(self.case.monitored, reading.voltages_pu, strict=True)
        loadings = zip(self.case.loadings, reading.loadings_percent, strict=True)
        return all(
            v_pu is None or _is_within(self.case.band(bus), v_pu)
            for bus, v_pu in voltages
            if agent_at(bus) not in self.crashed
        ) and all(
            percent is None or percent <= limit.loading_percent_max for limit, percent in loadings
        )

    def result(self, bytes_per_agent: float, changes: Callable[[int, int], int]) -> ControlResult:
        """Return what the readings come to.

        Parameters
        ----------
        bytes_per_agent : of gossip in all ticks
        changes : how often prices changed between two ticks
        """
        last = self.readings[-1]
        bad = [k for k, reading in enumerate(self.readings) if not self.is_in_limits(reading)]
        ticks = max(bad[-1] + 1 - self._first, 0) if bad else 0
        voltages = [v_pu for v_pu in last.voltages_pu if v_pu is not None]
        return ControlResult(
            in_limits=self.is_in_limits(last),
            ticks=ticks,
            epochs=changes(self._first, self._first + ticks),
            v_max_pu=max(voltages),
            v_min_pu=min(voltages),
            curtailed_kw=sum(abs(asset.planned_kw - asset.p_kw) for asset in last.assets),
            reactive_kvar=sum(abs(asset.q_kvar) for asset in last.assets),
            objective=self.objective(last),
            optimum_objective=None,
            gap_percent=None,
            bytes_per_agent_s=bytes_per_agent / len(self.readings),
        )


def _is_within(band: tuple[float, float], v_pu: float) -> bool:
    return band[0] - _SAME_PU <= v_pu <= band[1] + _SAME_PU


def optimum_of(case: ControlCase) -> float:
    """Return the objective of the central optimum.

    Raises
    ------
    MissingExtraError : the solver is not installed.
    SolverError, CollapseError : there is none.
    """
    return central_optimum(ControlledFeeder(case)).objective
