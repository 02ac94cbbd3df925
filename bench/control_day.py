"""What a day of sun loses to each way of keeping the voltage: energy, highest voltage, losses."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bench.control_runs import CALM, FOLDER, controlled
from msgspec import structs

from peercell.broker.solving.control_cases import cell_of, read_case
from peercell.grid.control_case import CaseFile, ControlCase, control_case
from peercell.grid.controlled_feeder import ControlledFeeder, Outcome
from peercell.grid.local_control import droop_alone, standard_droop, tuned_droop
from peercell.grid.optimum import central_optimum
from peercell.grid.profiles import power_at
from peercell.grid.rows import rows_of

Way = Callable[[ControlledFeeder], Outcome]


@dataclass
class DayOf:
    """One way over a day: kW curtailed in each step, the highest voltage, kWh of losses and kvarh.

    `hours` are those of the day at which the steps begin.
    """

    hours: list[float] = field(default_factory=list)
    curtailed_kw: list[float] = field(default_factory=list)
    v_max_pu: float = 0.0
    losses_kwh: float = 0.0
    reactive_kvarh: float = 0.0

    @property
    def curtailed_kwh(self) -> float:
        """Energy that the sun offered and nobody got."""
        return sum(self.curtailed_kw) * _step_h(self.hours)

    def add(self, hour: float, found: Outcome, step_h: float) -> None:
        """Note a step."""
        self.hours.append(hour)
        self.curtailed_kw.append(found.curtailed_kw)
        self.v_max_pu = max(self.v_max_pu, found.v_max_pu)
        self.losses_kwh += found.losses_kw * step_h
        self.reactive_kvarh += found.reactive_kvar * step_h


def _step_h(hours: list[float]) -> float:
    return hours[1] - hours[0]


@dataclass(frozen=True)
class Compared:
    """A day under several ways, and the energy that the sun offers."""

    available_kwh: float
    ways: Mapping[str, DayOf]


def steps_of(path: Path) -> Iterator[tuple[datetime, ControlCase]]:
    """Yield the quarter hours of a case's day, its plants and loads as they then are."""
    file = read_case(path)
    loaded = cell_of(file, path)
    assert file.at is not None
    rows = rows_of(loaded.cell, file.at.date())
    p_kw, _ = power_at(loaded.cell, loaded.profiles, rows)
    column = {asset.id: k for k, asset in enumerate(loaded.cell.assets)}
    rating = {asset.id: asset.rating_kva or abs(asset.p_kw) for asset in loaded.cell.assets}
    for row, powers in zip(rows, p_kw, strict=True):
        at = loaded.cell.timeline.time(row)
        devices = tuple(
            structs.replace(
                entry,
                planned_kw=float(powers[column[entry.id]])
                * (entry.rating_kva or entry.planned_kw)
                / rating[entry.id],
            )
            for entry in file.devices
        )
        moved: CaseFile = structs.replace(file, at=at, devices=devices)
        yield at, control_case(moved, loaded.cell, loaded.profiles)


def day_of(name: str) -> Compared:
    """Return the day of a case under the peers, the optimum, and droop as usual and tuned."""
    path = FOLDER / f"{name}.json"
    file = read_case(path)
    worst = next(case for at, case in steps_of(path) if at == file.at)
    tuned = tuned_droop(ControlledFeeder(worst)).characteristic
    usual = standard_droop(file.limits.v_max_pu)
    ways: dict[str, Way] = {
        "peers": by_run,
        "optimum": best_of,
        "standard droop": lambda feeder: feeder.outcome(*droop_alone(feeder, usual)),
        "tuned droop": lambda feeder: feeder.outcome(*droop_alone(feeder, tuned)),
    }
    days = {name: DayOf() for name in ways}
    available_kwh = 0.0
    for at, case in steps_of(path):
        feeder = ControlledFeeder(case)
        step_h, hour = 0.25, at.hour + at.minute / 60.0
        available_kwh += sum(device.can.planned_kw for device in case.devices) * step_h
        for label, way in ways.items():
            days[label].add(hour, way(feeder), step_h)
    return Compared(available_kwh, days)


def by_run(feeder: ControlledFeeder) -> Outcome:
    """Return what the voltage agents reach; nothing is asked of them where nothing is broken."""
    untouched = feeder.outcome(*feeder.uncontrolled)
    if keeps_margin(feeder, untouched):
        return untouched
    return feeder.outcome(*controlled(feeder.case, CALM, 0).powers)


def best_of(feeder: ControlledFeeder) -> Outcome:
    """Return what the central optimum reaches; nothing is asked of it where nothing is broken."""
    untouched = feeder.outcome(*feeder.uncontrolled)
    if keeps_margin(feeder, untouched):
        return untouched
    best = central_optimum(feeder)
    return feeder.outcome(best.p_kw, best.q_kvar)


def keeps_margin(feeder: ControlledFeeder, found: Outcome) -> bool:
    """Return whether all voltages are within the limits less their margin."""
    limits = feeder.case.limits
    return bool(
        found.v_max_pu <= limits.v_max_pu - limits.margin_pu
        and found.v_min_pu >= limits.v_min_pu + limits.margin_pu
    )
