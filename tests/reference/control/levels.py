"""The case with two levels: a medium-voltage feeder, and three villages below it."""

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from peercell.broker.cells import load_cell, save_cell
from peercell.broker.solving.control_cases import cell_of, read_case
from peercell.grid.control_case import CONSUMERS, CaseFile, control_case
from peercell.grid.control_device import DeviceEntry
from peercell.grid.model import Branch, Bus, Cell, Customer, Switch, Timeline, Transformer, Zones

HERE = Path(__file__).parent
CELL = "cells/levels"
SLACK_PU, MV_KV, MV_LOAD, PLANT_KW = 1.015, 12.66, 0.3, 800.0
PLANTS = ("13", "21", "24")
# Case of a village, where it hangs, and how many times its devices there are.
VILLAGES = (("semiurb4-ov", "17", 0.75), ("rural1-ov", "32", 0.5), ("rural2-ov", "24", 4.0 / 7.0))


class Village:
    """A low-voltage network with the loads of a case, as it hangs below a bus."""

    def __init__(self, name: str, below: str, scale: float) -> None:
        path = HERE / f"{name}.json"
        file = read_case(path)
        loaded = cell_of(file, path)
        self._prefix = f"{name.removesuffix('-ov')}."
        self._cell = control_case(file, loaded.cell, loaded.profiles).cell
        source = self._cell.sources[0].bus
        self._bus: Mapping[str, str] = {
            bus.id: below if bus.id == source else self._prefix + bus.id for bus in self._cell.buses
        }
        self.devices = tuple(
            replace(
                entry,
                id=self._prefix + entry.id,
                bus=self._bus[entry.bus],
                planned_kw=round(scale * entry.planned_kw, 6),
                rating_kva=round(scale * (entry.rating_kva or entry.planned_kw), 6),
            )
            for entry in file.devices
        )

    def buses(self) -> list[Bus]:
        """Return its buses but the one that it hangs below."""
        named = (replace(bus, id=self._bus[bus.id]) for bus in self._cell.buses)
        return [bus for bus in named if bus.id.startswith(self._prefix)]

    def branches(self) -> list[Branch]:
        """Return its lines."""
        return [
            replace(
                line,
                id=self._prefix + line.id,
                from_bus=self._bus[line.from_bus],
                to_bus=self._bus[line.to_bus],
            )
            for line in self._cell.branches
        ]

    def transformers(self) -> list[Transformer]:
        """Return its transformer, wound for the voltage above."""
        return [
            replace(
                unit,
                id=self._prefix + unit.id,
                hv_bus=self._bus[unit.hv_bus],
                lv_bus=self._bus[unit.lv_bus],
                rated_hv_kv=MV_KV,
            )
            for unit in self._cell.transformers
        ]

    def switches(self) -> list[Switch]:
        """Return its switches."""
        return [
            replace(
                switch,
                id=self._prefix + switch.id,
                bus=self._bus[switch.bus],
                branch=None if switch.branch is None else self._prefix + switch.branch,
            )
            for switch in self._cell.switches
        ]

    def customers(self) -> list[Customer]:
        """Return what draws power there."""
        return [
            replace(
                customer,
                id=self._prefix + customer.id,
                bus=self._bus[customer.bus],
                assets=tuple(replace(a, id=self._prefix + a.id) for a in customer.assets),
            )
            for customer in self._cell.customers
            if any(asset.kind in CONSUMERS for asset in customer.assets)
        ]


def levels_case(tan_max: float) -> CaseFile:
    """Return the case; all of its plants have this power factor."""
    plants = tuple(
        DeviceEntry(id=f"pv-{bus}", bus=bus, planned_kw=PLANT_KW, tan_max=tan_max) for bus in PLANTS
    )
    villages = [Village(*village) for village in VILLAGES]
    return CaseFile(
        cell=CELL,
        title="33-bus feeder at 30 % of its load with three plants, and three villages below it",
        slack_pu=SLACK_PU,
        devices=(*plants, *(device for village in villages for device in village.devices)),
        by_level=True,
    )


def save_levels() -> None:
    """Write the cell of the case."""
    villages = [Village(*village) for village in VILLAGES]
    feeder = load_cell("case33").cell
    above = tuple(
        replace(
            customer,
            assets=tuple(
                replace(
                    a, p_kw=MV_LOAD * a.p_kw, q_kvar=MV_LOAD * a.q_kvar, p_profile="", q_profile=""
                )
                for a in customer.assets
            ),
        )
        for customer in feeder.customers
    )
    cell: Cell = replace(
        feeder,
        name="levels",
        title="33-bus feeder with three SimBench networks below it",
        buses=(*feeder.buses, *(bus for each in villages for bus in each.buses())),
        branches=(*feeder.branches, *(line for each in villages for line in each.branches())),
        transformers=tuple(unit for each in villages for unit in each.transformers()),
        switches=(*feeder.switches, *(switch for each in villages for switch in each.switches())),
        customers=(*above, *(customer for each in villages for customer in each.customers())),
        zones=Zones(),
        timeline=Timeline(),
    )
    save_cell(cell, {}, HERE / CELL)
