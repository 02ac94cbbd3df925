"""Curves as text: braille dots, two a column and four a row, limits as dashed lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

# Dot of a braille cell by (row, column), as Unicode numbers them.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
_MARGIN = 7
_DASH, _PERIOD = 2, 4
_LIMIT_COLOUR = "red"


@dataclass(frozen=True)
class Curve:
    """Values at equal steps from the left edge to the right; `colour` is one that click knows."""

    values: Sequence[float]
    colour: str


@dataclass(frozen=True)
class Axes:
    """What stands around the curves.

    Parameters
    ----------
    width, height : size in characters, with the labels.
    limits : values to draw as dashed lines.
    ticks : labels below, spread evenly from the left edge to the right.
    form : format of the labels on the left (`.3f`).
    """

    width: int
    height: int
    limits: Sequence[float]
    ticks: Sequence[str]
    form: str


class _Canvas:
    """Dots, and for each character the colour of the last curve that touched it."""

    def __init__(self, columns: int, rows: int, top: float, bottom: float) -> None:
        self.width, self._height = 2 * columns, 4 * rows
        self._top, self._bottom = top, bottom
        self._dots = [[0] * columns for _ in range(rows)]
        self._colours = [[""] * columns for _ in range(rows)]

    def y(self, value: float) -> int:
        """Return the dot row of a value, 0 at the top."""
        share = (self._top - value) / (self._top - self._bottom)
        return round(share * (self._height - 1))

    def column(self, x: int, first: int, last: int, colour: str) -> None:
        """Set the dots of a column between two rows, in either order."""
        for y in range(min(first, last), max(first, last) + 1):
            self._dots[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
            self._colours[y // 4][x // 2] = colour

    def lines(self) -> list[str]:
        """Return the rows of text."""
        return [
            "".join(map(_character, dots, colours)).rstrip()
            for dots, colours in zip(self._dots, self._colours, strict=True)
        ]


def _character(dots: int, colour: str) -> str:
    return click.style(chr(_BLANK + dots), fg=colour) if dots else " "


def chart(curves: Sequence[Curve], axes: Axes) -> str:
    """Return the curves over one another, with their axes."""
    values = [value for curve in curves for value in curve.values] + [*axes.limits]
    bottom, top = min(values), max(values)
    if top - bottom < 1e-9:
        bottom, top = bottom - 0.5, top + 0.5
    texts = {value: format(value, axes.form) for value in (top, bottom, *axes.limits)}
    margin = max(_MARGIN, *(len(text) for text in texts.values()))
    columns = max(axes.width - margin - 2, 12)
    canvas = _Canvas(columns, axes.height - 1, top, bottom)
    for limit in axes.limits:
        for x in range(canvas.width):
            if x % _PERIOD < _DASH:
                canvas.column(x, canvas.y(limit), canvas.y(limit), _LIMIT_COLOUR)
    for curve in curves:
        _draw(canvas, curve)
    # The limits come last: where two labels fall on one row, the limit is the one to read.
    labels = {canvas.y(value) // 4: text for value, text in texts.items()}
    body = [
        f"{labels.get(row, ''):>{margin}} {'┤' if row in labels else '│'}{line}"
        for row, line in enumerate(canvas.lines())
    ]
    return "\n".join([*body, " " * (margin + 2) + _ticks(axes.ticks, columns)])


def _draw(canvas: _Canvas, curve: Curve) -> None:
    """Draw a curve without gaps: every column reaches from the last row to its own."""
    last = len(curve.values) - 1
    previous = canvas.y(curve.values[0])
    for x in range(canvas.width):
        row = canvas.y(curve.values[round(x * last / (canvas.width - 1))])
        canvas.column(x, _towards(previous, row), row, curve.colour)
        previous = row


def _towards(previous: int, row: int) -> int:
    """Return where a column starts so that it touches the last one without doubling its dot."""
    return row if previous == row else previous + (1 if row > previous else -1)


def _ticks(labels: Sequence[str], columns: int) -> str:
    """Return the labels below the axis, the first at its left end, the last at its right end."""
    line = [" "] * columns
    for number, label in enumerate(labels):
        share = number / max(len(labels) - 1, 1)
        start = round(share * (columns - len(label)))
        line[start : start + len(label)] = label
    return "".join(line).rstrip()
