"""Which of SimBench's load and PV profiles a network without profiles gets, by a fixed rule.

1. Kind of a load: the letter of a CIGRE name ("Load R11": residential, "I2": industrial, "C14":
   commercial); otherwise by nominal power, residential below 100 kW, industrial from 200 kW.
2. The k-th load of a kind, in table order, takes the k-th profile of its list, cyclically.
3. The k-th PV plant takes PV1, PV2, … PV8, cyclically, unscaled: 1 is its rating.
4. Load profiles are scaled by one factor, so that the largest total load of the year is the sum of
   the nominal powers; Q follows P, at the nominal power factor.
"""

import re
from collections import Counter
from enum import StrEnum

import numpy as np

from peercell.grid.compile.assets import plant_kind
from peercell.grid.compile.libraries import Net, Table, number, pandas, records, text, tidy
from peercell.grid.compile.profile_tables import simbench_table
from peercell.grid.model import AssetKind


class LoadKind(StrEnum):
    """Kind of customer behind a load."""

    RESIDENTIAL = "residential"
    COMMERCIAL = "commercial"
    INDUSTRIAL = "industrial"


# SimBench's names: H0 households; G0, G1, G4 shops and offices; G3 works around the clock.
LOAD_PROFILES = {
    LoadKind.RESIDENTIAL: ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L"),
    LoadKind.COMMERCIAL: ("G1-A", "G4-A", "G0-A", "G4-B", "G1-B"),
    LoadKind.INDUSTRIAL: ("G3-A", "G0-M", "G3-M"),
}
PV_PROFILES = tuple(f"PV{number}" for number in range(1, 9))

_CIGRE_NAME = re.compile(r"\bLoad ([RIC])\d+$")
_CIGRE_KINDS = dict(zip("RCI", LoadKind, strict=True))
_COMMERCIAL_KW_MIN = 100.0
_INDUSTRIAL_KW_MIN = 200.0
_LOAD_TABLES = {"load": ("p_mw",), "asymmetric_load": ("p_a_mw", "p_b_mw", "p_c_mw")}


def load_kind_of(name: str, p_kw: float) -> LoadKind:
    """Return the kind of a load by its name, else by its nominal consumption in kW."""
    cigre = _CIGRE_NAME.search(name)
    if cigre:
        return _CIGRE_KINDS[cigre.group(1)]
    if p_kw < _COMMERCIAL_KW_MIN:
        return LoadKind.RESIDENTIAL
    return LoadKind.COMMERCIAL if p_kw < _INDUSTRIAL_KW_MIN else LoadKind.INDUSTRIAL


def assign_standard_profiles(net: Net) -> tuple[dict[str, Table], str]:
    """Name a profile in every load and PV plant of a network.

    Returns
    -------
    The profile tables in SimBench's form, and a sentence for the provenance.
    """
    count: Counter[LoadKind] = Counter()
    nominal_kw: Counter[str] = Counter()
    for table, columns in _LOAD_TABLES.items():
        profiles: list[str] = []
        for _, row in records(net[table]):
            p_kw = 1000.0 * sum(row[column] for column in columns) * number(row["scaling"], 1.0)
            kind = load_kind_of(text(row["name"]), p_kw)
            profile = LOAD_PROFILES[kind][count[kind] % len(LOAD_PROFILES[kind])]
            count[kind] += 1
            nominal_kw[profile] += p_kw * bool(row["in_service"])
            profiles.append(profile)
        net[table]["profile"] = profiles
    _assign_pv(net)
    load, factor = _scaled_loads(nominal_kw)
    listed = ", ".join(f"{count[kind]} {kind}" for kind in LoadKind if count[kind])
    note = (
        "the source has no profiles; loads and PV have SimBench's, assigned by the rule in "
        f"grid/compile/standard.py: {listed}; loads are scaled by {factor:.4f}, so that the "
        "largest total load of the year is the sum of the nominal powers"
    )
    return {"load": load, "renewables": simbench_table("RESProfile")}, note


def _assign_pv(net: Net) -> None:
    profiles: list[str] = []
    for _, row in records(net.sgen):
        is_pv = plant_kind(row) is AssetKind.PV
        done = sum(profile != "" for profile in profiles)
        profiles.append(PV_PROFILES[done % len(PV_PROFILES)] if is_pv else "")
    net.sgen["profile"] = profiles


def _scaled_loads(nominal_kw: Counter[str]) -> tuple[Table, float]:
    """Return the load table with P of each profile, and the factor that scales them all."""
    raw = simbench_table("LoadProfile")
    shapes = {name: raw[f"{name}_pload"].to_numpy(np.float64) for name in sorted(nominal_kw)}
    peak_kw = float(np.max(sum(nominal_kw[name] * shape for name, shape in shapes.items())))
    factor = tidy(nominal_kw.total() / peak_kw) if peak_kw > 0.0 else 1.0
    scaled = {f"{name}_pload": factor * shape for name, shape in shapes.items()}
    return pandas().DataFrame({"time": raw["time"], **scaled}), factor
