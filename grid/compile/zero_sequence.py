"""How zero-sequence current flows in lines and transformers; asked in cells of three phases only.

Source: the parameters and units of pandapower's tables for unbalanced power flow.
"""

import math
from typing import Any

from peercell.grid.compile.libraries import number, text, tidy
from peercell.grid.errors import CompileError
from peercell.grid.model import WindingGroup

_GROUPS = {"dyn": WindingGroup.DYN, "yzn": WindingGroup.DYN, "ynyn": WindingGroup.YNYN}


def line_zero(name: str, row: dict[str, Any], f_hz: float) -> dict[str, float]:
    """Return `r0_ohm`, `x0_ohm`, `b0_siemens` of a line.

    Raises
    ------
    CompileError : the table does not give them.
    """
    values = [number(row.get(f"{part}_per_km"), math.nan) for part in ("r0_ohm", "x0_ohm")]
    if not all(math.isfinite(value) for value in values):
        raise CompileError(
            f"{name} has no zero-sequence impedance",
            "the network has unbalanced loads, so every line needs r0_ohm_per_km, x0_ohm_per_km",
            "pandapower.add_zero_impedance_parameters(net), or set the columns of net.line",
        )
    length_km, parallel = row["length_km"], number(row.get("parallel"), 1.0)
    charging = 2.0 * math.pi * f_hz * number(row.get("c0_nf_per_km")) * 1e-9
    return {
        "r0_ohm": tidy(values[0] * length_km / parallel),
        "x0_ohm": tidy(values[1] * length_km / parallel),
        "b0_siemens": tidy(charging * length_km * parallel),
    }


def transformer_zero(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return `group`, `r0_ohm`, `x0_ohm` of a transformer, in ohms at the low-voltage side.

    Without zero-sequence columns the short-circuit impedance stands in, as usual for Dyn units.

    Raises
    ------
    CompileError : a winding group of which the zero sequence is not modelled.
    """
    group = text(row.get("vector_group")).lower().rstrip("0123456789") or "dyn"
    if group not in _GROUPS:
        raise CompileError(
            f"{name} has the winding group {row['vector_group']}",
            f"unbalanced cells know {', '.join(sorted(_GROUPS))}",
        )
    base_ohm = row["vn_lv_kv"] ** 2 / (row["sn_mva"] * number(row.get("parallel"), 1.0))
    z = number(row.get("vk0_percent"), row["vk_percent"]) / 100.0
    r = number(row.get("vkr0_percent"), row["vkr_percent"]) / 100.0
    return {
        "group": _GROUPS[group],
        "r0_ohm": tidy(r * base_ohm),
        "x0_ohm": tidy(math.sqrt(z**2 - r**2) * base_ohm),
    }
