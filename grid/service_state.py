"""What peers have asked of a cell, and the solved state that follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from peercell.agents.errors import PeercellError
from peercell.agents.grid_parts import (
    Outage,
    RefusalCode,
    RefusalFacts,
    SetPoint,
    SourceState,
    Stamp,
    Switching,
    SwitchPosition,
    TapPosition,
    Thing,
)
from peercell.grid import topology
from peercell.grid.admittance import Real
from peercell.grid.cellfile import Profiles, content_hash
from peercell.grid.errors import TimeOutsideProfilesError
from peercell.grid.feeder import Feeder, Steps
from peercell.grid.model import Cell, Source
from peercell.grid.profiles import power_at
from peercell.grid.rows import row_at
from peercell.grid.service_errors import RefusedError, refusal
from peercell.grid.service_reading import Lens, Picture, picture, picture_of_step

_LENSES_MAX = 16
_SHARES = 32


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is connected otherwise than in the cell file; equal ones are equal networks."""

    closed: tuple[tuple[str, bool], ...] = ()
    taps: tuple[tuple[str, int], ...] = ()
    outages: tuple[str, ...] = ()
    sources: tuple[SourceState, ...] = ()

    def switching(self) -> Switching:
        """Return the arrangement as the changes that make it."""
        return Switching(
            tuple(SwitchPosition(*pair) for pair in self.closed),
            tuple(TapPosition(*pair) for pair in self.taps),
            tuple(Outage(branch, out=True) for branch in self.outages),
            self.sources,
        )


@dataclass(slots=True)
class Standing:
    """What stands: the newest word on everything that peers may write.

    Attributes
    ----------
    rev, topo : revisions of the state and of what is connected.
    at : local time; None for the nominal powers of the cell file.
    base : P in kW and Q in kvar of every asset at that time without set-points.
    p_kw, q_kvar : the same with set-points.
    set_points : of the assets that do not follow their profile.
    arrangement : what is connected otherwise than in the cell file.
    newest : the `seq` of the newest write of each peer to each thing.
    is_new : whether the state has changed since it was copied.
    """

    rev: int
    topo: int
    at: datetime | None
    base: tuple[Real, Real]
    p_kw: Real
    q_kvar: Real
    set_points: dict[str, SetPoint]
    arrangement: Arrangement
    newest: dict[tuple[str, Thing, str], int]
    is_new: bool = False

    def copy(self) -> "Standing":
        """Return a copy that can be written without changing this one."""
        return Standing(
            self.rev,
            self.topo,
            self.at,
            self.base,
            self.p_kw.copy(),
            self.q_kvar.copy(),
            self.set_points.copy(),
            self.arrangement,
            self.newest.copy(),
        )

    def has_powers_of(self, other: "Standing") -> bool:
        """Return whether both lead to the same power flow, bit for bit."""
        return (
            self.arrangement == other.arrangement
            and np.array_equal(self.p_kw, other.p_kw)
            and np.array_equal(self.q_kvar, other.q_kvar)
        )

    def set_point(self, asset: str) -> SetPoint:
        """Return the set-point of an asset; without values where it follows its profile."""
        return self.set_points.get(asset) or SetPoint(asset)

    @property
    def stamp(self) -> Stamp:
        """The revisions and the time, as replies carry them."""
        return Stamp(self.rev, self.topo, self.at)


class Plant:
    """A cell with its profiles: turns what stands into a solved state.

    Attributes
    ----------
    position : of each asset in the arrays.
    digest : content hash of cell and profiles.
    solves, feeders : how many states were solved and topologies built.
    """

    def __init__(self, cell: Cell, profiles: Profiles) -> None:
        self.cell = cell
        self.assets = cell.assets
        self.digest = content_hash(cell, profiles)
        self.position = {asset.id: number for number, asset in enumerate(self.assets)}
        self.solves = self.feeders = 0
        self._profiles = profiles
        self._lenses: dict[Arrangement, Lens] = {}

    def start(self, at: datetime | None) -> Standing:
        """Return what stands before anybody has written.

        Raises
        ------
        TimeOutsideProfilesError : no window of the profiles holds the time.
        """
        p_kw, q_kvar = base = self._base(at)
        return Standing(0, 0, at, base, p_kw.copy(), q_kvar.copy(), {}, Arrangement(), {})

    def move(self, standing: Standing, at: datetime | None) -> None:
        """Let profiles speak at another time; set-points stay.

        Raises
        ------
        RefusedError : out_of_range, no window of the profiles holds the time.
        """
        try:
            standing.base = self._base(at)
        except TimeOutsideProfilesError as error:
            raise RefusedError(RefusalCode.OUT_OF_RANGE, error.what, error.why, error.fix) from None
        standing.at, standing.is_new = at, True
        standing.p_kw, standing.q_kvar = (power.copy() for power in standing.base)
        for point in standing.set_points.values():
            self._put(standing, point)

    def _base(self, at: datetime | None) -> tuple[Real, Real]:
        if at is None:
            return (
                np.array([asset.p_kw for asset in self.assets], np.float64),
                np.array([asset.q_kvar for asset in self.assets], np.float64),
            )
        p_kw, q_kvar = power_at(self.cell, self._profiles, [row_at(self.cell, at)])
        return p_kw[0], q_kvar[0]

    def place(self, standing: Standing, point: SetPoint) -> None:
        """Give an asset a set-point, or leave it to its profile."""
        if point == standing.set_point(point.asset):
            return
        standing.is_new = True
        if point.p_kw is None and point.q_kvar is None:
            del standing.set_points[point.asset]
        else:
            standing.set_points[point.asset] = point
        self._put(standing, point)

    def _put(self, standing: Standing, point: SetPoint) -> None:
        number, p_kw, q_kvar = self.position[point.asset], point.p_kw, point.q_kvar
        standing.p_kw[number] = standing.base[0][number] if p_kw is None else p_kw
        standing.q_kvar[number] = standing.base[1][number] if q_kvar is None else q_kvar

    def lens(self, arrangement: Arrangement) -> Lens:
        """Return the network of an arrangement; the newest few are kept.

        Raises
        ------
        RefusedError : no_source or bad_topology, with the reason.
        """
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
            return picture(lens, lens.feeder.solve(standing.p_kw, standing.q_kvar))
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
                np.array([standings[number].p_kw for number in members]),
                np.array([standings[number].q_kvar for number in members]),
            )
            for row, number in enumerate(members):
                if steps.converged[row]:
                    found[number] = picture_of_step(lens, steps, row)
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
        if lens.feeder.solve_steps(bad.p_kw[None], bad.q_kvar[None]).converged[0]:
            return self.solve(bad)
        raise _collapse(lens, good, bad)


def _collapse(lens: Lens, good: Standing, bad: Standing) -> RefusedError:
    """Return the error that says how much of a change of power the network carries.

    Two batches narrow the fraction down to 1/1024; the first state of each has a solution.
    """

    def solved(shares: Real) -> Steps:
        return lens.feeder.solve_steps(
            good.p_kw + shares * (bad.p_kw - good.p_kw),
            good.q_kvar + shares * (bad.q_kvar - good.q_kvar),
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
