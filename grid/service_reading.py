"""What a view shows of a solved state.

Names become positions once for each view, positions become values for each state.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from peercell.agents.grid_parts import (
    AssetReading,
    BrokenLimit,
    DeadBus,
    LimitKind,
    MicrogridReading,
    Reading,
    View,
)
from peercell.grid.admittance import Index, Real
from peercell.grid.engine import LinkFlow
from peercell.grid.feeder import Feeder, State, Steps
from peercell.grid.model import Microgrid
from peercell.grid.nearest import unknown
from peercell.grid.violations import Check, checks, node_names

Powers = tuple[Real, Real, Real, Real, Real, Real]
"""Of every asset planned P and Q, injected P and Q, in kW and kvar; kWh stored, and lent of it."""

_PLANS_MAX = 1024
_TEXT_MAX = 2000


@dataclass(frozen=True, slots=True)
class _Zone:
    """Where the parts of a microgrid stand; `couplings` are (branch, lower side is the to side)."""

    name: str
    nodes: Index
    rated: Index
    couplings: tuple[tuple[int, bool], ...]
    has_coupling: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """A view as positions in the lists of a `Picture`, whose ends hold the values of the dead."""

    nodes: tuple[int, ...]
    branches: tuple[int, ...]
    zones: tuple[_Zone, ...]
    dead: tuple[DeadBus, ...]
    assets: tuple[int, ...]
    is_of_buses: bool


class Lens:
    """A feeder seen by the names that views use.

    Attributes
    ----------
    feeder : the network under one switching.
    position : of each live bus, by the name that views use, in the arrays of a state.
    rated : positions of the branches whose limit is known.
    assets : of the cell.
    """

    def __init__(self, feeder: Feeder) -> None:
        self.feeder = feeder
        self.rated: Index = np.flatnonzero(~feeder.unrated)
        cell = feeder.cell
        self.position = {name: position for position, name in enumerate(feeder.node_ids)}
        self._dead = {
            node: DeadBus(node, feeder.dead[bus.id][:_TEXT_MAX])
            for bus in cell.buses
            if bus.id in feeder.dead
            for node in node_names(cell, bus.id)
        }
        # What does not conduct stands behind the last branch: first the rated, then the unrated.
        idle = len(feeder.branch_ids)
        self._branch = {branch.id: idle + (branch.rating_a is None) for branch in cell.branches}
        for unit in cell.transformers:
            self._branch[unit.id] = idle + (unit.rating_kva is None)
        for position, name in enumerate(feeder.branch_ids):
            self._branch[name] = position
        self._microgrids = {microgrid.id: microgrid for microgrid in cell.zones.microgrids}
        self.assets = cell.assets
        self._asset = {asset.id: position for position, asset in enumerate(self.assets)}
        self._plans: dict[View, _Plan] = {}

    def is_live(self, branch: str) -> bool:
        """Return whether a branch or transformer of the cell conducts."""
        return self._branch[branch] < len(self.feeder.branch_ids)

    @cached_property
    def dead(self) -> tuple[DeadBus, ...]:
        """Every bus without a source."""
        return tuple(self._dead.values())

    @cached_property
    def checks(self) -> list[Check]:
        """The limits of the cell, to be filled with the values of a state."""
        nodes, branches = len(self.feeder.node_ids), len(self.feeder.branch_ids)
        return checks(self.feeder, np.zeros((1, nodes)), np.zeros((1, branches)))

    def plan(self, view: View) -> _Plan:
        """Return where the things of a view stand.

        Raises
        ------
        UnknownElementError : the cell has no such bus, branch, microgrid or asset.
        """
        plan = self._plans.get(view)
        if plan is None:
            if len(self._plans) >= _PLANS_MAX:
                self._plans.clear()
            plan = self._plans[view] = self._make_plan(view)
        return plan

    def _make_plan(self, view: View) -> _Plan:
        for bus in view.buses:
            if bus not in self.position and bus not in self._dead:
                raise unknown("bus", bus, [*self.position, *self._dead])
        for branch in view.branches:
            if branch not in self._branch:
                raise unknown("branch", branch, self._branch)
        for microgrid in view.microgrids:
            if microgrid not in self._microgrids:
                raise unknown("microgrid", microgrid, self._microgrids)
        for asset in view.assets:
            if asset not in self._asset:
                raise unknown("asset", asset, self._asset)
        return _Plan(
            nodes=tuple(self.position.get(bus, -1) for bus in view.buses),
            branches=tuple(self._branch[branch] for branch in view.branches),
            zones=tuple(self._zone(self._microgrids[name]) for name in view.microgrids),
            dead=tuple(self._dead[bus] for bus in view.buses if bus in self._dead),
            assets=tuple(self._asset[asset] for asset in view.assets),
            is_of_buses=view == View(view.buses) and self._dead.keys().isdisjoint(view.buses),
        )

    def _zone(self, microgrid: Microgrid) -> _Zone:
        cell, inside = self.feeder.cell, set(microgrid.buses)
        ends = {branch.id: (branch.from_bus, branch.to_bus) for branch in cell.branches}
        ends |= {unit.id: (unit.hv_bus, unit.lv_bus) for unit in cell.transformers}
        names = [name for bus in microgrid.buses for name in node_names(cell, bus)]
        touching = [k for k, name in enumerate(self.feeder.branch_ids) if inside & {*ends[name]}]
        points = [point for point in cell.zones.coupling_points if point.lower == microgrid.id]
        return _Zone(
            name=microgrid.id,
            nodes=np.array(
                [self.position[name] for name in names if name in self.position], np.int64
            ),
            rated=np.intersect1d(np.array(touching, np.int64), self.rated),
            couplings=tuple(
                (self._branch[point.branch], ends[point.branch][1] in inside)
                for point in points
                if self.is_live(point.branch)
            ),
            has_coupling=bool(points),
        )


class Picture:
    """A solved state, ready to be read through its lens.

    Parameters
    ----------
    lens : names of the feeder that was solved.
    state : its solution.
    powers : of every asset.
    """

    def __init__(self, lens: Lens, state: State, powers: Powers) -> None:
        self.lens = lens
        self.v_pu: Real = np.abs(state.voltage)
        self.links = links = state.links
        self._powers = powers
        self._scalars = (
            float(links.losses_kw),
            state.source_kva.real,
            state.source_kva.imag,
            # To look up where the extremes stand takes a third of the time of reducing to them.
            self.v_pu.item(self.v_pu.argmin()),
            self.v_pu.item(self.v_pu.argmax()),
            # A branch whose limit is unknown has no loading.
            100.0 * links.loading.item(links.loading.argmax()) if lens.rated.size else None,
            state.iterations,
        )
        self.whole = Reading(*self._scalars)

    @cached_property
    def percent(self) -> Real:
        """Loading of each branch, 0 where no limit is known."""
        percent: Real = self.links.loading * 100.0
        return percent

    @cached_property
    def _voltages(self) -> list[float | None]:
        return [*self.v_pu.tolist(), None]

    @cached_property
    def _loadings(self) -> list[float | None]:
        loadings: list[float | None] = [*self.percent.tolist(), 0.0, None]
        for position in np.flatnonzero(self.lens.feeder.unrated):
            loadings[position] = None
        return loadings

    @cached_property
    def _flows(self) -> list[float]:
        return [*self.links.from_kva.real.tolist(), 0.0, 0.0]

    @cached_property
    def violations(self) -> tuple[BrokenLimit, ...]:
        """Every broken limit of the cell, the worst of each kind first."""
        over, under, load = self.lens.checks
        filled = [
            replace(over, values=self.v_pu[None]),
            replace(under, values=self.v_pu[None]),
            replace(load, values=self.percent[None]),
        ]
        return tuple(
            BrokenLimit(LimitKind(found.kind.value), found.element, found.value, found.limit)
            for check in filled
            for found in check.violations()
        )

    def reading(self, view: View) -> Reading:
        """Return what a view shows.

        Raises
        ------
        UnknownElementError : the cell has no such bus, branch, microgrid or asset.
        """
        plan, voltages = self.lens.plan(view), self._voltages
        v_pu = tuple([voltages[node] for node in plan.nodes])
        if plan.is_of_buses:
            # Most views are: what they do not show costs nothing here.
            return Reading(*self._scalars, v_pu)
        branches = plan.branches
        return Reading(
            *self._scalars,
            v_pu,
            tuple([self._loadings[branch] for branch in branches]) if branches else (),
            tuple([self._flows[branch] for branch in branches]) if branches else (),
            tuple([self._microgrid(zone) for zone in plan.zones]) if plan.zones else (),
            self.violations if view.violations else (),
            plan.dead,
            tuple([self._asset(asset) for asset in plan.assets]) if plan.assets else (),
        )

    def _asset(self, position: int) -> AssetReading:
        name = self.lens.assets[position].id
        return AssetReading(name, *(float(power[position]) for power in self._powers))

    def _microgrid(self, zone: _Zone) -> MicrogridReading:
        v_pu = self.v_pu[zone.nodes]
        # Power into a branch at its lower end leaves the microgrid.
        flows = [
            complex((self.links.to_kva if to_side else self.links.from_kva)[branch])
            for branch, to_side in zone.couplings
        ]
        drawn = 0j - sum(flows, 0j)
        return MicrogridReading(
            microgrid=zone.name,
            import_kw=drawn.real if zone.has_coupling else None,
            import_kvar=drawn.imag if zone.has_coupling else None,
            v_min_pu=float(v_pu.min()) if v_pu.size else None,
            v_max_pu=float(v_pu.max()) if v_pu.size else None,
            loading_percent_max=_largest(self.percent[zone.rated]),
        )


def picture_of_step(lens: Lens, steps: Steps, row: int, powers: Powers) -> Picture:
    """Return one of many solved operating points as a picture."""
    links = LinkFlow(
        from_kva=steps.links.from_kva[row],
        to_kva=steps.links.to_kva[row],
        loading=steps.links.loading[row],
        source_kva=steps.links.source_kva[row],
        losses_kw=steps.links.losses_kw[row],
    )
    source_kva = complex(steps.source_kva[row])
    return Picture(lens, State(steps.voltage[row], links, source_kva, steps.iterations), powers)


def _largest(percent: Real) -> float | None:
    return float(np.maximum.reduce(percent)) if percent.size else None
