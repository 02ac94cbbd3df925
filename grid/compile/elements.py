"""Which buses, branches, transformers, switches and sources a pandapower network has.

Ids are the table's short name and pandapower's index: bus "17", "line-3", "trafo-0", "t3w-0-mv",
"imp-2", "switch-5", "grid-0". An out-of-service bus is left out with all that hangs on it; a line
in service that ends at one keeps its charging, as in pandapower, by ending at a bus of its own.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, structs

from peercell.grid.compile.libraries import Net, number, records, text, tidy
from peercell.grid.compile.matrices import Matrices, TapTable
from peercell.grid.compile.zero_sequence import line_zero, transformer_zero
from peercell.grid.errors import CompileError
from peercell.grid.model import (
    Branch,
    BranchKind,
    Bus,
    Source,
    Switch,
    TapChanger,
    Transformer,
)

Row = dict[str, Any]

# Ratings at or above these stand for "unknown" in published cases: 99999 kA, 9999 MVA.
_RATING_KA_UNKNOWN = 90.0
_RATING_MVA_UNKNOWN = 9000.0

# SimBench plans its low- and medium-voltage networks for this band (its study cases), while its
# low-voltage bus table holds the wider band of EN 50160.
_SIMBENCH_BAND_PU = (0.965, 1.055)
_SIMBENCH_BAND_KV_MAX = 60.0

# An on-load changer must not step back at once, so its dead band is wider than one step.
_DEAD_BAND_STEPS = 4.0 / 3.0


class Elements(Struct, frozen=True):
    """The wires of a cell, and what a compiler should tell about them."""

    buses: tuple[Bus, ...]
    branches: tuple[Branch, ...]
    transformers: tuple[Transformer, ...]
    switches: tuple[Switch, ...]
    sources: tuple[Source, ...]
    notes: tuple[str, ...]


def bus_id(index: Any) -> str:
    """Return the id of the bus with a pandapower index."""
    return str(int(index))


def is_simbench(net: Net) -> bool:
    """Return whether a network is one of SimBench's, by a column that only it has."""
    return "voltLvl" in net.bus


def elements(net: Net, phases: int) -> Elements:
    """Return the wires of a network.

    Raises
    ------
    CompileError : a parameter that the model cannot hold, or a switch at no end of its element.
    """
    return _Elements(net, phases).build()


class _Elements:
    """One pass over the tables of a network; the steps are in the order of `build`."""

    def __init__(self, net: Net, phases: int) -> None:
        self.net = net
        self.phases = phases
        self.matrices = Matrices(net)
        self.live = {index for index, row in records(net.bus) if row["in_service"]}
        self.kv = {index: tidy(row["vn_kv"]) for index, row in records(net.bus)}
        self.ends: dict[str, tuple[str, ...]] = {}
        self.extra: list[Bus] = []
        self.notes: list[str] = []

    def build(self) -> Elements:
        buses = tuple(self._buses())
        branches = (*self._lines(), *self._impedances(), *self._closing_impedances())
        transformers = (*self._transformers(), *self._windings())
        self.ends |= {branch.id: (branch.from_bus, branch.to_bus) for branch in branches}
        self.ends |= {unit.id: (unit.hv_bus, unit.lv_bus) for unit in transformers}
        return Elements(
            buses=(*buses, *self.extra),
            branches=branches,
            transformers=transformers,
            switches=tuple(self._switches()),
            sources=tuple(self._sources()),
            notes=tuple(self.notes),
        )

    def _buses(self) -> Iterator[Bus]:
        planned = is_simbench(self.net)
        for index, row in records(self.net.bus):
            if index not in self.live:
                continue
            low, high = _limits(row, is_simbench=planned)
            x, y = _point(row.get("geo"))
            yield Bus(
                id=bus_id(index),
                kv=self.kv[index],
                name=_name(row, bus_id(index)),
                v_min_pu=low,
                v_max_pu=high,
                x=x,
                y=y,
            )

    def _lines(self) -> Iterator[Branch]:
        for (index, row), section in zip(records(self.net.line), self.matrices.lines, strict=True):
            ends = [int(row["from_bus"]), int(row["to_bus"])]
            name = f"line-{index}"
            alive = [end in self.live for end in ends]
            if not all(alive) and not (any(alive) and row["in_service"]):
                continue
            first, last = (
                bus_id(end)
                if end in self.live
                else self._auxiliary(f"{name}-end", end, f"open end of {name}")
                for end in ends
            )
            branch = Branch(
                id=name,
                from_bus=first,
                to_bus=last,
                r_ohm=section.r_ohm,
                x_ohm=section.x_ohm,
                g_siemens=section.g_siemens,
                b_siemens=section.b_siemens,
                name=_name(row, name),
                length_km=tidy(row["length_km"]),
                rating_a=_rating_a(row),
                in_service=bool(row["in_service"]),
            )
            zero = line_zero(name, row, self.net.f_hz) if self.phases > 1 else {}
            yield structs.replace(branch, **zero)

    def _auxiliary(self, name: str, like: int, title: str) -> str:
        """Return the id of a new bus with the nominal voltage and place of another one."""
        x, y = _point(self.net.bus.loc[like].get("geo"))
        self.extra.append(Bus(id=name, kv=self.kv[like], name=title, x=x, y=y))
        return name

    def _impedances(self) -> Iterator[Branch]:
        for (index, row), section in zip(
            records(self.net.impedance), self.matrices.impedances, strict=True
        ):
            if not self._all_live(row, "from_bus", "to_bus"):
                continue
            yield Branch(
                id=f"imp-{index}",
                from_bus=bus_id(row["from_bus"]),
                to_bus=bus_id(row["to_bus"]),
                r_ohm=section.r_ohm,
                x_ohm=section.x_ohm,
                g_siemens=section.g_siemens,
                b_siemens=section.b_siemens,
                kind=BranchKind.IMPEDANCE,
                name=_name(row, f"imp-{index}"),
                in_service=bool(row["in_service"]),
            )

    def _closing_impedances(self) -> Iterator[Branch]:
        """Yield the branch of every bus-to-bus switch that has an impedance when closed."""
        for index, row in records(self.net.switch):
            section = self.matrices.switches.get(index)
            if section is None or not self._all_live(row, "bus", "element"):
                continue
            yield Branch(
                id=f"switch-{index}",
                from_bus=bus_id(row["bus"]),
                to_bus=bus_id(row["element"]),
                r_ohm=section.r_ohm,
                x_ohm=section.x_ohm,
                r0_ohm=section.r_ohm if self.phases > 1 else None,
                x0_ohm=section.x_ohm if self.phases > 1 else None,
                kind=BranchKind.SWITCH,
                name=_name(row, f"switch-{index}"),
            )

    def _transformers(self) -> Iterator[Transformer]:
        tables = self.matrices.transformers
        for (index, row), table in zip(records(self.net.trafo), tables, strict=True):
            if not self._all_live(row, "hv_bus", "lv_bus"):
                continue
            name = f"trafo-{index}"
            many = number(row.get("df"), 1.0) * number(row.get("parallel"), 1.0)
            unit = self._transformer(
                name,
                (bus_id(row["hv_bus"]), bus_id(row["lv_bus"])),
                (row["vn_hv_kv"], row["vn_lv_kv"], row["sn_mva"] * many),
                row,
                table,
            )
            zero = transformer_zero(name, row) if self.phases > 1 else {}
            yield structs.replace(unit, changer=_changer(row), **zero)

    def _windings(self) -> Iterator[Transformer]:
        """Yield three two-winding transformers around a star bus for each of three windings."""
        count = len(self.net.trafo3w)
        for place, (index, row) in enumerate(records(self.net.trafo3w)):
            hv = int(row["hv_bus"])
            star = self._auxiliary(f"t3w-{index}-star", hv, f"star point of t3w-{index}")
            for winding, side in enumerate(("hv", "mv", "lv")):
                bus = int(row[f"{side}_bus"])
                if bus not in self.live:
                    continue
                ends = (bus_id(bus), star) if side == "hv" else (star, bus_id(bus))
                yield self._transformer(
                    f"t3w-{index}-{side}",
                    ends,
                    (row["vn_hv_kv"], row[f"vn_{side}_kv"], row[f"sn_{side}_mva"]),
                    row,
                    self.matrices.windings[winding * count + place],
                )

    def _transformer(
        self,
        name: str,
        ends: tuple[str, str],
        rated: tuple[float, float, float],
        row: Row,
        table: TapTable,
    ) -> Transformer:
        """Return a transformer; `rated` is (high kV, low kV, MVA)."""
        if table.unused_position is not None:
            self.notes.append(
                f"{name} stands at its neutral tap {table.position}, as pandapower calculates; the "
                f"data say {table.unused_position}, which pandapower ignores because the type of "
                "the tap changer is not given"
            )
        hv_kv, lv_kv, mva = (number(value) for value in rated)
        known = 0.0 < mva < _RATING_MVA_UNKNOWN
        return Transformer(
            id=name,
            hv_bus=ends[0],
            lv_bus=ends[1],
            taps=table.taps,
            tap=table.position,
            rated_hv_kv=tidy(hv_kv),
            rated_lv_kv=tidy(lv_kv),
            name=_name(row, name),
            rating_kva=tidy(1000.0 * mva) if known else None,
            in_service=bool(row["in_service"]),
        )

    def _switches(self) -> Iterator[Switch]:
        for index, row in records(self.net.switch):
            name = f"switch-{index}"
            bus, element = int(row["bus"]), int(row["element"])
            if bus not in self.live:
                continue
            switch = Switch(
                id=name, bus=bus_id(bus), name=_name(row, name), closed=bool(row["closed"])
            )
            if row["et"] == "b":
                if name in self.ends:
                    yield structs.replace(switch, branch=name)
                elif element in self.live:
                    yield structs.replace(switch, other_bus=bus_id(element))
                continue
            branch = self._switched(row["et"], element, bus)
            if branch in self.ends:
                self._check_end(name, switch.bus, branch)
                yield structs.replace(switch, branch=branch)

    def _switched(self, kind: str, element: int, bus: int) -> str:
        """Return the id of the branch or transformer that a switch is at."""
        if kind == "l":
            return f"line-{element}"
        if kind == "t":
            return f"trafo-{element}"
        row = self.net.trafo3w.loc[element]
        sides = [side for side in ("hv", "mv", "lv") if int(row[f"{side}_bus"]) == bus]
        return f"t3w-{element}-{sides[0] if sides else 'hv'}"

    def _check_end(self, name: str, bus: str, branch: str) -> None:
        if bus not in self.ends[branch]:
            raise CompileError(
                f"{name} is at bus {bus}, which is no end of {branch}",
                f"{branch} runs from {' to '.join(self.ends[branch])}",
                "correct `bus` or `element` in net.switch",
            )

    def _sources(self) -> Iterator[Source]:
        for table, prefix in (("ext_grid", "grid"), ("gen", "slack")):
            for index, row in records(self.net[table]):
                holds = row["in_service"] and row.get("slack", True)
                if not holds or int(row["bus"]) not in self.live:
                    continue
                yield Source(
                    id=f"{prefix}-{index}",
                    bus=bus_id(row["bus"]),
                    v_pu=tidy(row["vm_pu"]),
                    angle_deg=tidy(number(row.get("va_degree"))),
                    name=_name(row, f"{prefix}-{index}"),
                )

    def _all_live(self, row: Row, *columns: str) -> bool:
        return all(int(row[column]) in self.live for column in columns)


def _name(row: Row, name: str) -> str:
    """Return the name of a row, empty when it only repeats the id."""
    given = text(row.get("name"))
    return "" if given in (name, name.rpartition("-")[2]) else given


def _limits(row: Row, *, is_simbench: bool) -> tuple[float, float]:
    """Return the voltage band of a bus in pu."""
    low, high = number(row.get("min_vm_pu"), 0.9), number(row.get("max_vm_pu"), 1.1)
    if is_simbench and row["vn_kv"] < _SIMBENCH_BAND_KV_MAX:
        low, high = max(low, _SIMBENCH_BAND_PU[0]), min(high, _SIMBENCH_BAND_PU[1])
    # Cases for optimal power flow fix a slack bus by an empty band, or leave one wide open.
    return (tidy(low), tidy(high)) if 0.0 <= low < high <= 2.0 else (0.9, 1.1)


def _point(geo: Any) -> tuple[float | None, float | None]:
    """Return x and y of a GeoJSON point, None where there is none."""
    try:
        x, y = (tidy(value) for value in json.loads(text(geo))["coordinates"][:2])
    except (ValueError, KeyError, TypeError):
        return None, None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else (None, None)


def _rating_a(row: Row) -> float | None:
    limit_ka = number(row.get("max_i_ka"))
    if not 0.0 < limit_ka < _RATING_KA_UNKNOWN:
        return None
    many = number(row.get("df"), 1.0) * number(row.get("parallel"), 1.0)
    return tidy(1000.0 * limit_ka * many)


def _changer(row: Row) -> TapChanger | None:
    """Return the automatic tap changer that SimBench describes in `autoTap`, or None."""
    side = text(row.get("autoTapSide"))
    if number(row.get("autoTap")) != 1.0 or side not in ("hv", "lv"):
        return None
    step_pu = abs(number(row.get("tap_step_percent"))) / 100.0
    return TapChanger(
        bus=bus_id(row[f"{side}_bus"]),
        v_set_pu=tidy(number(row.get("autoTapSetp"), 1.0)),
        dead_band_pu=tidy(_DEAD_BAND_STEPS * step_pu),
    )
