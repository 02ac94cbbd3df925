"""What a cell does at one time and over a day: voltages, loadings, violations, energy.

Reports are frozen Structs that print as they are: JSON keys carry units, unknown values are None,
and no value is ever NaN.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from peercell.grid.admittance import Real
from peercell.grid.cellfile import Profiles
from peercell.grid.errors import CollapseError
from peercell.grid.feeder import Feeder, State, Steps
from peercell.grid.model import Cell, Record
from peercell.grid.nearest import unknown
from peercell.grid.profiles import power_at
from peercell.grid.rows import row_at, rows_of
from peercell.grid.violations import COMPARED_DIGITS, Episode, Violation, checks, node_names, peak


class BusState(Record, frozen=True):
    """Voltage of a bus, or of one phase of it; None without a source, with the `cause`."""

    v_pu: float | None
    angle_deg: float | None
    cause: str = ""


class BranchState(Record, frozen=True):
    """What a branch or transformer carries, seen from its first (high-voltage) side.

    `loading_percent` is None where no rating is known; what does not conduct carries 0.
    """

    loading_percent: float | None
    p_from_kw: float


class OperatingPoint(Record, frozen=True):
    """A solved state of a cell; `at` is None for the nominal powers of the cell file.

    `source_kw` and `source_kvar` > 0: the source feeds the cell. `violations` come worst first.
    """

    cell: str
    at: datetime | None
    converged: bool
    iterations: int
    losses_kw: float
    source_kw: float
    source_kvar: float
    buses: dict[str, BusState]
    branches: dict[str, BranchState]
    violations: tuple[Violation, ...]


class Extreme(Record, frozen=True):
    """The largest or smallest value of a day: how much, where, when."""

    value: float
    element: str
    at: datetime


class DayStep(Record, frozen=True):
    """One step of a day; loadings are None where no rating is known."""

    at: datetime
    v_min_pu: float
    v_min_bus: str
    v_max_pu: float
    v_max_bus: str
    transformer_percent: float | None
    line_percent: float | None
    losses_kw: float
    source_kw: float
    source_kvar: float
    violations: int


class Day(Record, frozen=True):
    """A day of a cell: what breaks, where and when; energy; the extremes; a row a step.

    `import_kwh` and `export_kwh` are what the source feeds in and takes back, never netted;
    the voltage limits are the tightest of any bus.
    """

    cell: str
    phases: int
    date: date
    step_s: int
    iterations: int
    violated_steps: int
    episodes: tuple[Episode, ...]
    v_min_limit_pu: float
    v_max_limit_pu: float
    loading_limit_percent: float
    v_min: Extreme
    v_max: Extreme
    loading_max: Extreme | None
    import_kwh: float
    export_kwh: float
    losses_kwh: float
    dead: dict[str, str]
    steps: tuple[DayStep, ...]

    @property
    def worst_at(self) -> datetime:
        """When a voltage is furthest beyond its limit, or closest to it."""
        over = self.v_max.value - self.v_max_limit_pu
        under = self.v_min_limit_pu - self.v_min.value
        return self.v_max.at if over > under else self.v_min.at


class Slope(Record, frozen=True):
    """How the voltage of one bus answers; pu per kW and per kvar."""

    dv_dp_pu_per_kw: float
    dv_dq_pu_per_kvar: float


class Slopes(Record, frozen=True):
    """How every voltage of a cell answers to power injected at `bus`, shared by its phases.

    `exact` is False for the first-order model, which leaves out that the injections answer too.
    """

    cell: str
    at: datetime | None
    bus: str
    exact: bool
    buses: dict[str, Slope]


def powers_at(feeder: Feeder, profiles: Profiles, at: datetime | None) -> tuple[Real, Real]:
    """Return P in kW and Q in kvar (assets,) at a time; the nominal ones for None.

    Raises
    ------
    TimeOutsideProfilesError : no window of the cell holds the time.
    """
    if at is None:
        p_kw, q_kvar = feeder.nominal
        return p_kw.copy(), q_kvar.copy()
    p_rows, q_rows = power_at(feeder.cell, profiles, [row_at(feeder.cell, at)])
    return p_rows[0], q_rows[0]


def apply_set_points(
    cell: Cell, p_kw: Real, q_kvar: Real, set_points: Mapping[str, tuple[float, float]]
) -> None:
    """Replace the power of assets by (kW, kvar), in place.

    Raises
    ------
    UnknownElementError : there is no such asset.
    """
    position = {asset.id: number for number, asset in enumerate(cell.assets)}
    for name, (p_set, q_set) in set_points.items():
        if name not in position:
            raise unknown("asset", name, position)
        p_kw[position[name]], q_kvar[position[name]] = p_set, q_set


def operating_point(
    feeder: Feeder, p_kw: Real, q_kvar: Real, at: datetime | None = None
) -> OperatingPoint:
    """Return the solved state for the power of every asset (assets,).

    Raises
    ------
    CollapseError : the network cannot carry this power.
    """
    state = feeder.solve(p_kw, q_kvar)
    percent = state.links.loading * 100.0
    limits = checks(feeder, np.abs(state.voltage)[None], percent[None])
    return OperatingPoint(
        cell=feeder.cell.name,
        at=at,
        converged=True,
        iterations=state.iterations,
        losses_kw=float(state.links.losses_kw),
        source_kw=state.source_kva.real,
        source_kvar=state.source_kva.imag,
        buses=_buses(feeder, state),
        branches=_branches(feeder, state, percent),
        violations=tuple(violation for check in limits for violation in check.violations()),
    )


def _buses(feeder: Feeder, state: State) -> dict[str, BusState]:
    """Return the buses in the order of the cell, those without a source with their cause."""
    magnitude, angle = np.abs(state.voltage), np.degrees(np.angle(state.voltage))
    live = {
        node: BusState(v_pu=float(magnitude[k]), angle_deg=float(angle[k]))
        for k, node in enumerate(feeder.node_ids)
    }
    found = {}
    for bus in feeder.cell.buses:
        for node in node_names(feeder.cell, bus.id):
            dead = BusState(v_pu=None, angle_deg=None, cause=feeder.dead.get(bus.id, ""))
            found[node] = live.get(node, dead)
    return found


def _branches(feeder: Feeder, state: State, percent: Real) -> dict[str, BranchState]:
    """Return lines and transformers in the order of the cell."""
    carried = {
        name: BranchState(
            loading_percent=None if feeder.unrated[k] else float(percent[k]),
            p_from_kw=float(state.links.from_kva[k].real),
        )
        for k, name in enumerate(feeder.branch_ids)
    }
    ratings = {branch.id: branch.rating_a for branch in feeder.cell.branches}
    ratings |= {transformer.id: transformer.rating_kva for transformer in feeder.cell.transformers}
    idle = {
        name: BranchState(loading_percent=None if rating is None else 0.0, p_from_kw=0.0)
        for name, rating in ratings.items()
    }
    return idle | carried


def day_report(feeder: Feeder, profiles: Profiles, day: date) -> Day:
    """Return what happens to a cell on a day of its profiles.

    Raises
    ------
    TimeOutsideProfilesError : the profiles do not cover the day.
    CollapseError : the power flow of a step has no solution; names the first such step.
    """
    rows = rows_of(feeder.cell, day)
    times = [feeder.cell.timeline.time(row) for row in rows]
    p_kw, q_kvar = power_at(feeder.cell, profiles, rows)
    solved = solve_all(feeder, p_kw, q_kvar, times)
    v_pu, percent = np.abs(solved.voltage), solved.links.loading * 100.0
    limits = checks(feeder, v_pu, percent)
    step = timedelta(seconds=feeder.cell.timeline.step_s)
    hours = step / timedelta(hours=1)
    source_kw = solved.source_kva.real
    violated = sum((check.excess > 0.0).sum(axis=1) for check in limits)
    return Day(
        cell=feeder.cell.name,
        phases=feeder.cell.phases,
        date=day,
        step_s=feeder.cell.timeline.step_s,
        iterations=solved.iterations,
        violated_steps=int(np.count_nonzero(violated)),
        episodes=tuple(episode for check in limits for episode in check.episodes(times, step)),
        v_min_limit_pu=max(bus.v_min_pu for bus in feeder.cell.buses),
        v_max_limit_pu=min(bus.v_max_pu for bus in feeder.cell.buses),
        loading_limit_percent=feeder.cell.limits.loading_percent_max,
        v_max=_extreme(v_pu, feeder.node_ids, times),
        v_min=_extreme(-v_pu, feeder.node_ids, times),
        loading_max=None if feeder.unrated.all() else _extreme(percent, feeder.branch_ids, times),
        import_kwh=float(source_kw.clip(min=0.0).sum()) * hours,
        export_kwh=float((-source_kw).clip(min=0.0).sum()) * hours,
        losses_kwh=float(solved.links.losses_kw.sum()) * hours,
        dead=dict(feeder.dead),
        steps=_day_steps(feeder, solved, times, violated),
    )


def solve_all(feeder: Feeder, p_kw: Real, q_kvar: Real, times: Sequence[datetime]) -> Steps:
    """Return the solved steps for powers (steps, assets).

    Raises
    ------
    CollapseError : a step has no solution; names the time of the first one.
    """
    solved = feeder.solve_steps(p_kw, q_kvar)
    for row in np.flatnonzero(~solved.converged)[:1]:
        try:
            feeder.solve(p_kw[row], q_kvar[row])
        except CollapseError as error:
            what = f"the power flow has no solution at {times[row]:%Y-%m-%dT%H:%M}"
            raise CollapseError(what, error.why, error.fix, error.weakest_bus) from None
    return solved


def _extreme(values: Real, elements: Sequence[str], times: Sequence[datetime]) -> Extreme:
    """Return the largest of (steps, elements); negative values stand for a smallest."""
    row, column = peak(values)
    return Extreme(value=abs(float(values[row, column])), element=elements[column], at=times[row])


def _day_steps(
    feeder: Feeder, solved: Steps, times: Sequence[datetime], violated: Real
) -> tuple[DayStep, ...]:
    """Return the rows of a day."""
    v_pu = np.abs(solved.voltage)
    compared = np.round(v_pu, COMPARED_DIGITS)
    low, high = compared.argmin(axis=1), compared.argmax(axis=1)
    transformers = {transformer.id for transformer in feeder.cell.transformers}
    is_transformer = np.array([name in transformers for name in feeder.branch_ids], np.bool_)
    percent = solved.links.loading * 100.0
    of_transformers = _largest(percent, is_transformer & ~feeder.unrated)
    of_lines = _largest(percent, ~is_transformer & ~feeder.unrated)
    return tuple(
        DayStep(
            at=at,
            v_min_pu=float(v_pu[row, low[row]]),
            v_min_bus=feeder.node_ids[low[row]],
            v_max_pu=float(v_pu[row, high[row]]),
            v_max_bus=feeder.node_ids[high[row]],
            transformer_percent=of_transformers[row],
            line_percent=of_lines[row],
            losses_kw=float(solved.links.losses_kw[row]),
            source_kw=float(solved.source_kva[row].real),
            source_kvar=float(solved.source_kva[row].imag),
            violations=int(violated[row]),
        )
        for row, at in enumerate(times)
    )


def _largest(percent: Real, chosen: npt.NDArray[np.bool_]) -> Sequence[float | None]:
    """Return the largest of the chosen columns in each row, None when there is no column."""
    if not chosen.any():
        return [None] * percent.shape[0]
    largest: list[float | None] = percent[:, chosen].max(axis=1).tolist()
    return largest


def slopes(
    feeder: Feeder, powers: tuple[Real, Real], at: datetime | None, bus: str, *, exact: bool
) -> Slopes:
    """Return how every voltage answers to power at a bus ("17") or one phase of it ("34.a").

    Parameters
    ----------
    powers : P in kW and Q in kvar of every asset, the operating point.
    at : the time they belong to.

    Raises
    ------
    UnknownElementError : there is no such bus, or it has no source.
    CollapseError : the network cannot carry this power.
    """
    method = feeder.sensitivity if exact else feeder.first_order_sensitivity
    found = method(*powers, bus)
    per_kw, per_kvar = found.per_kw.mean(axis=1), found.per_kvar.mean(axis=1)
    return Slopes(
        cell=feeder.cell.name,
        at=at,
        bus=bus,
        exact=exact,
        buses={
            node: Slope(dv_dp_pu_per_kw=float(per_kw[k]), dv_dq_pu_per_kvar=float(per_kvar[k]))
            for k, node in enumerate(feeder.node_ids)
        },
    )
