"""How what stands becomes a solved state of the cell."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec
import numpy as np

from peercell.agents.control.device import Device, DeviceSettings
from peercell.agents.errors import PeercellError
from peercell.agents.grid_parts import (
    Correction,
    Disturbance,
    RefusalCode,
    RefusalFacts,
    SetPoint,
    SourceState,
    Stored,
)
from peercell.grid import topology
from peercell.grid.admittance import Real
from peercell.grid.cellfile import Profiles, content_hash
from peercell.grid.errors import TimeOutsideProfilesError
from peercell.grid.feeder import Feeder, Steps
from peercell.grid.model import Cell, Source
from peercell.grid.profiles import power_at
from peercell.grid.rows import row_at
from peercell.grid.service_disturbances import upset_by
from peercell.grid.service_errors import RefusedError, refusal
from peercell.grid.service_reading import Lens, Picture, picture_of_step
from peercell.grid.service_standing import Arrangement, Standing
from peercell.grid.service_stores import Stores

_LENSES_MAX = 16
_SHARES = 32


class Plant:
    """A cell with its profiles: turns what stands into a solved state.

    Attributes
    ----------
    position : of each asset in the arrays.
    digest : content hash of cell and profiles.
    devices : what the assets that have a controller can do.
    solves, feeders : how many states were solved and topologies built.
    """

    def __init__(
        self,
        cell: Cell,
        profiles: Profiles,
        devices: Mapping[str, DeviceSettings] = MappingProxyType({}),
    ) -> None:
        self.cell = cell
        self.devices = devices
        self.assets = cell.assets
        self.digest = content_hash(cell, profiles)
        self.position = {asset.id: number for number, asset in enumerate(self.assets)}
        self.solves = self.feeders = 0
        self._stores = Stores(devices, self.position)
        self._profiles = profiles
        self._lenses: dict[Arrangement, Lens] = {}
        # Most turns change power only: to know the arrangement again saves hashing it twice.
        self._latest: tuple[Arrangement, Lens] | None = None

    def start(self, at: datetime | None) -> Standing:
        """Return what stands before anybody has written.

        Raises
        ------
        TimeOutsideProfilesError : no window of the profiles holds the time.
        """
        base = self._base(at)
        planned, p_kw, q_kvar = self._follow(base)
        standing = Standing(
            rev=0,
            topo=0,
            at=at,
            base=base,
            planned=planned,
            p_kw=p_kw,
            q_kvar=q_kvar,
            store=self._stores.start(),
            set_points={},
            corrections={},
            primary={},
            arrangement=Arrangement(),
            newest={},
        )
        for asset in self._stores.names:
            self._combine(standing, asset)
        return standing

    def _follow(self, base: tuple[Real, Real]) -> tuple[tuple[Real, Real], Real, Real]:
        """Return what is planned and injected where all assets follow their profiles."""
        p_kw, q_kvar = planned = base[0].copy(), base[1].copy()
        if self.devices:
            p_kw, q_kvar = base[0].copy(), base[1].copy()
        return planned, p_kw, q_kvar

    def fill(self, standing: Standing, stored: Iterable[Stored]) -> None:
        """Let batteries hold what is said of them."""
        energy, lent = (part.copy() for part in standing.store)
        for said in stored:
            number = self.position[said.asset]
            energy[number], lent[number] = said.stored_kwh, said.lent_kwh
        standing.store = energy, lent

    def stored(self, standing: Standing) -> tuple[Stored, ...]:
        """Return how full the batteries are that have a controller."""
        energy, lent = standing.store
        return tuple(
            Stored(name, float(energy[number]), float(lent[number]))
            for name in self._stores.names
            for number in [self.position[name]]
        )

    def move(self, standing: Standing, at: datetime | None) -> None:
        """Let time pass, and profiles speak at another one; set-points stay.

        Raises
        ------
        RefusedError : out_of_range, no window of the profiles holds the time.
        """
        try:
            standing.base = self._base(at)
        except TimeOutsideProfilesError as error:
            raise RefusedError(RefusalCode.OUT_OF_RANGE, error.what, error.why, error.fix) from None
        if at is not None and standing.at is not None:
            passed_s = (at - standing.at).total_seconds()
            planned_kw, p_kw = standing.planned[0], standing.p_kw
            if standing.upset is not None:
                planned_kw, p_kw = standing.upset.own(planned_kw), standing.upset.own(p_kw)
            standing.store = self._stores.after(standing.store, planned_kw, p_kw, passed_s)
        standing.at, standing.is_new = at, True
        standing.planned, standing.p_kw, standing.q_kvar = self._follow(standing.base)
        for point in standing.set_points.values():
            self._plan(standing, point)
        for asset in {**standing.corrections, **standing.primary, **self._stores.names}:
            self._combine(standing, asset)

    def _base(self, at: datetime | None) -> tuple[Real, Real]:
        if at is None:
            return (
                np.array([asset.p_kw for asset in self.assets], np.float64),
                np.array([asset.q_kvar for asset in self.assets], np.float64),
            )
        p_kw, q_kvar = power_at(self.cell, self._profiles, [row_at(self.cell, at)])
        return p_kw[0], q_kvar[0]

    def place(self, standing: Standing, points: Iterable[SetPoint]) -> None:
        """Give assets set-points, or leave them to their profiles."""
        known = standing.set_points
        for point in points:
            old = known.get(point.asset)
            if point == old:
                continue
            if point.p_kw is not None or point.q_kvar is not None:
                known[point.asset] = point
            elif old is not None:
                del known[point.asset]
            else:
                continue
            standing.is_new = True
            self._plan(standing, point)

    def _plan(self, standing: Standing, point: SetPoint) -> None:
        """Plan what a set-point says, and inject it where nobody corrects it."""
        asset, p_kw, q_kvar = point.asset, point.p_kw, point.q_kvar
        number = self.position[asset]
        planned_kw, planned_kvar = standing.planned
        planned_kw[number] = standing.base[0][number] if p_kw is None else p_kw
        planned_kvar[number] = standing.base[1][number] if q_kvar is None else q_kvar
        if standing.p_kw is planned_kw:
            return
        if asset in self.devices:
            self._combine(standing, asset)
        else:
            standing.p_kw[number], standing.q_kvar[number] = (
                planned_kw[number],
                planned_kvar[number],
            )

    def correct(self, standing: Standing, wanted: Correction) -> None:
        """Let an asset leave its plan as its controller wants."""
        if wanted != standing.correction(wanted.asset):
            standing.is_new = True
        _keep(standing.corrections, wanted)
        self._combine(standing, wanted.asset)

    def shift(self, standing: Standing, shift: Correction) -> None:
        """Let an inverter leave by itself what is wanted of it."""
        standing.is_new = True
        _keep(standing.primary, shift)
        self._combine(standing, shift.asset)

    def disturb(self, standing: Standing, disturbance: Disturbance) -> None:
        """Let something befall assets, in place of what did under that name."""
        if disturbance == standing.disturbance(disturbance.name):
            return
        standing.is_new = True
        standing.disturbances.pop(disturbance.name, None)
        if disturbance.assets:
            standing.disturbances[disturbance.name] = disturbance
        # In the order of the names, so that sums have the same bits after a restore.
        sorted_ones = [standing.disturbances[name] for name in sorted(standing.disturbances)]
        standing.upset = upset_by(sorted_ones, self.position)

    def wanted(self, standing: Standing, asset: str) -> tuple[float, float]:
        """Return P and the change of Q that are wanted of an asset, within what it can do."""
        planned_kw = float(standing.planned[0][self.position[asset]])
        asked = standing.corrections.get(asset)
        if asked is None:
            if self.devices[asset].energy_kwh is None:
                return planned_kw, 0.0
            asked = Correction(asset, 0.0, 0.0)
        device = self.device(standing, asset)
        return device.nearest(planned_kw + asked.p_kw, asked.q_kvar)

    def device(self, standing: Standing, asset: str) -> Device:
        """Return what an asset that has a controller can do now."""
        number = self.position[asset]
        planned_kw, stored_kwh, lent_kwh = (
            float(part[number]) for part in (standing.planned[0], *standing.store)
        )
        return self.devices[asset].at(planned_kw, stored_kwh, lent_kwh)

    def _combine(self, standing: Standing, asset: str) -> None:
        """Set what an asset injects: the plan, corrected, and what it does by itself."""
        number = self.position[asset]
        p_kw, by_kvar = self.wanted(standing, asset)
        if (own := standing.primary.get(asset)) is not None:
            device = self.device(standing, asset)
            p_kw, by_kvar = device.nearest(p_kw + own.p_kw, by_kvar + own.q_kvar)
        standing.p_kw[number] = p_kw
        standing.q_kvar[number] = standing.planned[1][number] + by_kvar

    def lens(self, arrangement: Arrangement) -> Lens:
        """Return the network of an arrangement; the newest few are kept.

        Raises
        ------
        RefusedError : no_source or bad_topology, with the reason.
        """
        if self._latest is not None and arrangement is self._latest[0]:
            return self._latest[1]
        lens = self._lenses.pop(arrangement, None)
        if lens is None:
            self.feeders += 1
            try:
                lens = Lens(self._feeder(arrangement))
            except PeercellError as error:
                raise refusal(error) from None
            if len(self._lenses) >= _LENSES_MAX:
                del self._lenses[next(iter(self._lenses))]
        self._lenses[arrangement] = lens
        self._latest = arrangement, lens
        return lens

    def _feeder(self, arrangement: Arrangement) -> Feeder:
        cell = self.cell
        if arrangement.sources:
            named = {state.source for state in arrangement.sources}
            kept = [source for source in cell.sources if source.id not in named]
            added = [_source(state) for state in arrangement.sources if state.on]
            cell = msgspec.structs.replace(cell, sources=(*kept, *added))
        switching = topology.Switching(
            closed=dict(arrangement.closed),
            taps=dict(arrangement.taps),
            outages=frozenset(arrangement.outages),
        )
        return Feeder(cell, switching)

    def solve(self, standing: Standing) -> Picture:
        """Return the state of the cell.

        Raises
        ------
        RefusedError : collapse, no_source or bad_topology, with the reason.
        """
        lens = self.lens(standing.arrangement)
        self.solves += 1
        try:
            state = lens.feeder.solve(*standing.injected)
            return Picture(lens, state, standing.powers)
        except PeercellError as error:
            raise refusal(error) from None

    def solve_all(self, standings: Sequence[Standing]) -> list[Picture | RefusedError]:
        """Return the state of each, or why there is none; one batch for each arrangement."""
        found: list[Picture | RefusedError] = [_UNSOLVED] * len(standings)
        groups: dict[Arrangement, list[int]] = {}
        for number, standing in enumerate(standings):
            groups.setdefault(standing.arrangement, []).append(number)
        for arrangement, members in groups.items():
            try:
                lens = self.lens(arrangement)
            except RefusedError as error:
                for number in members:
                    found[number] = error
                continue
            steps = lens.feeder.solve_steps(
                np.array([standings[number].injected[0] for number in members]),
                np.array([standings[number].injected[1] for number in members]),
            )
            for row, number in enumerate(members):
                if steps.converged[row]:
                    found[number] = picture_of_step(lens, steps, row, standings[number].powers)
        return found

    def solve_change(self, good: Standing, bad: Standing) -> Picture:
        """Return the state after a change that may not be solvable.

        Raises
        ------
        RefusedError : as `solve`; a collapse by power alone says how much of the change could be
            solved.
        """
        if good.arrangement != bad.arrangement:
            return self.solve(bad)
        # A step of a batch fails quietly; the collapse of a single state would explain itself at
        # length, but as a share of all power and not of this change.
        lens = self.lens(bad.arrangement)
        p_kw, q_kvar = bad.injected
        if lens.feeder.solve_steps(p_kw[None], q_kvar[None]).converged[0]:
            return self.solve(bad)
        raise _collapse(lens, good, bad)


def _collapse(lens: Lens, good: Standing, bad: Standing) -> RefusedError:
    """Return the error that says how much of a change of power the network carries.

    Two batches narrow the fraction down to 1/1024; the first state of each has a solution.
    """
    (good_kw, good_kvar), (bad_kw, bad_kvar) = good.injected, bad.injected

    def solved(shares: Real) -> Steps:
        return lens.feeder.solve_steps(
            good_kw + shares * (bad_kw - good_kw), good_kvar + shares * (bad_kvar - good_kvar)
        )

    fraction, width = 0.0, 1.0
    for _ in range(2):
        shares = fraction + width * np.arange(_SHARES)[:, None] / _SHARES
        steps = solved(shares)
        last = max(int(np.argmin([*steps.converged, False])) - 1, 0)
        fraction, width = float(shares[last, 0]), width / _SHARES
    v_pu = np.abs(steps.voltage[last])
    weakest = int(v_pu.argmin())
    bus = lens.feeder.node_ids[weakest]
    return RefusedError(
        RefusalCode.COLLAPSE,
        "the power flow has no solution: the network cannot carry this power",
        f"it carries {fraction:.1%} of the change; bus {bus} is the weakest, "
        f"at {v_pu[weakest]:.3f} pu there",
        "reduce the power, raise the source voltage, or close a switch",
    ).with_facts(
        RefusalFacts(
            fraction=fraction, iterations=solved(shares[[last]]).iterations, weakest_bus=bus
        )
    )


def _keep(table: dict[str, Correction], entry: Correction) -> None:
    """Keep an entry, unless it says nothing."""
    table.pop(entry.asset, None)
    if entry.p_kw or entry.q_kvar:
        table[entry.asset] = entry


_UNSOLVED = RefusedError(
    RefusalCode.COLLAPSE,
    "the power flow has no solution: the network cannot carry this power",
)


def _source(state: SourceState) -> Source:
    return Source(
        id=state.source,
        bus=state.bus,
        v_pu=state.v_pu,
        angle_deg=state.angle_deg,
        r_ohm=state.r_ohm,
        x_ohm=state.x_ohm,
        r0_ohm=state.r_ohm,
        x0_ohm=state.x_ohm,
    )
