"""The text of a first config for a cell of the grid: what must be said, and a taste of the rest."""

import json
import os
import re
from datetime import timedelta
from pathlib import Path

import numpy as np

from peercell.broker.cells import LoadedCell, shipped_folder
from peercell.broker.config import Clock
from peercell.broker.configuration.reference import ConfigTable, config_tables
from peercell.grid.admittance import Real
from peercell.grid.errors import CellError
from peercell.grid.model import Timeline
from peercell.grid.profiles import power_at
from peercell.grid.rows import windows_text

# The market opens so long before the time at which most can be traded, and ends so long after.
_BEFORE, _AFTER = timedelta(hours=1), timedelta(hours=3)
# EUR/kWh by which carrying all that a microgrid ever draws makes the last kWh dearer.
_RISE_EUR_PER_KWH = 0.01
# Keys that are shown as comments, with what holds without them.
_SHOWN = {
    "[trading]": ("method", "tolerance"),
    "[wholesale]": ("retail_eur_per_kwh", "feed_in_eur_per_kwh"),
    "[control]": ("method",),
    "[prosumer.ev]": ("flexible_share", "price_eur_per_kwh"),
}
_HEAD = """\
# A cell of peercell. All keys, their units and what they cost: docs/reference/config.md, or
# `peercell config schema` for an editor.

name = {name}
# {title}
grid = {grid}

[clock]
# Local time of the profiles: {spans}.
start = {start}
interval_s = {interval_s}
intervals = {intervals}
# Simulated seconds in a real one: an interval takes {real_s:g} s.
speed = {speed}

[tariff]
# EUR/kWh by which carrying rises with each kWh: it suits the size of this cell.
slope_eur_per_kwh2 = {slope!r}

# Some of what may be left out, as it holds then:
"""


def starter(loaded: LoadedCell, folder: Path) -> str:
    """Return the text of a config for a cell, to be written into a folder.

    Raises
    ------
    CellError : the cell has no profiles, so it can have no market.
    """
    cell = loaded.cell
    if not cell.timeline.steps:
        raise CellError(
            f'cell "{cell.name}" has no profiles',
            "its market needs the power of every interval",
            "peercell grid compile SOURCE -o DIR --standard-profiles",
        )
    net_kw = _net_kw(loaded)
    clock = _clock(cell.timeline, _busiest(net_kw))
    drawn_kwh = -net_kw.min() * clock.interval_s / 3600.0
    head = _HEAD.format(
        name=json.dumps(_name(folder)),
        title=" ".join(cell.title.split()),
        grid=json.dumps(_grid(loaded.folder, folder), ensure_ascii=False),
        spans=windows_text(cell),
        start=clock.start.isoformat(),
        interval_s=clock.interval_s,
        intervals=clock.intervals,
        speed=clock.speed,
        real_s=clock.interval_s / clock.speed,
        slope=float(f"{_RISE_EUR_PER_KWH / max(drawn_kwh, 1.0):.0e}"),
    )
    return head + "".join(_comment(table) for table in config_tables() if table.header in _SHOWN)


def _comment(table: ConfigTable) -> str:
    """Return some keys of a table as they hold by themselves, as comments."""
    shown = _SHOWN[table.header]
    lines = [f"{key.key} = {key.default}" for key in table.keys if key.key in shown]
    return "\n" + "".join(f"# {line}\n" for line in (table.header, *lines))


def _name(folder: Path) -> str:
    """Return what a cell is called whose config lies in a folder."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("_.-")[:64] or "cell"


def _grid(cell: Path, folder: Path) -> str:
    """Return what a config in a folder calls the folder of a cell."""
    if cell.parent == shipped_folder():
        return cell.name
    return f"./{os.path.relpath(cell.resolve(), folder.resolve())}"


def _clock(timeline: Timeline, busiest_row: int) -> Clock:
    """Return some hours around the time at which there is most to trade."""
    busiest = timeline.time(busiest_row)
    step = timedelta(seconds=timeline.step_s)
    window = next(one for one in timeline.windows if 0 <= (busiest - one.start) // step < one.steps)
    end = window.start + window.steps * step
    start = max(window.start, min(busiest - _BEFORE, end - _BEFORE - _AFTER))
    span_s = min(end - start, _BEFORE + _AFTER).total_seconds()
    usual = Clock(start=start)
    longer_s, shorter_s = sorted((usual.interval_s, timeline.step_s), reverse=True)
    fits = longer_s % shorter_s == 0.0 and usual.interval_s <= span_s
    interval_s = usual.interval_s if fits else float(timeline.step_s)
    return Clock(start=start, interval_s=interval_s, intervals=int(span_s // interval_s))


def _net_kw(loaded: LoadedCell) -> Real:
    """Return what each microgrid feeds in by itself, kW, (rows of the profiles, microgrids)."""
    cell = loaded.cell
    p_kw, _ = power_at(cell, loaded.profiles, range(cell.timeline.steps))
    buses = [customer.bus for customer in cell.customers for _ in customer.assets]
    zones = [[bus in zone.buses for bus in buses] for zone in cell.zones.microgrids]
    return p_kw @ np.array(zones, np.float64).T


def _busiest(net_kw: Real) -> int:
    """Return the row in which microgrids can trade most with each other.

    Where they never can, it is that in which they draw most.
    """
    surplus_kw, short_kw = np.maximum(net_kw, 0.0).sum(1), np.maximum(-net_kw, 0.0).sum(1)
    tradable_kw = np.minimum(surplus_kw, short_kw)
    return int(np.argmax(tradable_kw if tradable_kw.any() else short_kw))
