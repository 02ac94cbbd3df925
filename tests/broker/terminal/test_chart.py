"""Curves as text: a golden picture, the width of the terminal, and curves without a range."""

import math

import click
import pytest

from peercell.broker.terminal.chart import Axes, Curve, chart

TICKS = ("00:00", "06:00", "12:00", "18:00", "24:00")
GOLDEN = """\
   1.08 ┤            ⢀⠔⠒⠉⠉⠉⠒⠢⡀
   1.05 ┤⣀ ⣀ ⣀ ⣀ ⣀ ⣠⠜⣁ ⣀ ⣀ ⣀ ⣈⠱⣄ ⣀ ⣀ ⣀ ⣀ ⣀
        │        ⢀⠎             ⠑⡄
        │       ⡔⠁               ⠈⠢⡀
   1.00 ┤⣀⣀⣀⣀⣀⣀⠎                   ⠑⣄⣀⣀⣀⣀⣀
         00:00  06:00  12:00  18:00  24:00"""


def _noon(count: int) -> list[float]:
    hours = [24.0 * k / (count - 1) for k in range(count)]
    return [1.0 + 0.08 * max(0.0, math.sin(math.pi * (hour - 4.0) / 16.0)) for hour in hours]


def test_a_day_with_a_limit() -> None:
    assert (
        click.unstyle(chart([Curve(_noon(97), "cyan")], Axes(42, 6, (1.05,), TICKS, ".2f")))
        == GOLDEN
    )


@pytest.mark.parametrize("width", [40, 80, 110])
def test_no_line_is_wider_than_asked(width: int) -> None:
    axes = Axes(width, 10, (0.95, 1.05), TICKS, ".3f")
    lines = click.unstyle(chart([Curve(_noon(96), "cyan")], axes)).splitlines()
    assert len(lines) == 10
    assert max(len(line) for line in lines) <= width
    assert max(len(line) for line in lines[:-1]) >= width - 2


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [0.0, 1e9]])
def test_curves_of_any_shape_are_drawn_from_edge_to_edge(values: list[float]) -> None:
    lines = click.unstyle(
        chart([Curve(values, "cyan")], Axes(40, 5, (), TICKS, ".0f"))
    ).splitlines()
    columns = {column for line in lines[:-1] for column, sign in enumerate(line) if sign >= "⠁"}
    first = max(line.index("┤") for line in lines if "┤" in line) + 1
    assert columns == set(range(first, 40))


def test_a_curve_hides_the_limit_that_it_lies_on() -> None:
    text = chart([Curve([1.0, 1.0], "cyan")], Axes(40, 5, (1.0,), (), ".1f"))
    assert "\x1b[36m" in text
    assert "\x1b[31m" not in text
