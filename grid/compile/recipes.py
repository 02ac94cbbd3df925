"""How each shipped cell is made: `peercell grid compile recipe:NAME -o NAME` makes it again."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from peercell.grid.compile.libraries import Net, pandapower, quiet, records, text
from peercell.grid.compile.options import CompileOptions, parse_span
from peercell.grid.errors import CompileError
from peercell.grid.nearest import unknown


@dataclass(frozen=True)
class Recipe:
    """A source, the options, and what to change in the network; `notes` say what that was."""

    source: str
    options: CompileOptions
    change: Callable[[Net], None] | None = None
    notes: tuple[str, ...] = ()


def recipe(name: str) -> Recipe:
    """Return the recipe of a shipped cell; CompileError when there is none of that name."""
    if name not in RECIPES:
        raise CompileError(f'there is no recipe "{name}"', unknown("recipe", name, RECIPES).why)
    return RECIPES[name]


def _options(
    name: str, title: str, *windows: str, pv_scale: float = 1.0, standard: bool = False
) -> CompileOptions:
    return CompileOptions(
        name=name,
        title=title,
        windows=tuple(parse_span(window) for window in windows),
        pv_scale=pv_scale,
        standard_profiles=standard,
    )


def _make_switchable(net: Net) -> None:
    """Give every line a switch at its from bus; the lines out of service are the open ones."""
    with quiet():
        for index, row in records(net.line):
            pandapower().create_switch(
                net, row["from_bus"], index, et="l", closed=bool(row["in_service"]), index=index
            )
    net.line["in_service"] = True


def _add_pv(net: Net) -> None:
    """Put PV of twice the nominal load at every residential load, and set the voltage band."""
    with quiet():
        for _, row in records(net.load):
            name = text(row["name"])
            if name.startswith("Load R"):
                rating_mva = 2.0 * math.hypot(row["p_mw"], row["q_mvar"])
                pandapower().create_sgen(
                    net, row["bus"], rating_mva, sn_mva=rating_mva, name=f"PV{name[4:]}", type="PV"
                )
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.9, 1.055


def _statutory_band(net: Net) -> None:
    """Set the British band, 230 V + 10 % - 6 %, at the nominal 416 V of the low-voltage buses."""
    low = net.bus["vn_kv"] < 1.0
    nominal_v = 1000.0 * net.bus.loc[low, "vn_kv"] / math.sqrt(3.0)
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.9, 1.1
    net.bus.loc[low, "min_vm_pu"] = 0.94 * 230.0 / nominal_v
    net.bus.loc[low, "max_vm_pu"] = 1.10 * 230.0 / nominal_v


_WINTER = "2016-01-18/2016-01-24"
_MAY = "2016-05-23/2016-05-29"
_CHRISTMAS = "2016-12-19/2016-12-25"

RECIPES: dict[str, Recipe] = {
    "case33": Recipe(
        "pandapower:case33bw",
        _options(
            "case33",
            "Baran and Wu's 33-bus feeder with five ties",
            _MAY,
            "2016-11-28/2016-12-04",
            standard=True,
        ),
        _make_switchable,
        ("every line has a switch; the source's five lines out of service are the open ties",),
    ),
    "cigre-lv3": Recipe(
        "pandapower:create_cigre_network_lv",
        _options("cigre-lv3", "CIGRE low voltage: three microgrids", _MAY, _WINTER, standard=True),
        _add_pv,
        (
            "PV of twice the nominal apparent power stands at every residential load",
            "voltage bands are 0.9 pu (EN 50160) to 1.055 pu (SimBench's study cases)",
        ),
    ),
    "rural1": Recipe(
        "simbench:1-LV-rural1--2-sw",
        _options("rural1", "SimBench rural low voltage 1, 13 customers", _MAY, _WINTER),
    ),
    "semiurb4": Recipe(
        "simbench:1-LV-semiurb4--2-sw",
        _options(
            "semiurb4", "SimBench semi-urban low voltage 4, PV doubled", _MAY, _WINTER, pv_scale=2.0
        ),
    ),
    "rural3": Recipe(
        "simbench:1-LV-rural3--2-sw",
        _options(
            "rural3",
            "SimBench rural low voltage 3, PV tripled",
            "2016-07-18/2016-07-24",
            _WINTER,
            pv_scale=3.0,
        ),
    ),
    "mvlv108": Recipe(
        "simbench:1-MVLV-rural-1.108-2-sw",
        _options(
            "mvlv108",
            "SimBench rural medium voltage with one low-voltage network in detail",
            "2016-05-16/2016-05-22",
            "2016-07-25/2016-07-31",
            _CHRISTMAS,
        ),
    ),
    "eu-lv": Recipe(
        "pandapower:ieee_european_lv_asymmetric",
        _options(
            "eu-lv",
            "IEEE European low voltage, 55 single-phase customers",
            _MAY,
            _CHRISTMAS,
            standard=True,
        ),
        _statutory_band,
        ("low-voltage bands are 216.2 to 253.0 V, the British statutory limits",),
    ),
}
