"""Runs of the voltage agents on the reference cases, each made once."""

from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import numpy as np
import pytest
from msgspec import structs

from peercell.agents.control.paths import Path, Span
from peercell.agents.convex import SolverError
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving import control_cell
from peercell.broker.solving.control_cases import load_control_case
from peercell.broker.solving.control_cell import agent_at
from peercell.broker.solving.control_log import ControlResult
from peercell.broker.solving.control_run import Algorithm, ControlRun, ControlSettings
from peercell.grid.admittance import Real
from peercell.grid.control_case import ControlCase
from peercell.grid.controlled_feeder import ControlledFeeder, Outcome
from peercell.grid.local_control import droop_alone, standard_droop
from peercell.grid.model import Cell
from peercell.grid.optimum import central_optimum
from peercell.grid.paths import path_lists

FOLDER = FilePath("tests/reference/control")
SMALL = ("rural1-ov", "semiurb4-ov", "rural1-uv", "rural1-congestion")
TICKS_MAX = 1000
# So large that one seed of them is as dear as several of the others.
LARGE = ("rural2-ov", "rural3-ov", "rural2-uv", "rural3-uv")


@dataclass(frozen=True)
class Condition:
    """What goes wrong while the agents speak, and the goals in ticks for over and under voltage."""

    name: str
    faults: LinkFaults
    goal_over: int
    goal_under: int
    skew_ticks: int = 0
    crash_share: float = 0.0


CALM = Condition("no loss", LinkFaults(), 100, 45)
LOSS = Condition("30 % loss", LinkFaults(drop=0.3), 100, 45)
LATE = Condition(
    "late", LinkFaults(drop=0.3, delay_s_min=0.0, delay_s_max=2.0), 150, 150, skew_ticks=2
)
CRASH = Condition("crash", LinkFaults(drop=0.3), 100, 100, crash_share=0.1)
CONDITIONS = (CALM, LOSS, LATE, CRASH)


@dataclass(frozen=True)
class Measured:
    """How a run ended, the highest voltage of each tick, and P and Q of the devices in the end."""

    result: ControlResult
    agents: int
    highest_pu: tuple[float, ...]
    powers: tuple[Real, Real]
    crashed_buses: frozenset[str]


def case_of(name: str) -> ControlCase:
    """Return a reference case."""
    return load_control_case(FOLDER / f"{name}.json")


def controlled(
    case: ControlCase, condition: Condition, seed: int, algorithm: Algorithm = Algorithm.DUAL
) -> Measured:
    """Return a case after control."""
    settings = ControlSettings(
        algorithm=algorithm,
        faults=condition.faults,
        skew_ticks=condition.skew_ticks,
        crash_share=condition.crash_share,
        ticks_max=TICKS_MAX,
        seed=seed,
    )
    run = ControlRun(case, settings)
    result = run.run()
    last = run.log.readings[-1].assets
    return Measured(
        result,
        len(run.agents),
        tuple(reading.v_max_pu for reading in run.log.readings),
        (np.array([one.p_kw for one in last]), np.array([one.q_kvar for one in last])),
        frozenset(bus for bus in case.monitored if agent_at(bus) in run.log.crashed),
    )


def by_peers(name: str, condition: Condition, seed: int) -> Measured:
    """Return a case after control by shared prices."""
    return controlled(case_of(name), condition, seed)


def by_gradient(name: str) -> Measured:
    """Return a case after control by the gradient method."""
    return controlled(case_of(name), LOSS, 0, Algorithm.GRADIENT)


def by_optimum(name: str) -> Outcome:
    """Return what the central optimum of a case reaches."""
    feeder = ControlledFeeder(case_of(name))
    best = central_optimum(feeder)
    return feeder.outcome(best.p_kw, best.q_kvar)


def by_droop(name: str) -> Outcome:
    """Return what standard droop reaches."""
    feeder = ControlledFeeder(case_of(name))
    followed = standard_droop(feeder.case.limits.v_max_pu)
    return feeder.outcome(*droop_alone(feeder, followed))


def wrong_by(name: str, r_by: float, x_by: float) -> ControlResult:
    """Return how control ends when all agents take R and X of the network for so much more."""

    def wrong(cell: Cell) -> dict[str, Path]:
        return {
            bus: tuple(Span(span.branch, span.per_kw * r_by, span.per_kvar * x_by) for span in path)
            for bus, path in path_lists(cell).items()
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_cell, "path_lists", wrong)
        return ControlRun(case_of(name), ControlSettings(ticks_max=TICKS_MAX)).run()


def is_lost(name: str, found: Measured) -> bool:
    """Return whether a run did not end in limits, and nobody could have kept them.

    After a crash, that is: with the devices that are left, and the others where their own droop
    has brought them.
    """
    if found.result.in_limits:
        return False
    case = case_of(name)
    injected = zip(case.devices, *found.powers, strict=True)
    dead = {d.id: (p, q) for d, p, q in injected if d.bus in found.crashed_buses}
    customers = tuple(
        structs.replace(
            customer,
            assets=tuple(
                structs.replace(asset, p_kw=dead[asset.id][0], q_kvar=dead[asset.id][1])
                if asset.id in dead
                else asset
                for asset in customer.assets
            ),
        )
        for customer in case.cell.customers
    )
    devices = tuple(device for device in case.devices if device.id not in dead)
    alive = tuple(bus for bus in case.monitored if bus not in found.crashed_buses)
    limits = structs.replace(case.limits, margin_pu=0.0)
    cell = structs.replace(case.cell, customers=customers)
    left = replace(case, cell=cell, devices=devices, monitored=alive, limits=limits)
    try:
        central_optimum(ControlledFeeder(left))
    except SolverError:
        return True
    return False


def is_over(name: str) -> bool:
    """Return whether it is the upper limit that a case breaks."""
    return "-uv" not in name
