"""`peercell grid compile`: a network of pandapower or SimBench becomes a cell."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from peercell.broker.cellcheck import remark_lines
from peercell.broker.cells import save_cell
from peercell.broker.terminal.command import command, hint
from peercell.broker.terminal.output import warn
from peercell.grid.compile import compile_network
from peercell.grid.compile.options import CompileOptions, parse_span

_OPTIONS = (
    click.option("--name", default="", help="Name of the cell; that of the source if not given."),
    click.option("--title", default="", help="One line that says what the cell is."),
    click.option(
        "--pv-scale",
        type=click.FloatRange(0.0, 1000.0),
        default=1.0,
        metavar="FACTOR",
        help="Multiply the power of every PV plant.",
    ),
    click.option(
        "--window",
        "windows",
        envvar="PEERCELL_GRID_COMPILE_WINDOW",
        type=parse_span,
        metavar="DAY/DAY",
        multiple=True,
        help="Keep these days of the profiles, the last one included; may be repeated.",
    ),
    click.option(
        "--profiles",
        "csv_profiles",
        envvar="PEERCELL_GRID_COMPILE_PROFILES",
        default="",
        metavar="FILE",
        help="Profiles of your own, as CSV.",
    ),
    click.option(
        "--generators-as-injections",
        is_flag=True,
        help="Freeze voltage-holding generators at the reactive power they have.",
    ),
    click.option(
        "--standard-profiles",
        is_flag=True,
        help="Give what has no profile one of SimBench's.",
    ),
)


def _with_options(
    function: Callable[[str, Path, CompileOptions], None],
) -> Callable[..., None]:
    """Return the function with the options of a compilation gathered in one argument."""

    @functools.wraps(function)
    def gathered(source: str, folder: Path, **options: Any) -> None:
        function(source, folder, CompileOptions(**options))

    for option in reversed(_OPTIONS):
        option(gathered)
    return gathered


@command(
    "compile",
    "peercell grid compile net.json -o my-cell",
    "peercell grid compile simbench:1-LV-rural1--2-sw -o rural --window 2016-05-23/2016-05-29",
    "peercell grid compile net.json -o my-cell --profiles measured.csv",
)
@click.argument("source")
@click.option(
    "-o",
    "--output",
    "folder",
    envvar="PEERCELL_GRID_COMPILE_OUTPUT",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="Folder to write the cell to; it is made if need be.",
)
@_with_options
def compile_cell(source: str, folder: Path, options: CompileOptions) -> None:
    """Compile a network into a cell.

    SOURCE is a pandapower file (.json, .xlsx), pandapower:NAME, simbench:CODE, or recipe:NAME for
    a shipped cell. Nothing is printed on stdout: the answer is the folder.
    """
    compiled = compile_network(source, options, lambda name: Path(name).read_bytes(), hint)
    save_cell(compiled.cell, compiled.profiles, folder)
    for line in remark_lines(compiled.warnings):
        warn(line)
    agreed = compiled.agreement
    hint(f"wrote {folder}: agrees with pandapower within {agreed.difference_pu:.1e} pu")
    hint(f"next: peercell grid check {folder}")
