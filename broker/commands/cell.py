"""`peercell up|down|logs|status|wait`: start a cell, look at it, end it."""

import time

import click
from msgspec import structs

from peercell.broker.clock import steady_clock
from peercell.broker.commands.options import cell_option, selector_argument
from peercell.broker.commands.up_options import with_up_order
from peercell.broker.home import CellHome
from peercell.broker.plans.live import RunOrder, read_note
from peercell.broker.processes.cell_runs import begin, end, find_cell
from peercell.broker.processes.logs import chosen_logs, follow, newest
from peercell.broker.processes.running import is_held, running_cells
from peercell.broker.status.live import ask_cell
from peercell.broker.status.picture import picture
from peercell.broker.status.text import status_text
from peercell.broker.status.waiting import Condition, wait_for
from peercell.broker.terminal.command import Session, data_command
from peercell.broker.terminal.interrupts import Interrupts
from peercell.broker.terminal.output import Answer, Row, Stream, record
from peercell.broker.terminal.params import duration
from peercell.broker.terminal.run_text import run_text

# s between two looks at the logs.
FOLLOW_S = 0.2


@data_command(
    "up",
    "peercell up configs/rural1.toml",
    "peercell up configs/rural1.toml --name two",
    "peercell up cell.toml --elsewhere mg3.trader --listen 192.0.2.10 --door 192.0.2.10:5601",
)
@click.pass_obj
@with_up_order
def up(session: Session, order: RunOrder) -> Answer:
    """Start the cell of a config, and return when all its peers are up.

    It runs in the background until `peercell down`. Peers of other machines need a config that
    names an operator, who admits them by `peercell keys admit`; they come in by a door.
    """
    with Interrupts() as interrupts:
        begun = begin(session.home, order, interrupts.pause)
    rows = {
        "cell": begun.note.cell,
        "peers": len(begun.states),
        "processes": len({state.pid for state in begun.states}),
        "took_s": begun.took_s,
        "folder": str(begun.folder),
    }
    return record(rows, run_text(begun), "next: peercell watch     peercell ps     peercell down")


@data_command("down", "peercell down", "peercell down village")
@click.argument("cell", required=False)
@click.pass_obj
def down(session: Session, cell: str | None) -> Answer:
    """End a cell and all its processes.

    It is no error when it does not run.
    """
    cells = [each.cell for each in running_cells(session.home) if cell in (None, each.cell)]
    if len(cells) > 1:
        cells = [find_cell(session.home, None).cell]
    ended = [{"cell": name} for name in cells if end(session.home.resolve() / name)]
    what = f'cell "{cell}"' if cell else "a cell"
    hint = "" if ended else f"nothing to do: {what} does not run under {session.home}/"
    text = "".join(f'cell "{row["cell"]}" has ended' for row in ended)
    return Answer(ended, ended, ("cell",), text, hint)


@data_command("logs", "peercell logs mg1.trader", "peercell logs 'role=trader,!mg2.trader' -f")
@selector_argument
@cell_option
@click.option(
    "--lines",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Newest lines of each log.",
)
@click.option(
    "-f",
    "--follow",
    "following",
    envvar="PEERCELL_LOGS_FOLLOW",
    is_flag=True,
    help="Go on with what is yet to come.",
)
@click.pass_obj
def logs(
    session: Session, peers: tuple[str, ...], cell: str | None, lines: int, following: bool
) -> Answer | Stream:
    """Show the newest lines of the logs of a cell.

    Of the peers that are selected, or of all that said anything. With --follow it ends with the
    cell, or on Ctrl-C.
    """
    name = cell or find_cell(session.home, None).cell
    folder = session.home.resolve() / name
    known = chosen_logs(folder, peers)
    width = max(map(len, known), default=0)

    def text(row: Row) -> str:
        return f"{row['peer']:<{width}} | {row['line']}"

    if following:
        lock = CellHome(folder).lock

        def go_on() -> bool:
            time.sleep(FOLLOW_S)
            return is_held(lock)

        told = follow(lambda: chosen_logs(folder, peers), lines, go_on)
        return Stream(map(structs.asdict, told), ("peer", "line"), text)
    rows = [structs.asdict(line) for line in newest(known, lines)]
    shown = "\n".join(map(text, rows))
    return Answer(rows, rows, ("peer", "line"), shown, "" if rows else "nothing was logged")


@data_command("status", "peercell status", "peercell status village -o json")
@click.argument("cell", required=False)
@click.pass_obj
def status(session: Session, cell: str | None) -> Answer:
    """Show convergence, prices, gap, voltages and messages of a cell."""
    folder = session.home.resolve() / find_cell(session.home, cell).cell
    note = read_note(folder)
    seen = picture(note, ask_cell(folder, note, messages=True), steady_clock()())
    return record(seen, status_text(seen))


@data_command("wait", "peercell wait converged --timeout 60s", "peercell wait down --cell village")
@click.argument("condition", type=click.Choice(Condition, case_sensitive=False))
@cell_option
@click.option(
    "--timeout",
    type=duration,
    default="60s",
    show_default=True,
    help="How long to wait, such as 250ms, 10s or 2m.",
)
@click.option(
    "--allow-islands",
    is_flag=True,
    help="Let parts of the cell that have lost each other count as converged.",
)
@click.pass_obj
def wait(
    session: Session, condition: Condition, cell: str | None, timeout: float, allow_islands: bool
) -> Answer:
    """Wait until a cell is up, converged or down.

    A cell that is not there yet is waited for. Ends with 5 when the time is over, and says what is
    unmet.
    """
    waited = wait_for(session.home, cell, condition, timeout, allow_islands=allow_islands)
    return record(waited, f"{waited.condition} after {waited.took_s:.1f} s")
