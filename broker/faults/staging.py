"""How a plan of faults is carried out in simulation."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.faults.aim import links_at, peers_at
from peercell.broker.faults.fate import Active
from peercell.broker.faults.grid_faults import assets_of, branches_of, grid_request
from peercell.broker.faults.kinds import (
    Clock,
    DiskFull,
    Fault,
    GridFault,
    Kill,
    LinkFault,
    Memory,
    MeterNoise,
    Pause,
    PeerFault,
    Slow,
)
from peercell.broker.faults.orders import Order
from peercell.broker.faults.plan import FaultPlan, Step
from peercell.grid.model import Cell

if TYPE_CHECKING:
    from peercell.broker.simulation import Simulation

# Commands of the plan have ids from here on; those of others are smaller.
_COMMANDS = 1 << 40


class _Stage(Struct, frozen=True):
    """Where a step is carried out: a cell, its peers' roles, when the plan begins, its grid."""

    cell: "Simulation"
    roles: Mapping[str, str]
    origin_s: float
    grid: Cell | None


def stage(
    plan: FaultPlan,
    cell: "Simulation",
    roles: Mapping[str, str],
    origin_s: float = 0.0,
    grid: Cell | None = None,
) -> None:
    """Schedule a plan on a simulated cell that is still to run.

    Parameters
    ----------
    plan : what is broken when
    cell : its peers were enlisted, so that they can be restarted
    roles : role of each peer
    origin_s : s, virtual time from which the times of the plan count
    grid : the cell that its grid service solves, if it has one

    Raises
    ------
    SelectorError, UnknownElementError : a step hits nobody, or nothing.
    PeercellError : a step cannot be carried out in simulation.
    """
    there = _Stage(cell, roles, origin_s, grid)
    for number, step in enumerate(plan.seeded.steps):
        _schedule(there, step, number)


def _schedule(there: _Stage, step: Step, number: int) -> None:
    fault = step.fault
    if isinstance(fault, LinkFault):
        _on_links(there, step, fault, f"step {number}")
    elif isinstance(fault, Kill):
        _kill(there, step, fault)
    elif isinstance(fault, PeerFault):
        _on_peers(there, step, fault)
    elif isinstance(fault, GridFault) and not isinstance(fault, MeterNoise):
        _in_grid(there, step, fault, number)
    else:
        raise PeercellError(
            f"a step cannot be simulated: {step.title}",
            f"simulation cannot do {fault.kind} yet",
            "faults of links, of peers, or of the grid",
        )


def _on_links(there: _Stage, step: Step, fault: LinkFault, name: str) -> None:
    seed = step.seed or 0
    active = Active(fault, seed, links_at(fault.on, there.roles, seed))
    there.cell.at(there.origin_s + step.at_s, there.cell.shim.begin, name, active)
    _at_end(there, step, partial(there.cell.shim.end, name))


def _kill(there: _Stage, step: Step, fault: Kill) -> None:
    at_s = there.origin_s + step.at_s
    for name in peers_at(fault.on, there.roles, step.seed or 0):
        there.cell.crash(name, at_s)
        there.cell.at(at_s, partial(_forget, there.cell, name, fault.state))
        there.cell.restart(name, at_s + fault.restart_after_s)


def _forget(cell: "Simulation", name: str, state: Memory) -> None:
    """Let a peer that is down know less of its earlier lives: here, how many there were."""
    peer = cell.peer(name)
    match state:
        case Memory.LOST:
            peer.incarnation = 0
        case Memory.OLD:
            peer.incarnation = min(peer.incarnation, 1)
        case Memory.KEPT:
            pass


def _on_peers(there: _Stage, step: Step, fault: PeerFault) -> None:
    for name in peers_at(fault.on, there.roles, step.seed or 0):
        there.cell.at(there.origin_s + step.at_s, partial(_hurt, there.cell, name, fault))
        _at_end(there, step, partial(_heal, there.cell, name, fault))


def _hurt(cell: "Simulation", name: str, fault: Fault) -> None:
    peer = cell.peer(name)
    match fault:
        case Pause():
            cell.pace(name, paused=True)
        case Slow(share=share):
            cell.pace(name, share)
        case Clock(ahead_s=ahead_s, drift_ppm=drift_ppm):
            peer.drift = 1e-6 * drift_ppm
            peer.ahead_s = ahead_s - peer.drift * cell.now_s
        case DiskFull():
            peer.disk_full = True


def _heal(cell: "Simulation", name: str, fault: Fault) -> None:
    peer = cell.peer(name)
    match fault:
        case Pause() | Slow():
            cell.pace(name)
        case Clock():
            peer.ahead_s = peer.drift = 0.0
        case DiskFull():
            peer.disk_full = False


def _in_grid(there: _Stage, step: Step, fault: GridFault, number: int) -> None:
    """Let an operator open lines or disturb assets, and undo it."""
    peers = tuple(name for name, role in there.roles.items() if role == "grid")
    if not peers or there.grid is None:
        raise PeercellError(f"{step.title} needs a grid", "no peer of this cell has the role grid")
    order = Order(
        id=f"step {number}",
        fault=fault,
        branches=branches_of(fault, there.grid),
        assets=assets_of(fault, there.grid),
    )

    def ask(request_id: int, *, begins: bool) -> None:
        request = grid_request(order, there.cell.now_s, begins=begins)
        if request is not None:
            there.cell.command(peers[0], request_id, request, there.cell.now_s)

    first_id = _COMMANDS + 2 * number
    there.cell.at(there.origin_s + step.at_s, partial(ask, first_id, begins=True))
    _at_end(there, step, partial(ask, first_id + 1, begins=False))


def _at_end(there: _Stage, step: Step, undo: "partial[None]") -> None:
    if step.for_s is not None:
        there.cell.at(there.origin_s + step.end_s, undo)
