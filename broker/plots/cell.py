"""Pictures of a cell: its feeder coloured by voltage, and a day as curves (extra [plot]).

Colour is voltage (blue low, white 1 pu, red high), width is loading, orange is an overload.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from peercell.broker.plots.style import (
    ALARM,
    FAINT,
    HIGH,
    INK,
    LOW,
    PLAIN,
    Axes,
    house_style,
    library,
    new_figure,
    save,
    write,
)
from peercell.grid.layout import Place, connections, has_coordinates, places
from peercell.grid.model import Cell
from peercell.grid.study import Day, OperatingPoint

_SPAN_PU = 0.1
_NAMED_BUSES_MAX = 40
_WIDTH_PERCENT_MAX = 150.0


def draw_point(cell: Cell, point: OperatingPoint, path: Path) -> None:
    """Write a picture of one operating point; the ending of the path says which kind.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    with house_style():
        figure = new_figure(7.2, 4.8)
        _draw_feeder(figure.add_subplot(), _View(cell, point))
        save(figure, cell.title, path)


def draw_day(cell: Cell, day: Day, worst: OperatingPoint, path: Path) -> None:
    """Write a picture of a day: the feeder at its worst moment beside the curves of the day.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    with house_style():
        figure = new_figure(11.0, 5.4)
        grid = figure.add_gridspec(3, 2, width_ratios=(1.2, 1.0), height_ratios=(1.25, 1.0, 1.0))
        _draw_feeder(figure.add_subplot(grid[:, 0]), _View(cell, worst))
        first = figure.add_subplot(grid[0, 1])
        curves = [first, *(figure.add_subplot(grid[row, 1], sharex=first) for row in (1, 2))]
        _draw_voltage(curves[0], day)
        _draw_loading(curves[1], day)
        _draw_exchange(curves[2], day)
        _finish_curves(curves, day, worst)
        save(figure, cell.title, path)


class _View:
    """A cell at an operating point, with the place of each bus; a bus shows its worst phase."""

    def __init__(self, cell: Cell, point: OperatingPoint) -> None:
        self.cell = cell
        self.title = f"at {point.at:%H:%M on %d %B %Y}" if point.at else "at nominal power"
        self.places = places(cell)
        self.is_map = has_coordinates(cell)
        self.v_pu: dict[str, float] = {}
        self.violated = {violation.element for violation in point.violations}
        if cell.phases > 1:
            self.violated |= {node.rpartition(".")[0] for node in self.violated}
        for node, state in point.buses.items():
            bus = node if cell.phases == 1 else node.rpartition(".")[0]
            if state.v_pu is not None:
                known = self.v_pu.setdefault(bus, state.v_pu)
                if abs(state.v_pu - 1.0) > abs(known - 1.0):
                    self.v_pu[bus] = state.v_pu
        self.loading = {
            name: branch.loading_percent or 0.0 for name, branch in point.branches.items()
        }
        self.limits = (
            max(bus.v_min_pu for bus in cell.buses),
            min(bus.v_max_pu for bus in cell.buses),
        )


def _draw_feeder(axes: Axes, view: _View) -> None:
    """Draw branches, buses and sources, and name what is beyond its limit."""
    axes.set_axis_off()
    axes.set_title(view.title)
    _draw_connections(axes, view)
    _draw_scale(axes, _draw_buses(axes, view), view)
    axes.margins(0.09)
    if view.is_map:
        axes.set_aspect("equal", adjustable="datalim")


def _draw_connections(axes: Axes, view: _View) -> None:
    transformers = {transformer.id for transformer in view.cell.transformers}
    for element, first, second, conducts in connections(view.cell):
        (x1, y1), (x2, y2) = view.places[first], view.places[second]
        loading = view.loading.get(element, 0.0)
        is_over = element in view.violated
        axes.plot(
            (x1, x2),
            (y1, y2),
            color=ALARM if is_over else PLAIN if conducts else FAINT,
            linewidth=1.0 + 3.5 * min(loading, _WIDTH_PERCENT_MAX) / 100.0,
            linestyle="-" if conducts else (0, (2, 2)),
            solid_capstyle="round",
            zorder=1,
        )
        middle = ((x1 + x2) / 2.0, (y1 + y2) / 2.0)
        if element in transformers:
            _draw_transformer(axes, middle, ALARM if is_over else PLAIN)
        if is_over:
            write(axes, f"{element}: {loading:.0f} %", middle, (11.0, -7.0), ALARM)


def _draw_transformer(axes: Axes, place: Place, colour: str) -> None:
    """Draw two rings that overlap, as on any one-line diagram; sizes are points, not map units."""
    marker = library("matplotlib.markers").MarkerStyle
    shift = library("matplotlib.transforms").Affine2D
    for side in (-0.5, 0.5):
        rings = marker("o", transform=shift().translate(0.0, side))
        axes.scatter(*place, s=70, marker=rings, facecolor="white", edgecolor=colour, lw=1.6)


def _draw_buses(axes: Axes, view: _View) -> Any:
    """Draw the buses and return the marks that the colour scale belongs to."""
    live = [bus.id for bus in view.cell.buses if bus.id in view.v_pu]
    served = {customer.bus for customer in view.cell.customers}
    few = len(live) <= _NAMED_BUSES_MAX
    scale = min(1.0, _NAMED_BUSES_MAX / len(live)) ** 0.6
    marks = axes.scatter(
        *zip(*(view.places[bus] for bus in live), strict=True),
        c=[view.v_pu[bus] for bus in live],
        s=[(120 if bus in served else 55) * scale for bus in live],
        cmap="RdBu_r",
        vmin=1.0 - _SPAN_PU,
        vmax=1.0 + _SPAN_PU,
        edgecolor=[INK] * len(live),
        linewidth=[(1.8 if bus in view.violated else 0.7) * scale**0.5 for bus in live],
        zorder=3,
        gid="buses",
    )
    for bus in view.cell.buses:
        if bus.id not in view.v_pu:
            axes.plot(*view.places[bus.id], "x", color=FAINT, markersize=6, zorder=3)
        elif few or bus.id in _extremes(view):
            _name_bus(axes, view, bus.id)
    for source in view.cell.sources:
        axes.plot(*view.places[source.bus], "s", color=INK, markersize=10, zorder=2)
    return marks


def _extremes(view: _View) -> set[str]:
    """Return the buses of the highest and the lowest voltage."""
    return {max(view.v_pu, key=view.v_pu.__getitem__), min(view.v_pu, key=view.v_pu.__getitem__)}


def _name_bus(axes: Axes, view: _View, bus: str) -> None:
    is_over = bus in view.violated
    text = f"{bus}: {view.v_pu[bus]:.3f}" if is_over or bus in _extremes(view) else bus
    write(axes, text, view.places[bus], (7.0, -11.0), INK if is_over else PLAIN)


def _draw_scale(axes: Axes, marks: Any, view: _View) -> None:
    """Draw the colour scale with the limits marked."""
    bar = axes.figure.colorbar(marks, ax=axes, shrink=0.75, aspect=26, pad=0.02)
    bar.ax.set_title("voltage, pu", fontsize=9, fontweight="normal", pad=8)
    bar.outline.set_edgecolor(FAINT)
    plain = {t for t in (0.9, 1.0, 1.1) if min(abs(t - limit) for limit in view.limits) > 0.01}
    ticks = sorted({*plain, *view.limits})
    bar.set_ticks(ticks, labels=[f"{t:g}" if t in plain else f"{t:.4g} limit" for t in ticks])
    for limit in view.limits:
        bar.ax.axhline(limit, color=INK, linewidth=1.6)


def _hours(day: Day) -> list[float]:
    midnight = datetime.combine(day.date, datetime.min.time())
    return [(step.at - midnight) / timedelta(hours=1) for step in day.steps]


def _draw_voltage(axes: Axes, day: Day) -> None:
    hours = _hours(day)
    low = np.array([step.v_min_pu for step in day.steps])
    high = np.array([step.v_max_pu for step in day.steps])
    axes.set_title("voltage of all buses, pu")
    axes.fill_between(hours, low, high, color="#c9d3dc", linewidth=0)
    axes.plot(hours, high, color=HIGH, linewidth=1.3)
    axes.plot(hours, low, color=LOW, linewidth=1.3)
    _shade(axes, hours, high, day.v_max_limit_pu, above=True)
    _shade(axes, hours, low, day.v_min_limit_pu, above=False)


def _draw_loading(axes: Axes, day: Day) -> None:
    hours = _hours(day)
    axes.set_title("highest loading, %")
    for name, colour, values in (
        ("transformer", INK, [step.transformer_percent for step in day.steps]),
        ("line", "#5aa469", [step.line_percent for step in day.steps]),
    ):
        percent = np.array([value for value in values if value is not None])
        if percent.size:
            axes.plot(hours, percent, color=colour, linewidth=1.3, label=name)
            _shade(axes, hours, percent, day.loading_limit_percent, above=True)
    if axes.lines:
        axes.legend(fontsize=8, loc="upper right", framealpha=0.8, edgecolor="none")
    else:
        axes.set_title("loading: no rating is known")


def _shade(axes: Axes, hours: list[float], values: Any, limit: float, *, above: bool) -> None:
    """Draw a limit, and colour what is beyond it."""
    beyond = values > limit if above else values < limit
    axes.axhline(limit, color=ALARM, linewidth=1.0, linestyle=(0, (4, 3)))
    write(axes, f"limit {limit:.4g}", (0.0, limit), (3.0, 3.0), ALARM)
    axes.fill_between(
        hours, values, limit, where=beyond, color=ALARM, alpha=0.35, linewidth=0, interpolate=True
    )


def _draw_exchange(axes: Axes, day: Day) -> None:
    hours = _hours(day)
    kw = np.array([step.source_kw for step in day.steps])
    axes.set_title("power from the grid above, kW (negative: export)")
    axes.axhline(0.0, color=FAINT, linewidth=0.8)
    axes.fill_between(hours, kw, 0.0, where=kw > 0.0, color=LOW, alpha=0.3, linewidth=0)
    axes.fill_between(hours, kw, 0.0, where=kw < 0.0, color=HIGH, alpha=0.3, linewidth=0)
    axes.plot(hours, kw, color=INK, linewidth=1.3)


def _finish_curves(curves: list[Axes], day: Day, worst: OperatingPoint) -> None:
    """Mark the moment of the map, and put the hours below the last axis only."""
    midnight = datetime.combine(day.date, datetime.min.time())
    for axes in curves:
        if worst.at is not None:
            moment = (worst.at - midnight) / timedelta(hours=1)
            axes.axvline(moment, color=INK, linewidth=0.8, linestyle=":")
        axes.margins(y=0.14)
        axes.tick_params(length=0, labelbottom=axes is curves[-1])
    hours = range(0, 25, 4)
    curves[-1].set_xlim(0.0, 24.0)
    curves[-1].set_xticks(hours, labels=[f"{hour:02d}:00" for hour in hours])
