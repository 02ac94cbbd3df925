"""Does the compiled cell solve to what pandapower solves the network to? The last guard.

Both programs solve the same operating point; complex voltages may differ by 1e-8 pu at most. Three
phases are compared as their balanced sum: pandapower's own unbalanced power flow is no reference,
it differs from OpenDSS and power-grid-model by 6e-4 pu where those two agree.
"""

import cmath
import math
from collections.abc import Container

from msgspec import structs

from peercell.grid.compile.assets import customers
from peercell.grid.compile.elements import bus_id
from peercell.grid.compile.libraries import Net
from peercell.grid.compile.options import Agreement
from peercell.grid.compile.reference import Point, at_point, reference
from peercell.grid.errors import CollapseError, CompileError
from peercell.grid.feeder import Feeder
from peercell.grid.model import Asset, AssetKind, Cell

DIFFERENCE_PU_MAX = 1e-8


def agreement(cell: Cell, net: Net, profiles: Container[str]) -> Agreement:
    """Return how far our solution of a cell is from pandapower's of its network.

    Raises
    ------
    CompileError : pandapower finds no solution even at a tenth of the power, one program calls a
        bus dead and the other not, or voltages differ by more than `DIFFERENCE_PU_MAX`.
    """
    for point in Point:
        found = _compare(cell, net, profiles, point)
        if found is not None:
            break
    else:
        raise CompileError(
            "the network cannot be checked",
            "pandapower's power flow converges neither at table values nor at a tenth of them",
            "pandapower.diagnostic(net) lists what is wrong with a network",
        )
    if found.difference_pu > DIFFERENCE_PU_MAX:
        raise CompileError(
            "the cell does not solve to what pandapower finds",
            f"bus {found.bus} differs by {found.difference_pu:.2e} pu, with {found.point}: either "
            "the network is none of distribution, for which the fixed-point iteration is made, or "
            "an element of it is converted wrongly",
            "compile its distribution part (pandapower.select_subnet); report the network if it is",
        )
    return found


def _compare(cell: Cell, net: Net, profiles: Container[str], point: Point) -> Agreement | None:
    """Return the largest difference at a point, None where pandapower finds no solution there."""
    exact = _compares_dependence(net)
    solved = reference(net, point, voltage_dependent=exact)
    if solved is None:
        return None
    described = _describe(cell, point, voltage_dependent=exact)
    theirs = _reference_voltages(solved)
    people = customers(at_point(net, point), profiles)
    try:
        ours = _voltages(structs.replace(cell, customers=people), voltage_dependent=exact)
    except CollapseError as error:
        return Agreement(math.inf, error.weakest_bus, described)
    _same_buses(ours, theirs)
    worst = max(theirs, key=lambda bus: abs(ours[bus] - theirs[bus]))
    return Agreement(float(abs(ours[worst] - theirs[worst])), worst, described)


def _voltages(cell: Cell, *, voltage_dependent: bool) -> dict[str, complex]:
    """Return our voltages by bus at nominal powers, three phases as their balanced sum."""
    people = cell.customers
    if not voltage_dependent:
        people = tuple(
            structs.replace(one, assets=tuple(_constant(asset) for asset in one.assets))
            for one in people
        )
    feeder = Feeder(structs.replace(cell, customers=people, phases=1))
    state = feeder.solve(*feeder.nominal)
    return dict(zip(feeder.node_ids, state.voltage.tolist(), strict=True))


def _constant(asset: Asset) -> Asset:
    """Return an asset without voltage dependence; shunts keep theirs."""
    if asset.kind is AssetKind.SHUNT:
        return asset
    return structs.replace(asset, z_p=0.0, i_p=0.0, z_q=0.0, i_q=0.0)


def _reference_voltages(net: Net) -> dict[str, complex]:
    """Return pandapower's voltages by live bus; it marks a dead one by not-a-number."""
    angle = net.res_bus["va_degree"]
    return {
        bus_id(bus): cmath.rect(magnitude, math.radians(angle.at[bus]))
        for bus, magnitude in net.res_bus["vm_pu"].items()
        if math.isfinite(magnitude)
    }


def _same_buses(ours: dict[str, complex], theirs: dict[str, complex]) -> None:
    """Raise CompileError where one program gives a bus a voltage and the other does not."""
    auxiliary = {bus for bus in ours if not bus.isdigit()}
    odd = sorted((ours.keys() - auxiliary) ^ theirs.keys())
    if odd:
        raise CompileError(
            f"bus {odd[0]} has a voltage in {'the cell' if odd[0] in ours else 'pandapower'} only",
            f"{len(odd)} buses differ so",
            "report the network: some element of it is converted wrongly",
        )


def _compares_dependence(net: Net) -> bool:
    """Return whether pandapower treats voltage-dependent loads one by one.

    It applies the mean shares of a bus's loads to all power at the bus, which is exact only where
    all loads have the same shares and nothing else injects power.
    """
    loads = net.load[net.load["in_service"]]
    shares = loads[[f"const_{part}_percent" for part in ("z_p", "i_p", "z_q", "i_q")]]
    others = ("sgen", "storage", "motor", "ward", "asymmetric_load", "asymmetric_sgen")
    return not shares.to_numpy().any() or (
        len(shares.drop_duplicates()) == 1 and not any(len(net[table]) for table in others)
    )


def _describe(cell: Cell, point: Point, *, voltage_dependent: bool) -> str:
    parts = [point.value]
    if cell.phases > 1:
        parts.append("the sum of the three phases")
    if not voltage_dependent:
        parts.append("voltage-dependent loads as constant power, since pandapower averages them")
    return ", ".join(parts)
