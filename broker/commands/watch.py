"""`peercell watch`: a cell as it lives."""

import click
from rich.console import Console

from peercell.broker.operator_port import UnreachableError
from peercell.broker.plans.live import read_note
from peercell.broker.processes.cell_runs import find_cell
from peercell.broker.selector import select
from peercell.broker.terminal.command import Session, command
from peercell.broker.terminal.interrupts import SLICE_S, Interrupts
from peercell.broker.terminal.keyboard import Keyboard
from peercell.broker.terminal.output import note as say_aside
from peercell.broker.terminal.output import say
from peercell.broker.terminal.watch import FRAME_S, LINE_S, Screen, json_line, only, pictures


@command("watch", "peercell watch", "peercell watch village --peers mg=1")
@click.argument("cell", required=False)
@click.option("--peers", multiple=True, help="Members to show, as in `peercell ps`; all if none.")
@click.pass_obj
def watch(session: Session, cell: str | None, peers: tuple[str, ...]) -> None:
    """Watch a cell live: prices, gap, voltages, what is unmet.

    Where stdout is no terminal it writes a line of JSON a second, each what `status -o json` says
    without the messages. Ends with the cell, on q, or on Ctrl-C.
    """
    folder = session.home.resolve() / find_cell(session.home, cell).cell
    run = read_note(folder)
    members = select(peers, {member: run.roles[member] for member in run.members})
    console = Console()
    every_s = FRAME_S if console.is_terminal else LINE_S
    with Interrupts() as interrupts, Keyboard() as keyboard:

        def go_on(wait_s: float) -> bool:
            for _ in range(int(wait_s / SLICE_S) + 1):
                if "q" in keyboard.pressed().lower():
                    return False
                interrupts.pause(min(SLICE_S, wait_s))
            return True

        seen = (only(each, members) for each in pictures(folder, run, every_s, go_on))
        try:
            if console.is_terminal:
                Screen(console).show(seen)
            for each in seen:
                say(json_line(each))
        except UnreachableError:
            say_aside(f'cell "{run.cell}" has ended')
