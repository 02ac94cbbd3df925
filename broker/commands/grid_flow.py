"""`peercell grid solve`, `day` and `sens`: what the power flow of a cell says."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import click

from peercell.broker.cells import LoadedCell, load_cell
from peercell.broker.commands.options import time_option
from peercell.broker.plots.cell import draw_day, draw_point
from peercell.broker.terminal import params
from peercell.broker.terminal.command import data_command
from peercell.broker.terminal.output import Answer, warn
from peercell.broker.terminal.report import (
    day_text,
    point_rows,
    point_text,
    slope_rows,
    slopes_text,
)
from peercell.grid.feeder import Feeder
from peercell.grid.study import (
    DayStep,
    apply_set_points,
    day_report,
    operating_point,
    powers_at,
    slopes,
)

_plot = click.option(
    "--plot",
    type=params.picture,
    metavar="FILE",
    help="Draw the answer to a file: .svg, .png or .pdf.",
)


def _open(name: str) -> tuple[LoadedCell, Feeder]:
    """Return a cell and its feeder; a warning names the buses that have no source."""
    loaded = load_cell(name)
    feeder = Feeder(loaded.cell)
    for cause in sorted(set(feeder.dead.values())):
        buses = [bus for bus, why in feeder.dead.items() if why == cause]
        warn(f"no voltage at {', '.join(buses[:8])}{', …' if len(buses) > 8 else ''}: {cause}")
    return loaded, feeder


@data_command(
    "solve",
    "peercell grid solve rural1",
    "peercell grid solve rural1 --at 2016-05-28T12:00 --set pv-2=0,-10 -o json",
    "peercell grid solve rural1 --at 2016-05-28T12:00 --plot noon.svg",
)
@click.argument("cell")
@time_option
@click.option(
    "--set",
    "set_points",
    envvar="PEERCELL_GRID_SOLVE_SET",
    type=params.set_point,
    metavar="ASSET=P,Q",
    multiple=True,
    help="Power of an asset, positive = into the grid: pv-2=0,-10 or pv-2=3kW,1kvar.",
)
@_plot
def solve(
    cell: str,
    at: dt.datetime | None,
    set_points: Sequence[tuple[str, float, float]],
    plot: Path | None,
) -> Answer:
    """Solve one operating point of a cell.

    CELL is a shipped cell (peercell grid ls) or the folder of one.
    csv and jsonl print a row a bus.
    """
    loaded, feeder = _open(cell)
    powers = powers_at(feeder, loaded.profiles, at)
    apply_set_points(loaded.cell, *powers, {name: (p, q) for name, p, q in set_points})
    point = operating_point(feeder, *powers, at)
    if plot:
        draw_point(loaded.cell, point, plot)
    columns = ("bus", "v_pu", "angle_deg", "cause")
    return Answer(point, point_rows(point), columns, point_text(point))


@data_command(
    "day",
    "peercell grid day rural1 --date 2016-05-28",
    "peercell grid day rural1 --date 2016-05-28 --plot day.svg",
    "peercell grid day rural1 --date 2016-05-28 -o csv",
)
@click.argument("cell")
@click.option(
    "--date",
    type=params.day,
    metavar="DAY",
    required=True,
    help="Day of the profiles, 2016-05-28.",
)
@_plot
def day(cell: str, date: dt.date, plot: Path | None) -> Answer:
    """Solve every step of a day: what breaks, when and where.

    CELL is a shipped cell (peercell grid ls) or the folder of one.
    csv and jsonl print a row a step.
    """
    loaded, feeder = _open(cell)
    found = day_report(feeder, loaded.profiles, date)
    if plot:
        powers = powers_at(feeder, loaded.profiles, found.worst_at)
        draw_day(loaded.cell, found, operating_point(feeder, *powers, found.worst_at), plot)
    rows = [{key: getattr(step, key) for key in DayStep.__struct_fields__} for step in found.steps]
    return Answer(found, rows, DayStep.__struct_fields__, day_text(found))


@data_command(
    "sens",
    "peercell grid sens rural1 --bus 9",
    "peercell grid sens rural1 --bus 9 --at 2016-05-28T12:00 -o csv",
)
@click.argument("cell")
@click.option("--bus", metavar="BUS", required=True, help="Where power is fed in: 9, or 34.a.")
@time_option
@click.option("--linear", is_flag=True, help="First-order model: the injections do not answer.")
def sens(cell: str, bus: str, at: dt.datetime | None, linear: bool) -> Answer:
    """Show how every voltage answers to power fed in at a bus.

    CELL is a shipped cell (peercell grid ls) or the folder of one.
    csv and jsonl print a row a bus.
    """
    loaded, feeder = _open(cell)
    powers = powers_at(feeder, loaded.profiles, at)
    found = slopes(feeder, powers, at, bus, exact=not linear)
    columns = ("bus", "dv_dp_pu_per_kw", "dv_dq_pu_per_kvar")
    return Answer(found, slope_rows(found), columns, slopes_text(found))
