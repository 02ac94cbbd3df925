"""What faults of the grid ask of the grid service, and which branches they open."""

from peercell.agents.errors import PeercellError
from peercell.agents.grid_messages import SwitchingOrder
from peercell.agents.grid_parts import Outage, Switching
from peercell.agents.messages import Message
from peercell.broker.faults.kinds import AnyFault, Islanding, LineOpen, LoadStep, PvTrip
from peercell.broker.faults.orders import Order
from peercell.grid.model import Cell
from peercell.grid.nearest import unknown


def branches_of(fault: AnyFault, cell: Cell) -> tuple[str, ...]:
    """Return the lines and transformers that a fault opens; none for other kinds.

    Raises
    ------
    PeercellError : there is no such line or microgrid, or processes do not know this fault yet.
    """
    match fault:
        case LineOpen(line=line):
            return (_branch(line, cell),)
        case Islanding(microgrid=name):
            return _boundary(name, cell)
        case LoadStep() | PvTrip():
            raise PeercellError(
                f"processes have no {fault.kind} yet", "", "peercell fault add line-open --help"
            )
        case _:
            return ()


def grid_request(order: Order, now_s: float, *, begins: bool) -> Message | None:
    """Return what to ask of a grid service when a fault begins or ends; None for other kinds."""
    if not order.branches:
        return None
    outages = tuple(Outage(branch, out=begins) for branch in order.branches)
    return SwitchingOrder(int(1000.0 * now_s), Switching(outages=outages))


def _branch(name: str, cell: Cell) -> str:
    """Return the id of a branch that is named, or given by its two buses."""
    ends = {
        **{each.id: (each.from_bus, each.to_bus) for each in cell.branches},
        **{each.id: (each.hv_bus, each.lv_bus) for each in cell.transformers},
    }
    if name in ends:
        return name
    for branch, (first, second) in ends.items():
        if name in {f"{first}-{second}", f"{second}-{first}"}:
            return branch
    raise unknown("line", name, ends)


def _boundary(name: str, cell: Cell) -> tuple[str, ...]:
    """Return what connects a microgrid to the rest of the network."""
    zones = {} if cell.zones is None else {each.id: each.buses for each in cell.zones.microgrids}
    if name not in zones:
        raise unknown("microgrid", name, zones)
    inside = set(zones[name])
    ends = [(each.id, each.from_bus, each.to_bus) for each in cell.branches]
    ends += [(each.id, each.hv_bus, each.lv_bus) for each in cell.transformers]
    return tuple(branch for branch, *buses in ends if len(inside & set(buses)) == 1)
