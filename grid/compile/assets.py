"""What stands at the buses: every power of a pandapower network as an asset of a customer.

Ids are a short name for the kind and pandapower's index: "load-4", "ev-3", "hp-5", "pv-2",
"wind-0", "bio-1", "hydro-0", "sgen-6", "bat-1", "shunt-0", "ward-2", "motor-0"; the unbalanced
tables have "aload-3", "asgen-1", with the phase behind where an entry uses several. A column
`peercell_id` in a table overrides them.
"""

import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any

from peercell.grid.compile.elements import bus_id
from peercell.grid.compile.libraries import Net, number, records, text, tidy
from peercell.grid.compile.profile_tables import BATTERY, STORAGE, storage_plant
from peercell.grid.model import Asset, AssetKind, Customer, Phase

Row = dict[str, Any]
Placed = Iterator[tuple[int, Asset]]

# SimBench's names: charging points at home (HLS) and at work (APLS), heat pumps by their source.
_LOAD_KINDS = (
    (re.compile(r"^(HLS|APLS)_"), AssetKind.EV),
    (re.compile(r"^(Air|Soil)_"), AssetKind.HEAT_PUMP),
)
# By the type that SimBench and pandapower give to a static generator, or else by its name.
_PLANT_KINDS = (
    (re.compile(r"\bpv|solar|lv_res|_pv\b", re.I), AssetKind.PV),
    (re.compile(r"\bwind|\bwp\b|\bwka\b|\bwp\d", re.I), AssetKind.WIND),
    (re.compile(r"biomass|\bbm\d", re.I), AssetKind.BIOMASS),
    (re.compile(r"hydro", re.I), AssetKind.HYDRO),
)
_SHORT = {
    AssetKind.LOAD: "load",
    AssetKind.EV: "ev",
    AssetKind.HEAT_PUMP: "hp",
    AssetKind.PV: "pv",
    AssetKind.WIND: "wind",
    AssetKind.BIOMASS: "bio",
    AssetKind.HYDRO: "hydro",
    AssetKind.GENERATOR: "sgen",
}
_PHASES = {"a": Phase.A, "b": Phase.B, "c": Phase.C}


@dataclass(frozen=True)
class _Side:
    """How a table of unbalanced powers reads: id prefix, kind, and the sign of an injection."""

    prefix: str
    kind: AssetKind
    sign: float


_UNBALANCED = {
    "asymmetric_load": _Side("aload", AssetKind.LOAD, -1.0),
    "asymmetric_sgen": _Side("asgen", AssetKind.GENERATOR, 1.0),
}


def customers(net: Net, profiles: Container[str]) -> tuple[Customer, ...]:
    """Return one customer a bus that has assets, in the order of the buses.

    Parameters
    ----------
    net : the network; what is out of service, or at an out-of-service bus, is left out.
    profiles : names of the profiles that there are; an asset refers to no other.
    """
    at: dict[int, list[Asset]] = {index: [] for index, row in records(net.bus) if row["in_service"]}
    for table, convert in _TABLES.items():
        for index, row in records(net[table]):
            if row["in_service"] and int(row["bus"]) in at:
                at[int(row["bus"])].extend(convert(index, row, profiles))
    for table, side in _UNBALANCED.items():
        for index, row in records(net[table]):
            if row["in_service"] and int(row["bus"]) in at:
                at[int(row["bus"])].extend(_by_phase(index, row, side, profiles))
    kv = dict(zip(net.bus.index.tolist(), net.bus["vn_kv"].tolist(), strict=True))
    for index, row in records(net.shunt):
        if row["in_service"] and int(row["bus"]) in at:
            at[int(row["bus"])].append(_shunt(index, row, kv[int(row["bus"])]))
    return tuple(
        Customer(id=f"c{bus}", bus=bus_id(bus), assets=tuple(assets))
        for bus, assets in at.items()
        if assets
    )


def plant_kind(row: Row) -> AssetKind:
    """Return what a static generator is, by its type, profile or name."""
    for column in ("type", "profile", "name"):
        for pattern, kind in _PLANT_KINDS:
            if pattern.search(text(row.get(column))):
                return kind
    return AssetKind.GENERATOR


def load_kind(row: Row) -> AssetKind:
    """Return what a load is, by its profile."""
    for pattern, kind in _LOAD_KINDS:
        if pattern.match(text(row.get("profile"))):
            return kind
    return AssetKind.LOAD


def _id(row: Row, default: str) -> str:
    return text(row.get("peercell_id")) or default


def _kilo(row: Row, column: str, sign: float) -> float:
    """Return a power of a row in kW or kvar as an injection."""
    return tidy(sign * 1000.0 * number(row[column]) * number(row.get("scaling"), 1.0))


def _rating(row: Row, p_kw: float, q_kvar: float) -> float | None:
    """Return the stated rating in kVA, else the nominal apparent power."""
    stated = 1000.0 * number(row.get("sn_mva"))
    value = stated if stated > 0.0 else abs(complex(p_kw, q_kvar))
    return tidy(value) or None


def _share(row: Row, column: str) -> float:
    return tidy(number(row.get(column)) / 100.0)


def _known(name: str, profiles: Container[str]) -> str:
    return name if name in profiles else ""


def _q_profile(profile: str, profiles: Container[str]) -> str:
    """Return the Q profile of a load: its own, else that of P at constant power factor."""
    return _known(f"{profile}_qload", profiles) or _known(f"{profile}_pload", profiles)


def _load(index: int, row: Row, profiles: Container[str]) -> Iterator[Asset]:
    kind = load_kind(row)
    p_kw, q_kvar = _kilo(row, "p_mw", -1.0), _kilo(row, "q_mvar", -1.0)
    profile = text(row.get("profile"))
    yield Asset(
        id=_id(row, f"{_SHORT[kind]}-{index}"),
        kind=kind,
        p_kw=p_kw,
        q_kvar=q_kvar,
        name=text(row.get("name")),
        p_profile=_known(f"{profile}_pload", profiles),
        q_profile=_q_profile(profile, profiles),
        rating_kva=None if kind is AssetKind.LOAD else _rating(row, p_kw, q_kvar),
        z_p=_share(row, "const_z_p_percent"),
        i_p=_share(row, "const_i_p_percent"),
        z_q=_share(row, "const_z_q_percent"),
        i_q=_share(row, "const_i_q_percent"),
    )


def _plant(index: int, row: Row, profiles: Container[str]) -> Iterator[Asset]:
    kind = plant_kind(row)
    p_kw, q_kvar = _kilo(row, "p_mw", 1.0), _kilo(row, "q_mvar", 1.0)
    yield Asset(
        id=_id(row, f"{_SHORT[kind]}-{index}"),
        kind=kind,
        p_kw=p_kw,
        q_kvar=q_kvar,
        name=text(row.get("name")),
        p_profile=_known(text(row.get("profile")), profiles),
        rating_kva=_rating(row, p_kw, q_kvar),
    )


def _storage(index: int, row: Row, profiles: Container[str]) -> Iterator[Asset]:
    """Yield a battery; with SimBench's profile first the plant that it stores for.

    SimBench records such a row as one operated whole: PV to the grid beside the battery. Plant and
    battery add up to it in every step, and at nominal values.
    """
    p_kw, q_kvar = _kilo(row, "p_mw", -1.0), _kilo(row, "q_mvar", -1.0)
    rating = _rating(row, p_kw, q_kvar)
    profile = text(row.get("profile"))
    battery = Asset(
        id=_id(row, f"bat-{index}"),
        kind=AssetKind.BATTERY,
        p_kw=p_kw,
        q_kvar=q_kvar,
        name=text(row.get("name")),
        p_profile=_known(profile + STORAGE, profiles),
        rating_kva=rating,
        energy_kwh=tidy(1000.0 * number(row.get("max_e_mwh"))) or None,
    )
    if profile + BATTERY not in profiles:
        yield battery
        return
    plant = storage_plant(profile)
    kind = plant_kind({"profile": plant, "type": "lv_RES" if plant == profile else ""})
    yield Asset(
        id=f"{_SHORT[kind]}-{battery.id}",
        kind=kind,
        p_kw=p_kw,
        q_kvar=q_kvar,
        name=f"{battery.name} {kind}".strip(),
        p_profile=plant,
        rating_kva=rating,
    )
    yield Asset(
        id=battery.id,
        kind=AssetKind.BATTERY,
        p_kw=0.0,
        name=battery.name,
        p_profile=profile + BATTERY,
        p_profile_kw=p_kw,
        rating_kva=rating,
        energy_kwh=battery.energy_kwh,
    )


def _motor(index: int, row: Row, _: Container[str]) -> Iterator[Asset]:
    """Yield the electrical power of a motor, from its mechanical one as pandapower does."""
    share = number(row["loading_percent"]) / 100.0 * number(row["scaling"], 1.0)
    p_kw = 1000.0 * row["pn_mech_mw"] / (row["efficiency_percent"] / 100.0) * share
    q_kvar = ((p_kw / row["cos_phi"]) ** 2 - p_kw**2) ** 0.5
    yield Asset(
        id=_id(row, f"motor-{index}"),
        kind=AssetKind.LOAD,
        p_kw=tidy(-p_kw),
        q_kvar=tidy(-q_kvar),
        name=text(row.get("name")),
    )


def _ward(index: int, row: Row, _: Container[str]) -> Iterator[Asset]:
    """Yield the constant power and the constant impedance of a ward equivalent."""
    name = _id(row, f"ward-{index}")
    yield Asset(
        id=name,
        kind=AssetKind.LOAD,
        p_kw=_kilo(row, "ps_mw", -1.0),
        q_kvar=_kilo(row, "qs_mvar", -1.0),
        name=text(row.get("name")),
    )
    yield Asset(
        id=f"{name}-z",
        kind=AssetKind.SHUNT,
        p_kw=_kilo(row, "pz_mw", -1.0),
        q_kvar=_kilo(row, "qz_mvar", -1.0),
        z_p=1.0,
        z_q=1.0,
    )


def _shunt(index: int, row: Row, kv: float) -> Asset:
    """Return a shunt; its stated power holds at its own rated voltage, ours at the bus's."""
    factor = number(row.get("step"), 1.0) * (kv / number(row.get("vn_kv"), kv)) ** 2
    return Asset(
        id=_id(row, f"shunt-{index}"),
        kind=AssetKind.SHUNT,
        p_kw=tidy(-1000.0 * row["p_mw"] * factor),
        q_kvar=tidy(-1000.0 * row["q_mvar"] * factor),
        name=text(row.get("name")),
        z_p=1.0,
        z_q=1.0,
    )


def _by_phase(index: int, row: Row, side: _Side, profiles: Container[str]) -> Iterator[Asset]:
    """Yield one asset for each phase in which an unbalanced entry has power."""
    powers = {
        letter: (_kilo(row, f"p_{letter}_mw", side.sign), _kilo(row, f"q_{letter}_mvar", side.sign))
        for letter in _PHASES
    }
    used = {letter: power for letter, power in powers.items() if power != (0.0, 0.0)}
    name, profile = _id(row, f"{side.prefix}-{index}"), text(row.get("profile"))
    is_load = side.kind is AssetKind.LOAD
    kind = side.kind if is_load else plant_kind(row)
    for letter, (p_kw, q_kvar) in used.items():
        yield Asset(
            id=name if len(used) == 1 else f"{name}-{letter}",
            kind=kind,
            p_kw=p_kw,
            q_kvar=q_kvar,
            name=text(row.get("name")),
            phase=_PHASES[letter],
            p_profile=_known(f"{profile}_pload" if is_load else profile, profiles),
            q_profile=_q_profile(profile, profiles) if is_load else "",
            rating_kva=None if is_load else _rating(row, p_kw, q_kvar),
        )


_TABLES: dict[str, Callable[[int, Row, Container[str]], Iterator[Asset]]] = {
    "load": _load,
    "sgen": _plant,
    "storage": _storage,
    "motor": _motor,
    "ward": _ward,
}
