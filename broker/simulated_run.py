"""A whole cell in this process on a virtual clock: the same plan, the same roles, no sockets."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from peercell.agents.protocol import Role
from peercell.broker.config import Network, load_grid
from peercell.broker.faults.network import LinkFaults
from peercell.broker.faults.plan import FaultPlan
from peercell.broker.faults.shim import Shim
from peercell.broker.faults.staging import stage, step_name
from peercell.broker.outcomes.results import IntervalRow, Run
from peercell.broker.outcomes.verdict import TOO_LATE
from peercell.broker.plans.cell import plan_cell
from peercell.broker.plans.live import RunOrder, peer_specs, read_order, run_note
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.roles import build
from peercell.broker.simulated_checks import check
from peercell.broker.simulating import simulation
from peercell.broker.terminal.demo import HEADER, grid_text, interval_line

NO_FAULTS = FaultPlan()


def simulate(order: RunOrder, say: Callable[[str], None], faults: FaultPlan = NO_FAULTS) -> Run:
    """Return what a run came to; tell how it goes, a line for each interval.

    Raises
    ------
    PeercellError : the config is wrong, or a fault hits nobody.
    InvariantError : the run has done what no run may do.
    OSError : the file cannot be read.
    """
    config = read_order(order)
    clock = config.cell.clock
    # As with processes, the market opens one interval after its peers are there.
    grid = load_grid(config)
    plan = plan_cell(config, grid, clock.interval_s / clock.speed)
    note = run_note(plan, order, 0.0)
    cell = simulation(_faults(config.cell.network), plan.seed)
    for spec in peer_specs(plan):
        cell.enlist(spec.peer, partial(_build, spec), role_name=spec.role)
    stage(faults.seeded(plan.seed), cell, note.roles, note.begins_s, grid.cell)
    run = Run(note, ())
    told = 0
    say(HEADER)
    for interval in range(plan.calendar.intervals):
        cell.run(plan.calendar.start_s(interval + 1))
        check(cell, run, grid.cell)
        run.take((peer, fact) for _, peer, fact in cell.facts[told:])
        told = len(cell.facts)
        if interval in run.numbers:
            say(_line(run.interval(interval)))
    check(cell, run, grid.cell)
    run.messages = cell.accounts
    run.trace_hash = cell.trace_hash
    lasted_s = plan.calendar.start_s(plan.calendar.intervals) - note.begins_s
    run.effects = tuple(_effects(cell.shim, faults, lasted_s))
    return run


def _build(spec: PeerSpec) -> Role:
    return build(spec.peer, spec.settings, np.random.default_rng(spec.seed))


def _effects(shim: Shim, faults: FaultPlan, lasted_s: float) -> Iterator[tuple[int, str]]:
    """Yield how often each step has done something, and why it has no effect, if so."""
    for place, step in enumerate(faults.steps):
        name = step_name(place)
        late = TOO_LATE if step.at_s >= lasted_s else ""
        yield shim.hits[name], shim.refusals.get(name, late)


def _faults(network: Network) -> LinkFaults:
    return LinkFaults(
        drop=network.loss,
        duplicate=network.duplicate,
        delay_s_min=network.delay_s * (1.0 - network.jitter),
        delay_s_max=network.delay_s * (1.0 + network.jitter),
    )


def _line(row: IntervalRow) -> str:
    if row.v_min_pu is None or row.v_max_pu is None:
        return interval_line(row, row.rounds, "not seen")
    volts = grid_text(row.v_min_pu, row.v_max_pu, row.loading_percent_max, row.violations or 0)
    return interval_line(row, row.rounds, volts)
