"""`peercell watch`: a cell as it lives."""

import click
from rich.console import Console

from peercell.broker.cell_runs import find_cell
from peercell.broker.command import Session, command
from peercell.broker.control import UnreachableError
from peercell.broker.interrupts import Interrupts
from peercell.broker.live_plan import read_note
from peercell.broker.output import note as say_aside
from peercell.broker.output import say
from peercell.broker.watch import FRAME_S, LINE_S, Screen, json_line, pictures


@command("watch", "peercell watch", "peercell watch village")
@click.argument("cell", required=False)
@click.pass_obj
def watch(session: Session, cell: str | None) -> None:
    """Watch a cell live: prices, gap, voltages, what is unmet.

    Where stdout is no terminal it writes a line of JSON a second, each what `status -o json` says
    without the messages. Ends with the cell, or on Ctrl-C.
    """
    folder = session.home.resolve() / find_cell(session.home, cell).cell
    run = read_note(folder)
    console = Console()
    with Interrupts() as interrupts:
        every_s = FRAME_S if console.is_terminal else LINE_S
        seen = pictures(folder, run, every_s, interrupts.check)
        try:
            if console.is_terminal:
                Screen(console).show(seen)
            for each in seen:
                say(json_line(each))
        except UnreachableError:
            say_aside(f'cell "{run.cell}" has ended')
