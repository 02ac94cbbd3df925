"""Pictures of curves with bands: what sweeps and runs have come to."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peercell.broker.outcomes.bands import Band, Columns, Curve
from peercell.broker.plots.style import Axes, house_style, library, new_figure, save

# From this ratio on what is small cannot be seen beside what is large.
_LOG_RATIO = 100.0
# Below this ratio there is only rounding.
_NOISE_RATIO = 1e-13
# With fewer points each gets a mark.
_MARKED_MAX = 30
_UNITS = {
    "eur_per_kwh": "EUR/kWh", "eur": "EUR", "kwh": "kWh", "kw": "kW", "pu": "pu", "percent": "%",
    "s": "s",
}  # fmt: skip
_UNIT = re.compile(rf"(.+?)_({'|'.join(_UNITS)})((?:_min|_max|_p\d+)?)")


def draw_curves(
    curves: Sequence[Curve], columns: Columns, band: Band, title: str, path: Path
) -> None:
    """Write a picture of curves with their bands; the ending of the path says which kind.

    The axis of y is logarithmic where its values differ much and none of them is negative.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    with house_style():
        figure = new_figure(6.4, 4.2)
        axes = figure.add_subplot()
        colours = library("matplotlib").colormaps["viridis"](np.linspace(0.0, 0.85, len(curves)))
        for curve, colour in zip(curves, colours, strict=True):
            _draw(axes, curve, colour)
        if (lowest := _lowest(curves)) is not None:
            # What has come to 0 leaves the picture at its lower edge.
            axes.set_yscale("log", nonpositive="clip")
            axes.set_ylim(bottom=lowest)
        axes.set_xlabel(_label(columns.x))
        axes.set_title(f"{_label(columns.y)}: median and {band}")
        if columns.by:
            axes.legend(title=columns.by, framealpha=0.8, edgecolor="none")
        save(figure, title, path)


def _draw(axes: Axes, curve: Curve, colour: Any) -> None:
    mark = "o" if len(curve.x) <= _MARKED_MAX else ""
    axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(
        curve.x, curve.middle, color=colour, linewidth=1.4, marker=mark, ms=3.0, label=curve.label
    )


def _lowest(curves: Sequence[Curve]) -> float | None:
    """Return the lowest value to show on a logarithmic axis; None for a linear one."""
    values = [value for curve in curves for value in (*curve.low, *curve.middle, *curve.high)]
    positive = [value for value in values if value > 0.0]
    if not positive or min(values) < 0.0 or max(positive) < _LOG_RATIO * min(positive):
        return None
    return max(min(positive), _NOISE_RATIO * max(positive))


def _label(column: str) -> str:
    """Return the name of a column as an axis says it, with its unit at the end."""
    found = _UNIT.fullmatch(column)
    name, unit = (found[1] + found[3], f", {_UNITS[found[2]]}") if found else (column, "")
    return name.replace("_", " ") + unit
