"""Whether a cell contradicts itself (an error), or looks like a slip of the pen (a warning)."""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from peercell.grid.errors import CellError
from peercell.grid.model import Asset, AssetKind, Bus, Cell, Phase, Switch
from peercell.grid.nearest import unknown

# Nothing behind a low-voltage connection draws or feeds a megawatt; a factor 1000 makes one.
LOW_VOLTAGE_KV_MAX = 1.0
LOW_VOLTAGE_POWER_KW_MAX = 1000.0


class Remark(Struct, frozen=True):
    """Something to look at in a cell: which element, and what about it."""

    element: str
    text: str


def check_cell(cell: Cell) -> None:
    """Raise where a cell contradicts itself.

    Raises
    ------
    CellError : an id twice, an impossible switch, tap or phase, a microgrid that shares a bus.
    UnknownElementError : a reference to an element that is not there, with the nearest ids.
    """
    _check_unique(cell)
    _check_references(cell)
    for switch in cell.switches:
        _check_switch(switch)
    _check_phases(cell)
    _check_zones(cell)


def remarks(cell: Cell) -> list[Remark]:
    """Return what is legal but probably not meant, in the order of the cell file."""
    found = [remark for bus in cell.buses for remark in _bus_remarks(bus)]
    kv = {bus.id: bus.kv for bus in cell.buses}
    for customer in cell.customers:
        for asset in customer.assets:
            found += _asset_remarks(asset, kv[customer.bus], profiled=bool(cell.timeline.steps))
    return found


def _bus_remarks(bus: Bus) -> Iterable[Remark]:
    if bus.v_min_pu >= bus.v_max_pu:
        yield Remark(bus.id, f"limits {bus.v_min_pu} to {bus.v_max_pu} pu leave no room")
    if bus.x is None or bus.y is None:
        yield Remark(bus.id, "no coordinates: drawn by a tree layout")


def _asset_remarks(asset: Asset, kv: float, *, profiled: bool) -> Iterable[Remark]:
    largest_kw = max(abs(asset.p_kw), abs(asset.p_base_kw))
    if kv < LOW_VOLTAGE_KV_MAX and largest_kw > LOW_VOLTAGE_POWER_KW_MAX:
        yield Remark(
            asset.id,
            f"{largest_kw:g} kW behind {kv:g} kV: is it {largest_kw / 1000:g} kW? "
            "(a cell file counts in kW, pandapower in MW)",
        )
    if profiled and not asset.p_profile and asset.p_kw and asset.kind is not AssetKind.SHUNT:
        yield Remark(asset.id, f"no profile: constant at {asset.p_kw:g} kW")


def _check_unique(cell: Cell) -> None:
    links = [*(branch.id for branch in cell.branches), *(unit.id for unit in cell.transformers)]
    groups: dict[str, list[str]] = {
        "bus": [bus.id for bus in cell.buses],
        "branch": links,
        "switch": [switch.id for switch in cell.switches],
        "source": [source.id for source in cell.sources],
        "customer": [customer.id for customer in cell.customers],
        "asset": [asset.id for asset in cell.assets],
        "microgrid": [microgrid.id for microgrid in cell.zones.microgrids],
    }
    for kind, names in groups.items():
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise CellError(f'{kind} "{twice[0]}" is there twice in cell "{cell.name}"')


def _check_references(cell: Cell) -> None:
    buses = {bus.id for bus in cell.buses}
    links = {branch.id for branch in cell.branches} | {unit.id for unit in cell.transformers}
    switches = {switch.id for switch in cell.switches}
    named = [
        *(bus for branch in cell.branches for bus in (branch.from_bus, branch.to_bus)),
        *(bus for unit in cell.transformers for bus in (unit.hv_bus, unit.lv_bus)),
        *(unit.changer.bus for unit in cell.transformers if unit.changer),
        *(switch.bus for switch in cell.switches),
        *(switch.other_bus for switch in cell.switches if switch.other_bus),
        *(source.bus for source in cell.sources),
        *(customer.bus for customer in cell.customers),
        *(bus for microgrid in cell.zones.microgrids for bus in microgrid.buses),
    ]
    _check_known("bus", named, buses)
    _check_known("branch", [s.branch for s in cell.switches if s.branch], links)
    _check_known("branch", [point.branch for point in cell.zones.coupling_points], links)
    _check_known("element", [tie.element for tie in cell.zones.ties], links | switches)
    for unit in cell.transformers:
        if unit.tap not in [tap.position for tap in unit.taps]:
            raise CellError(
                f'transformer "{unit.id}" stands at tap {unit.tap}, which its table does not have'
            )


def _check_known(kind: str, names: Sequence[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)


def _check_switch(switch: Switch) -> None:
    if (switch.other_bus is None) == (switch.branch is None):
        raise CellError(
            f'switch "{switch.id}" must join either two buses or a bus and a branch',
            f"other_bus is {switch.other_bus}, branch is {switch.branch}",
        )


def _check_phases(cell: Cell) -> None:
    if cell.phases == 2:
        raise CellError(f'cell "{cell.name}" has 2 phases', "a cell has 1 (balanced) or 3 phases")
    for asset in cell.assets:
        if cell.phases == 1 and asset.phase is not Phase.ABC:
            raise CellError(
                f'asset "{asset.id}" is on phase {asset.phase} of a balanced cell',
                fix="make it a cell of three phases, or connect the asset to abc",
            )


def _check_zones(cell: Cell) -> None:
    microgrids = {microgrid.id for microgrid in cell.zones.microgrids}
    owner: dict[str, str] = {}
    for microgrid in cell.zones.microgrids:
        for bus in microgrid.buses:
            if bus in owner:
                raise CellError(f'bus "{bus}" is in {owner[bus]} and in {microgrid.id}')
            owner[bus] = microgrid.id
    named = [name for tie in cell.zones.ties for name in tie.microgrids]
    for point in cell.zones.coupling_points:
        named += [point.lower, *([point.upper] if point.upper else [])]
    _check_known("microgrid", named, microgrids)
