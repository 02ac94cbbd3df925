"""Write the cells and cases of voltage control: run it from the root.

    python -m tests.reference.control.make

The cells are SimBench networks of the scenario "tomorrow" with the two days that matter. Over
voltage is the quarter hour of the SimBench year with the highest voltage, PV scaled up and storage
left out; under voltage is that with the lowest one, loads scaled up and the sun gone: inverters
that give Q alone, and two fifths of every load flexible.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from tests.reference.control.levels import levels_case, save_levels

from peercell.broker.cells import LoadedCell, load_cell, save_cell
from peercell.broker.solving.control_cases import save_case
from peercell.grid.compile import compile_network
from peercell.grid.compile.options import CompileOptions, parse_span
from peercell.grid.control_case import CONSUMERS, CaseFile, ControlLimits, LoadingLimit
from peercell.grid.control_device import DeviceEntry, DeviceKind
from peercell.grid.model import Asset, AssetKind, Cell
from peercell.grid.profiles import power_at
from peercell.grid.rows import row_at

HERE = Path(__file__).parent
TAN_PHI = math.tan(math.acos(0.95))
# An inverter without sun gives as much Q as one at full power with power factor 0.95.
STATCOM_SHARE = round(math.sin(math.acos(0.95)), 4)
FLEXIBLE_SHARE = 0.4
CASE33_PV_BUSES = ("17", "21", "24", "32", "13", "29", "10", "27", "7", "15")


def compile_cells() -> None:
    """Write the cells that the package does not ship, with the days of their cases."""
    for name, code, days in (
        ("rural1", "1-LV-rural1--2-sw", ("2016-10-07/2016-10-07",)),
        ("rural2", "1-LV-rural2--2-sw", ("2016-01-01/2016-01-01", "2016-05-26/2016-05-26")),
        ("rural3", "1-LV-rural3--2-sw", ("2016-02-17/2016-02-17", "2016-05-27/2016-05-27")),
    ):
        options = CompileOptions(name=name, windows=tuple(parse_span(day) for day in days))
        made = compile_network(f"simbench:{code}", options, lambda path: Path(path).read_bytes())
        save_cell(made.cell, made.profiles, HERE / "cells" / name)


def is_plant(asset: Asset) -> bool:
    """Return whether an asset is PV without a battery."""
    return asset.kind is AssetKind.PV and not asset.id.startswith("pv-bat")


def powers_kw(loaded: LoadedCell, at: datetime | None) -> dict[str, float]:
    """Return P of every asset at a time, or nominally."""
    assets = loaded.cell.assets
    if at is None:
        return {asset.id: asset.p_kw for asset in assets}
    p_kw, _ = power_at(loaded.cell, loaded.profiles, [row_at(loaded.cell, at)])
    return dict(zip((asset.id for asset in assets), p_kw[0].tolist(), strict=True))


def bus_of(cell: Cell) -> dict[str, str]:
    """Return the bus of every asset."""
    return {asset.id: customer.bus for customer in cell.customers for asset in customer.assets}


def pv(loaded: LoadedCell, at: datetime, scale: float) -> Iterable[DeviceEntry]:
    """Yield the plants of a cell at a time, P and rating scaled, power factor 0.95 or better."""
    power, bus = powers_kw(loaded, at), bus_of(loaded.cell)
    for asset in filter(is_plant, loaded.cell.assets):
        yield DeviceEntry(
            id=asset.id,
            bus=bus[asset.id],
            planned_kw=round(scale * power[asset.id], 6),
            rating_kva=round(scale * (asset.rating_kva or asset.p_kw), 6),
            tan_max=round(TAN_PHI, 9),
        )


def flexible(loaded: LoadedCell, at: datetime | None, scale: float) -> Iterable[DeviceEntry]:
    """Yield the loads of each bus as one device that may shed two fifths."""
    power, drawn = powers_kw(loaded, at), dict[str, float]()
    for customer in loaded.cell.customers:
        for asset in customer.assets:
            if asset.kind in CONSUMERS and power[asset.id] < 0.0:
                before = drawn.get(customer.bus, 0.0)
                drawn[customer.bus] = before + scale * power[asset.id]
    for bus, kw in drawn.items():
        # Rounded towards nothing: a flexible load is never more than what its bus draws.
        planned = math.ceil(kw * 1e6) / 1e6
        yield DeviceEntry(
            id=f"flex-{bus}",
            bus=bus,
            kind=DeviceKind.FLEXIBLE,
            planned_kw=planned,
            p_kw_max=round((1.0 - FLEXIBLE_SHARE) * planned, 6),
        )


def statcoms(ratings_kva: Iterable[tuple[str, str, float]]) -> Iterable[DeviceEntry]:
    """Yield inverters without sun from (id, bus, rating)."""
    for name, bus, rating in ratings_kva:
        yield DeviceEntry(
            id=name,
            bus=bus,
            kind=DeviceKind.INVERTER,
            rating_kva=round(rating, 6),
            q_kvar_max=round(STATCOM_SHARE * rating, 6),
        )


def storage(loaded: LoadedCell) -> Iterable[DeviceEntry]:
    """Yield the batteries of a cell, idle and half full."""
    bus = bus_of(loaded.cell)
    for asset in loaded.cell.assets:
        if asset.kind is AssetKind.BATTERY and asset.rating_kva:
            yield DeviceEntry(
                id=asset.id,
                bus=bus[asset.id],
                kind=DeviceKind.STORAGE,
                p_kw_min=-asset.rating_kva,
                p_kw_max=asset.rating_kva,
                q_kvar_max=0.0,
            )


def over_voltage() -> Iterable[tuple[str, CaseFile]]:
    """Yield the cases of too much sun."""
    for name, cell, at, scale in (
        ("rural1", "rural1", "2016-05-28T12:00", 3.0),
        ("rural2", "cells/rural2", "2016-05-26T14:00", 7.0),
        ("rural3", "cells/rural3", "2016-05-27T12:00", 8.0),
        ("semiurb4", "semiurb4", "2016-05-28T11:45", 2.0),
    ):
        moment, loaded = datetime.fromisoformat(at), open_cell(cell)
        factor = 2.0 * scale if name == "semiurb4" else scale
        yield (
            f"{name}-ov",
            CaseFile(
                cell=cell,
                title=f"{name}: PV x{factor:g} at {moment:%H:%M on %d %B %Y}",
                at=moment,
                devices=tuple(pv(loaded, moment, scale)),
            ),
        )
    yield "cigre-lv-ov", cigre_over_voltage()
    yield "case33-ov", case33_over_voltage()


def cigre_over_voltage() -> CaseFile:
    """Return CIGRE's low-voltage network at a fifth of its load, with PV of 1.6 times that load."""
    loaded = open_cell("cigre-lv3")
    bus, kva = bus_of(loaded.cell), dict[str, float]()
    for asset in loaded.cell.assets:
        if asset.kind in CONSUMERS:
            kva[asset.id] = 1.6 * math.hypot(asset.p_kw, asset.q_kvar)
    devices = tuple(
        DeviceEntry(
            id=f"pv-{bus[name]}",
            bus=bus[name],
            planned_kw=round(0.95 * rating, 6),
            rating_kva=round(rating, 6),
            tan_max=round(TAN_PHI, 9),
        )
        for name, rating in kva.items()
    )
    title = "CIGRE low voltage: a fifth of the load, PV of 1.6 times its kVA"
    return CaseFile(cell="cigre-lv3", title=title, load_scale=0.2, devices=devices)


def case33_over_voltage() -> CaseFile:
    """Return the 33-bus feeder at 30 % of its load, with ten plants of 500 kW."""
    devices = tuple(
        DeviceEntry(id=f"pv-{bus}", bus=bus, planned_kw=500.0, tan_max=round(TAN_PHI, 9))
        for bus in CASE33_PV_BUSES
    )
    title = "33-bus feeder: 30 % of the load, ten plants of 500 kW"
    return CaseFile(cell="case33", title=title, load_scale=0.3, devices=devices)


def under_voltage() -> Iterable[tuple[str, CaseFile]]:
    """Yield the cases of too much load, without sun."""
    for name, cell, at, scale in (
        ("rural1", "cells/rural1", "2016-10-07T20:15", 4.0),
        ("rural2", "cells/rural2", "2016-01-01T17:45", 3.0),
        ("rural3", "cells/rural3", "2016-02-17T09:30", 2.2),
        ("semiurb4", "semiurb4", "2016-01-21T13:45", 4.0),
    ):
        moment, loaded = datetime.fromisoformat(at), open_cell(cell)
        bus, factor = bus_of(loaded.cell), 2.0 if name == "semiurb4" else 1.0
        plants = [
            (asset.id, bus[asset.id], (asset.rating_kva or asset.p_kw) / factor)
            for asset in filter(is_plant, loaded.cell.assets)
        ]
        yield (
            f"{name}-uv",
            CaseFile(
                cell=cell,
                title=f"{name}: load x{scale:g} at {moment:%H:%M on %d %B %Y}, no sun",
                at=moment,
                load_scale=scale,
                devices=(
                    *statcoms(plants),
                    *storage(loaded),
                    *flexible(loaded, moment, scale),
                ),
            ),
        )
    for percent in (70, 80, 90):
        yield f"cigre-lv-uv{percent}", cigre_under_voltage(percent / 100.0)
    yield "case33-uv", case33_under_voltage()


def cigre_under_voltage(scale: float) -> CaseFile:
    """Return CIGRE's low-voltage network at a share of its load, inverters of 1.6 times its kVA."""
    loaded = open_cell("cigre-lv3")
    bus = bus_of(loaded.cell)
    ratings = [
        (f"inv-{bus[asset.id]}", bus[asset.id], 1.6 * math.hypot(asset.p_kw, asset.q_kvar))
        for asset in loaded.cell.assets
        if asset.kind in CONSUMERS
    ]
    return CaseFile(
        cell="cigre-lv3",
        title=f"CIGRE low voltage: {scale:.0%} of the load, no sun",
        load_scale=scale,
        devices=(*statcoms(ratings), *flexible(loaded, None, scale)),
    )


def case33_under_voltage() -> CaseFile:
    """Return the 33-bus feeder at its full load, with ten inverters of 300 kVA."""
    ratings = [(f"inv-{bus}", bus, 300.0) for bus in CASE33_PV_BUSES]
    return CaseFile(
        cell="case33",
        title="33-bus feeder: all of the load, ten inverters of 300 kVA",
        devices=(*statcoms(ratings), *flexible(open_cell("case33"), None, 1.0)),
    )


def congestion() -> CaseFile:
    """Return rural1 as it is at noon on 28 May 2016: its PV loads the transformer to 204 %."""
    loaded, moment = open_cell("rural1"), datetime(2016, 5, 28, 12)
    power, bus = powers_kw(loaded, moment), bus_of(loaded.cell)
    devices = tuple(
        DeviceEntry(
            id=asset.id,
            bus=bus[asset.id],
            planned_kw=round(power[asset.id], 6),
            rating_kva=asset.rating_kva,
            tan_max=round(TAN_PHI, 9),
        )
        for asset in loaded.cell.assets
        if asset.kind is AssetKind.PV
    )
    return CaseFile(
        cell="rural1",
        title="rural1: all its PV at 12:00 on 28 May 2016, through 160 kVA",
        at=moment,
        devices=devices,
        loadings=(LoadingLimit(branch="trafo-0"),),
    )


def line_congestion() -> CaseFile:
    """Return rural1 at that time as if its transformer were large: two of its lines are too thin.

    There is twice the PV, voltages may go to 1.10 pu, and batteries stand half full.
    """
    loaded, moment = open_cell("rural1"), datetime(2016, 5, 28, 12)
    power, bus = powers_kw(loaded, moment), bus_of(loaded.cell)
    plants = (
        DeviceEntry(
            id=asset.id,
            bus=bus[asset.id],
            planned_kw=round(2.0 * power[asset.id], 6),
            rating_kva=round(2.0 * (asset.rating_kva or asset.p_kw), 6),
            tan_max=round(TAN_PHI, 9),
        )
        for asset in loaded.cell.assets
        if asset.kind is AssetKind.PV
    )
    return CaseFile(
        cell="rural1",
        title="rural1: PV x2 at 12:00 on 28 May 2016, through lines of 187 kVA",
        at=moment,
        devices=(*plants, *storage(loaded)),
        limits=ControlLimits(v_max_pu=1.1),
        loadings=tuple(LoadingLimit(branch=line) for line in ("line-2", "line-7")),
    )


def cases() -> Iterable[tuple[str, CaseFile]]:
    """Yield every case with the name of its file."""
    yield from over_voltage()
    yield from under_voltage()
    yield "rural1-congestion", congestion()
    yield "rural1-lines", line_congestion()
    yield "levels-ov", levels_case(round(TAN_PHI, 9))


def open_cell(name: str) -> LoadedCell:
    """Return a shipped cell, or one that lies beside the cases."""
    return load_cell(str(HERE / name) if "/" in name else name)


def main() -> None:
    """Write the cells, then the cases."""
    compile_cells()
    for name, case in cases():
        if name == "levels-ov":
            save_levels()
        save_case(case, HERE / f"{name}.json")


if __name__ == "__main__":
    main()
