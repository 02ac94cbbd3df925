"""Pictures of voltage control: the feeder before and after, ticks to the limits, a day's energy."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from peercell.broker.plots.style import (
    ALARM,
    FAINT,
    HIGH,
    INK,
    LOW,
    Axes,
    house_style,
    new_figure,
    save,
    write,
)
from peercell.grid.admittance import Real
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.layout import connections, distances

Powers = tuple[Real, Real]

_COLOURS = ("#2166ac", "#5aa469", "#e0a030", "#8c6bb1", "#b2182b", "#4d5b68")
# The second lies on the first where peers do as well as the optimum.
_DASHES = ("-", (0, (2, 2)), "-", "-", "-", "-")


class TicksTaken(Struct, frozen=True):
    """How long cases took under one condition: name of the case, then ticks; and the goal."""

    condition: str
    ticks: Mapping[str, int]
    goal: int


class DayCurves(Struct, frozen=True):
    """Curtailed kW over the hours of a day, a list for each way of keeping the limits."""

    title: str
    hours: Sequence[float]
    curtailed_kw: Mapping[str, Sequence[float]]


def draw_profile(feeder: ControlledFeeder, before: Powers, after: Powers, path: Path) -> None:
    """Write the voltages along a feeder before and after control.

    Parameters
    ----------
    feeder : the controlled network.
    before, after : P in kW and Q in kvar of its devices.
    path : its ending says which kind of picture.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    CollapseError : the network cannot carry these powers.
    """
    with house_style():
        figure = new_figure(7.6, 4.2)
        axes = figure.add_subplot()
        found, unit = distances(feeder.case.cell)
        for powers, colour, name in ((before, HIGH, "before"), (after, LOW, "after")):
            _draw_feeder(axes, feeder, powers, (colour, name))
        for limit in np.unique([feeder.low_pu, feeder.high_pu]).tolist():
            axes.axhline(limit, color=ALARM, linewidth=1.0, linestyle=(0, (4, 3)))
            write(axes, f"limit {limit:.4g}", (max(found.values()), limit), (-46.0, 3.0), ALARM)
        axes.set_xlabel(f"distance from the source, {unit}")
        axes.set_title("voltage, pu; dots are what counts, rings are devices")
        axes.legend(loc="upper left", framealpha=0.8, edgecolor="none")
        save(figure, feeder.case.title, path)


def _draw_feeder(
    axes: Axes, feeder: ControlledFeeder, powers: Powers, look: tuple[str, str]
) -> None:
    """Draw every branch from voltage to voltage, and mark what is monitored and what acts."""
    colour, name = look
    cell = feeder.case.cell
    state = feeder.solve(*powers).state
    v_pu = dict(zip(feeder.feeder.node_ids, np.abs(state.voltage).tolist(), strict=True))
    place, _ = distances(cell)
    for _, first, second, conducts in connections(cell):
        if conducts and first in v_pu and second in v_pu:
            ends = (place[first], place[second]), (v_pu[first], v_pu[second])
            axes.plot(*ends, color=colour, linewidth=1.1, alpha=0.7, zorder=2)
    monitored = feeder.case.monitored
    dots = [place[bus] for bus in monitored], [v_pu[bus] for bus in monitored]
    axes.plot(*dots, "o", color=colour, markersize=3.0, zorder=3, label=name)
    buses = [device.bus for device in feeder.case.devices]
    rings = [place[bus] for bus in buses], [v_pu[bus] for bus in buses]
    axes.plot(*rings, "o", color=colour, markersize=7.0, fillstyle="none", zorder=3)


def draw_ticks(
    highest_pu: Mapping[str, Sequence[float]],
    limit_pu: float,
    conditions: Sequence[TicksTaken],
    path: Path,
) -> None:
    """Write how voltages come down tick by tick, and how long that takes under each condition.

    Parameters
    ----------
    highest_pu : highest voltage of each case in each tick.
    limit_pu : which they are to keep.
    conditions : ticks of each case, and the goal.
    path : its ending says which kind of picture.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    with house_style():
        figure = new_figure(11.0, 4.6)
        left, right = figure.subplots(1, 2)
        for colour, (name, values) in zip(_COLOURS, highest_pu.items(), strict=False):
            left.plot(range(1, len(values) + 1), values, color=colour, linewidth=1.2, label=name)
        left.axhline(limit_pu, color=ALARM, linewidth=1.0, linestyle=(0, (4, 3)))
        left.set_title("highest voltage, pu, with 30 % of the messages lost")
        left.set_xlabel("tick")
        left.legend(framealpha=0.8, edgecolor="none")
        _draw_bars(right, conditions)
        save(figure, "From a broken limit to a kept one", path)


def _draw_bars(axes: Axes, conditions: Sequence[TicksTaken]) -> None:
    """Draw a group of bars for each case, a bar for each condition, and the goals as dashes."""
    names = list(dict.fromkeys(name for taken in conditions for name in taken.ticks))
    height = 0.8 / len(conditions)
    for number, (colour, taken) in enumerate(zip(_COLOURS, conditions, strict=False)):
        rows = [
            names.index(name) + (number - len(conditions) / 2 + 0.5) * height
            for name in taken.ticks
        ]
        label = f"{taken.condition} (goal {taken.goal})"
        axes.barh(rows, list(taken.ticks.values()), height * 0.9, color=colour, label=label)
        axes.axvline(taken.goal, color=colour, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.set_yticks(range(len(names)), labels=names)
    axes.invert_yaxis()
    axes.set_title("ticks until all limits hold for good")
    axes.tick_params(length=0)
    axes.legend(edgecolor="none", loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=2)


def draw_energy(days: Sequence[DayCurves], path: Path) -> None:
    """Write what each way of keeping the limits curtails over a day, one cell beside the other.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    with house_style():
        columns = 2 if len(days) > 1 else 1
        figure = new_figure(5.2 * columns, 2.9 * ((len(days) + 1) // columns))
        panels = figure.subplots(-(-len(days) // columns), columns, squeeze=False).ravel()
        for axes, day in zip(panels, days, strict=False):
            _draw_day(axes, day)
        for axes in panels[len(days) :]:
            axes.set_axis_off()
        save(figure, "Sun that nobody gets on the worst day", path)


def _draw_day(axes: Axes, day: DayCurves) -> None:
    step_h = day.hours[1] - day.hours[0]
    for colour, dashes, (name, values) in zip(
        _COLOURS, _DASHES, day.curtailed_kw.items(), strict=False
    ):
        label = f"{name}: {sum(values) * step_h:,.0f} kWh"
        axes.step(
            day.hours, values, where="post", label=label, color=colour, linewidth=1.6, ls=dashes
        )
    axes.axhline(0.0, color=FAINT, linewidth=0.8)
    axes.set_title(f"{day.title}: curtailed, kW")
    axes.set_xlim(0.0, 24.0)
    axes.set_xticks(range(0, 25, 4), labels=[f"{hour:02d}:00" for hour in range(0, 25, 4)])
    axes.tick_params(length=0, labelcolor=INK)
    axes.legend(framealpha=0.8, edgecolor="none", fontsize=8)
