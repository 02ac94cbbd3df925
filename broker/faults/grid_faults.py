"""What faults of the grid ask of the grid service, and which branches and assets they hit."""

from fnmatch import fnmatchcase

from peercell.agents.grid_messages import DisturbanceOrder, SwitchingOrder
from peercell.agents.grid_parts import Disturbance, Disturbed, Outage, Switching
from peercell.agents.messages import Message
from peercell.broker.faults.kinds import AnyFault, Islanding, LineOpen, LoadStep, PvTrip
from peercell.broker.faults.orders import Order
from peercell.grid.model import AssetKind, Cell
from peercell.grid.nearest import unknown

_LOADS = frozenset({AssetKind.LOAD, AssetKind.EV, AssetKind.HEAT_PUMP})
_GENERATORS = frozenset(
    {AssetKind.PV, AssetKind.WIND, AssetKind.BIOMASS, AssetKind.HYDRO, AssetKind.GENERATOR}
)


def branches_of(fault: AnyFault, cell: Cell) -> tuple[str, ...]:
    """Return the lines and transformers that a fault opens; none for other kinds.

    Raises
    ------
    UnknownElementError : there is no such line or microgrid.
    """
    match fault:
        case LineOpen(line=line):
            return (_branch(line, cell),)
        case Islanding(microgrid=name):
            return _boundary(name, cell)
        case _:
            return ()


def assets_of(fault: AnyFault, cell: Cell) -> tuple[str, ...]:
    """Return the assets that a fault disturbs: loads or generators; none for other kinds.

    Its selector is patterns with commas between them, of names of assets, customers, prosumers such
    as `mg1.c1`, or buses.

    Raises
    ------
    UnknownElementError : a pattern means no load, or no generator.
    """
    match fault:
        case LoadStep(on=on):
            return _assets(on, "load", _LOADS, cell)
        case PvTrip(on=on):
            return _assets(on, "generator", _GENERATORS, cell)
        case _:
            return ()


def grid_request(order: Order, now_s: float, *, begins: bool) -> Message | None:
    """Return what to ask of a grid service when a fault begins or ends; None for other kinds."""
    seq = int(1000.0 * now_s)
    if order.assets:
        disturbed = tuple(_disturbed(order.fault, each) for each in order.assets) if begins else ()
        return DisturbanceOrder(seq, Disturbance(order.id, disturbed))
    if not order.branches:
        return None
    outages = tuple(Outage(branch, out=begins) for branch in order.branches)
    return SwitchingOrder(seq, Switching(outages=outages))


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


def _assets(on: str, what: str, kinds: frozenset[AssetKind], cell: Cell) -> tuple[str, ...]:
    """Return the assets of some kinds that a selector means, in the order of the cell."""
    microgrid_of = {bus: each.id for each in cell.zones.microgrids for bus in each.buses}
    names = {
        asset.id: (
            asset.id,
            customer.id,
            f"{microgrid_of.get(customer.bus, '')}.{customer.id}",
            customer.bus,
        )
        for customer in cell.customers
        for asset in customer.assets
        if asset.kind in kinds
    }
    found: set[str] = set()
    for pattern in (part.strip() for part in on.split(",")):
        meant = {
            asset for asset, those in names.items() if any(fnmatchcase(n, pattern) for n in those)
        }
        if not meant:
            raise unknown(what, pattern, names)
        found |= meant
    return tuple(asset for asset in names if asset in found)


def _disturbed(fault: AnyFault, asset: str) -> Disturbed:
    """Return what befalls an asset; a load that takes in more injects less."""
    if isinstance(fault, LoadStep):
        return Disturbed(asset, by_kw=-fault.by_kw)
    return Disturbed(asset, tripped=True)
