"""What happens to a network before it is read: refusals, PV scale, frozen generators."""

from peercell.grid.compile.assets import plant_kind
from peercell.grid.compile.libraries import Net, Table, number, pandas, records
from peercell.grid.compile.options import CompileOptions
from peercell.grid.compile.reference import Point, reference
from peercell.grid.errors import CompileError
from peercell.grid.model import AssetKind

_KNOWN = {
    "bus", "line", "trafo", "trafo3w", "impedance", "switch", "ext_grid", "gen", "load", "sgen",
    "storage", "shunt", "ward", "motor", "asymmetric_load", "asymmetric_sgen", "controller",
}  # fmt: skip
_UNBALANCED = ("asymmetric_load", "asymmetric_sgen")
_SHOWN = 8


def phases(net: Net) -> int:
    """Return 3 when the network has unbalanced entries in service, else 1."""
    return 3 if any(net[table]["in_service"].any() for table in _UNBALANCED) else 1


def prepare(net: Net, options: CompileOptions) -> list[str]:
    """Change a network as the options ask, and return what to say about it in the provenance.

    Raises
    ------
    CompileError : an element that a cell cannot hold, or voltage-holding generators that the
        options do not freeze.
    """
    _refuse_unknown(net)
    notes = []
    if options.pv_scale != 1.0:
        notes.append(_scale_pv(net, options.pv_scale))
    holding = [index for index, row in records(net.gen) if row["in_service"] and not row["slack"]]
    if holding and not options.generators_as_injections:
        raise CompileError(
            f"{_listed('gen', holding)} hold their voltage",
            "a cell has sources and injections of P and Q, but no generators of constant voltage",
            "--generators-as-injections freezes each at the Q of pandapower's power flow",
        )
    if holding:
        notes.append(_freeze(net, holding))
    return notes


def _refuse_unknown(net: Net) -> None:
    frame = pandas().DataFrame
    for name, table in net.items():
        is_element = isinstance(table, frame) and {"in_service", "bus"} & set(table.columns)
        if name in _KNOWN or name.startswith(("_", "res_")) or not is_element:
            continue
        _refuse(name, table)
    if phases(net) > 1:
        for name in ("trafo3w", "impedance"):
            _refuse(name, net[name], "in a network with unbalanced loads")
        for name in ("load", *_UNBALANCED):
            _refuse_delta(name, net[name])


def _refuse(name: str, table: Table, where: str = "") -> None:
    used = [index for index, row in records(table) if row.get("in_service", True)]
    if used:
        raise CompileError(
            f"{_listed(name, used)} cannot be compiled {where}".rstrip(),
            f"a cell has no element for pandapower's {name}",
            f"replace it by loads and static generators, or set net.{name}.in_service = False",
        )


def _refuse_delta(name: str, table: Table) -> None:
    delta = [index for index, row in records(table) if row["in_service"] and row["type"] == "delta"]
    if delta:
        raise CompileError(
            f"{_listed(name, delta)} is connected between phases",
            "a cell's unbalanced powers are between a phase and neutral",
            f'split it over the phases, and set net.{name}.type = "wye"',
        )


def _listed(name: str, indices: list[int]) -> str:
    shown = ", ".join(str(index) for index in indices[:_SHOWN])
    return f"{name} {shown}" + (f" and {len(indices) - _SHOWN} more" * (len(indices) > _SHOWN))


def _scale_pv(net: Net, scale: float) -> str:
    """Scale the power and rating of PV plants; those with a battery are rows of net.storage."""
    is_pv = [plant_kind(row) is AssetKind.PV for _, row in records(net.sgen)]
    for column in ("p_mw", "q_mvar", "sn_mva"):
        net.sgen.loc[is_pv, column] *= scale
    return f"{sum(is_pv)} PV plants without battery are scaled by {scale:g}"


def _freeze(net: Net, holding: list[int]) -> str:
    """Turn generators into static ones at the P and Q of pandapower's power flow."""
    result = reference(net, Point.TABLE)
    if result is None:
        raise CompileError(
            f"{_listed('gen', holding)} cannot be frozen",
            "pandapower's power flow does not converge, so their Q is unknown",
        )
    rows = [(index, row) for index, row in records(net.gen) if index in holding]
    first = int(max(net.sgen.index, default=-1)) + 1
    frozen = pandas().DataFrame(
        {
            "name": [row["name"] for _, row in rows],
            "bus": [row["bus"] for _, row in rows],
            "p_mw": [row["p_mw"] * number(row["scaling"], 1.0) for _, row in rows],
            "q_mvar": [float(result.res_gen.at[index, "q_mvar"]) for index, _ in rows],
            "scaling": 1.0,
            "in_service": True,
            "type": "generator",
            "peercell_id": [f"gen-{index}" for index, _ in rows],
        },
        index=range(first, first + len(rows)),
    )
    net.sgen = pandas().concat([net.sgen, frozen]) if len(net.sgen) else frozen
    net.gen.loc[holding, "in_service"] = False
    return f"{_listed('gen', holding)} held the voltage in the source; here they inject a fixed Q"
