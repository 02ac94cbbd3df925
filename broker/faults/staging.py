"""How a plan of faults is carried out in simulation."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from peercell.agents.errors import PeercellError
from peercell.broker.faults.aim import Links, Side
from peercell.broker.faults.aimed import aimed
from peercell.broker.faults.grid_faults import assets_of, branches_of, grid_request
from peercell.broker.faults.kinds import (
    Clock,
    DiskFull,
    Fault,
    GridFault,
    Kill,
    LinkFault,
    MeterNoise,
    Partition,
    Pause,
    Slow,
    WordFault,
)
from peercell.broker.faults.orders import Order
from peercell.broker.faults.plan import FaultPlan, Step
from peercell.grid.model import Cell

if TYPE_CHECKING:
    from peercell.broker.simulated_peer import Peer
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
    for number, step in enumerate(plan.seeded().steps):
        _schedule(there, step, number)


def cut(cell: "Simulation", side: Collection[str], from_s: float, to_s: float) -> None:
    """Cut all links between some peers of a simulated cell and the others for some time."""
    here = frozenset(side)
    links = Links(Side(here), Side(here, others=True))
    order = Order(id=f"cut {from_s:g}", fault=Partition(on="from rest"), links=links)
    cell.at(from_s, cell.shim.take, order)
    cell.at(to_s, cell.shim.end, order.id)


def step_name(number: int) -> str:
    """Return under which name a step of a plan is counted, by its place in the plan from 0."""
    return f"step {number}"


def _schedule(there: _Stage, step: Step, number: int) -> None:
    """Let a step begin and end in its time."""
    cell, fault = there.cell, step.fault
    aim = aimed(step, there.roles, step.at_s)
    order = Order(
        id=step_name(number), fault=fault, seed=aim.seed, links=aim.links, peers=aim.peers
    )
    if isinstance(fault, LinkFault | WordFault | MeterNoise):
        cell.at(there.origin_s + step.at_s, cell.shim.take, order)
        _at_end(there, step, partial(cell.shim.end, order.id))
    elif isinstance(fault, GridFault):
        _in_grid(there, step, order, number)
    else:
        _on_peers(there, step, order)


def _on_peers(there: _Stage, step: Step, order: Order) -> None:
    begins_s = there.origin_s + step.at_s
    for name in order.peers:
        peer = there.cell.peer(name)
        if isinstance(step.fault, Kill):
            there.cell.at(there.origin_s, peer.back_up)
        if isinstance(step.fault, Kill) and step.fault.point is not None:
            there.cell.at(begins_s, _arm, peer, step.fault)
            ends_s = there.origin_s + step.end_s
            there.cell.at(ends_s, _disarm, there.cell, peer, order)
            continue
        there.cell.at(begins_s, partial(_hurt, there.cell, peer, order))
        if isinstance(step.fault, Kill):
            there.cell.restart(name, there.origin_s + step.end_s)
        else:
            _at_end(there, step, partial(_heal, there.cell, peer, step.fault))


def _arm(peer: "Peer", fault: Kill) -> None:
    if fault.point is not None:
        peer.arm(fault.point, fault.restart_after_s, fault.state)


def _disarm(cell: "Simulation", peer: "Peer", order: Order) -> None:
    """Let a peer go on that has not come to its point; who has, was hit."""
    cell.shim.hits[order.id] += peer.failpoint is None
    peer.failpoint = None


def _hurt(cell: "Simulation", peer: "Peer", order: Order) -> None:
    """Hurt a peer that runs: who is down already is not hurt further."""
    cell.shim.hits[order.id] += peer.runs
    match order.fault:
        case Kill(state=state):
            cell.crash(peer.name, cell.now_s, state)
        case Pause():
            cell.pace(peer.name, paused=True)
        case Slow(share=share):
            cell.pace(peer.name, share)
        case Clock(ahead_s=ahead_s, drift_ppm=drift_ppm):
            peer.drift = 1e-6 * drift_ppm
            peer.ahead_s = ahead_s - peer.drift * cell.now_s
        case DiskFull():
            peer.disk_full = True


def _heal(cell: "Simulation", peer: "Peer", fault: Fault) -> None:
    match fault:
        case Pause() | Slow():
            cell.pace(peer.name)
        case Clock():
            peer.ahead_s = peer.drift = 0.0
        case DiskFull():
            peer.disk_full = False


def _in_grid(there: _Stage, step: Step, order: Order, number: int) -> None:
    """Let an operator open lines or disturb assets, and undo it."""
    if there.grid is None:
        raise PeercellError(f"{step.title} needs a grid", "the plan was not told which")
    order = structs.replace(
        order,
        branches=branches_of(step.fault, there.grid),
        assets=assets_of(step.fault, there.grid),
    )
    first_id = _COMMANDS + 2 * number
    begin = partial(_ask_grid, there.cell, order, first_id, begins=True)
    there.cell.at(there.origin_s + step.at_s, begin)
    _at_end(there, step, partial(_ask_grid, there.cell, order, first_id + 1, begins=False))


def _ask_grid(cell: "Simulation", order: Order, request_id: int, *, begins: bool) -> None:
    """Let the grid service do what a fault wants, or undo it; what it refuses is no hit."""
    (grid,) = order.peers
    request = grid_request(order, cell.now_s, begins=begins)
    if request is None:
        return
    if begins:
        cell.awaited[request_id] = partial(cell.shim.answered, order)
    cell.command(grid, request_id, request, cell.now_s)


def _at_end(there: _Stage, step: Step, undo: "partial[None]") -> None:
    if step.for_s is not None:
        there.cell.at(there.origin_s + step.end_s, undo)
