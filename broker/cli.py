"""The `peercell` command: the tree of its commands, and how a failure is told.

The contract of output, errors and exit codes is docs/reference/cli-contract.md.
"""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from peercell import __version__
from peercell.agents.errors import PeercellError
from peercell.broker.solver_threads import use_one_solver_thread
from peercell.broker.terminal.command import LazyGroup, Session, common_options
from peercell.broker.terminal.output import colour, explain, note

INTERRUPTED = 130

_SETTINGS = {
    "auto_envvar_prefix": "PEERCELL",
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
}
_EPILOG = (
    "Every option can be set in the environment: PEERCELL_GRID_SOLVE_AT is --at of"
    " `peercell grid solve`."
)


@click.group(cls=LazyGroup, context_settings=_SETTINGS, epilog=_EPILOG)
@click.version_option(__version__, message="peercell %(version)s")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("run"),
    show_default=True,
    help="Folder of the running cells and their logs.",
)
@click.pass_obj
def cli(session: Session, home: Path) -> None:
    """Peer-to-peer energy trading and grid control as real networked processes."""
    session.home = home


cli.params.extend(common_options())
for _name, _target, _line in (
    ("demo", "run:demo", "Run a cell from start to end and tell how it went."),
    ("run", "run:run", "Run a config, or a whole day of it, in processes or simulated."),
    ("sweep", "sweep:sweep", "Run a config simulated, with other settings and other seeds."),
    ("up", "cell:up", "Start the cell of a config, and return when all its peers are up."),
    ("ps", "ps:ps", "List the peers of the running cells, with their state and its reason."),
    ("status", "cell:status", "Show convergence, prices, gap, voltages and messages of a cell."),
    ("watch", "watch:watch", "Watch a cell live: prices, gap, voltages, what is unmet."),
    ("wait", "cell:wait", "Wait until a cell is up, converged or down."),
    ("logs", "cell:logs", "Show the newest lines of the logs of a cell."),
    ("restart", "restart:restart", "End the processes of peers and start them again."),
    ("down", "cell:down", "End a cell and all its processes."),
    ("host", "host:host", "Run a part of a cell in the foreground, in a container or elsewhere."),
    ("doctor", "doctor:doctor", "Check whether this machine can run a cell, or dial a peer."),
    ("replay", "replay:replay", "Run a peer again from its journal and compare what it does."),
):
    cli.defer(_name, f"peercell.broker.commands.{_target}", _line)

agent = LazyGroup("agent", help="Run single peers, and check roles of your own.")
cli.add_command(agent)
for _name, _line in (
    ("run", "Run one peer of a cell in the foreground."),
    ("check", "Check that a role keeps to the contract with its host."),
):
    agent.defer(_name, f"peercell.broker.commands.agent:{_name}", _line)
keys = LazyGroup("keys", help="Make the keys of peers, admit them to a cell, and revoke them.")
cli.add_command(keys)
for _name, _line in (
    ("new", "Make the keys of a peer, or of an operator."),
    ("show", "Show whose keys a file holds, and until when they are admitted."),
    ("admit", "Admit the keys of a peer to a cell, and print its join token."),
    ("rotate", "Make the keys that are to follow those of a peer."),
    ("revoke", "Let the keys of a peer count no more, anywhere in the cell."),
):
    keys.defer(_name, f"peercell.broker.commands.keys:{_name}", _line)
keys.defer(
    "cell",
    "peercell.broker.commands.keys_cell:cell",
    "Make the keys of all peers of a cell, and admit them.",
)
keys.defer(
    "deal",
    "peercell.broker.commands.host:deal_keys",
    "Make the keys of all peers of a cell, and give each host its own.",
)
directory = LazyGroup("directory", help="Run the directory of a cell.")
cli.add_command(directory)
directory.defer(
    "run",
    "peercell.broker.commands.agent:directory",
    "Run the directory of a cell in the foreground.",
)

render = LazyGroup("render", help="Write a cell down as containers.")
cli.add_command(render)
for _name, _line in (
    ("compose", "Print a Compose file for a cell, a service for each of its parties."),
    ("swarm", "Print a stack of a cell for Docker Swarm."),
    ("k8s", "Print the manifests of a cell for Kubernetes."),
):
    render.defer(_name, f"peercell.broker.commands.render:{_name}", _line)

trade = LazyGroup("trade", help="Trade stand-alone instances by the real protocol.")
cli.add_command(trade)
trade.defer(
    "solve",
    "peercell.broker.commands.trade:solve",
    "Trade a stand-alone instance out by the real protocol.",
)

control = LazyGroup("control", help="Keep voltages and loadings within their limits.")
cli.add_command(control)
control.defer(
    "solve",
    "peercell.broker.commands.control:solve",
    "Control one operating point with the real agents.",
)
control.defer(
    "reconfigure",
    "peercell.broker.commands.control:reconfigure",
    "Open a network where it then loses least.",
)

fault = LazyGroup("fault", help="Break a running cell on purpose, for a while, and take it back.")
cli.add_command(fault)
add = LazyGroup("add", help="Break something: what is hit is told, and how to take it back.")
fault.add_command(add)
for _name, _line in (
    ("loss", "Lose a share of the messages."),
    ("delay", "Let messages take longer, give or take some."),
    ("duplicate", "Let a share of the messages arrive twice."),
    ("reorder", "Hold a share of the messages back, so that others overtake them."),
    ("corrupt", "Spoil a share of the messages, so that nobody can read them."),
    ("bandwidth", "Let each link carry no more than so many bytes a second."),
    ("partition", "Cut links: both ways, or one way for `a->b`."),
    ("kill", "End the processes of peers; they come again."),
    ("pause", "Let the processes of peers stand still."),
    ("slow", "Give the processes of peers a share of their time only."),
    ("clock", "Let the clocks of peers be wrong by so much."),
    ("disk-full", "Let peers have no room to write to."),
    ("lie", "Let peers tell others this price in place of their own."),
    ("replay", "Let a share of the messages of peers be sent once more, much later."),
    ("forge", "Let a share of the messages of peers be said in the name of another one, too."),
    ("line-open", "Take a line or transformer out of service, by its name or its two buses."),
    ("load-step", "Let each of some loads take in so much more, kW, than it is set to."),
    ("pv-trip", "Let generators put nothing in, whatever they are set to."),
    (
        "meter-noise",
        "Let the voltages that peers measure be off by chance, with this standard deviation.",
    ),
    ("islanding", "Take all lines out of service that connect a microgrid to the rest."),
):
    add.defer(_name, f"peercell.broker.commands.fault_add:{_name.replace('-', '_')}", _line)
for _name, _line in (
    ("ls", "List the faults that are on: what they hit, how often, and when they end."),
    ("rm", "Take a fault back."),
    ("clear", "Take all faults back."),
    ("doctor", "Tell what can break a cell on this machine, and what is used for which faults."),
):
    fault.defer(_name, f"peercell.broker.commands.fault:{_name}", _line)
fault.defer(
    "run",
    "peercell.broker.commands.fault_run:run",
    "Break a running cell by a plan, and tell how it has recovered.",
)

lab = LazyGroup("lab", help="Run a cell across network namespaces, and cut its cables.")
cli.add_command(lab)
for _name, _target, _line in (
    (
        "up",
        "up",
        "Start a cell, each of its parts in a network namespace of its own.",
    ),
    ("ls", "ls", "List the parts of the lab: where they are, their process and their log."),
    (
        "cut",
        "cut_cable",
        "Cut a part off from another one, or from all, for a while.",
    ),
    ("slow", "slow_cable", "Let a part send no more than so much, for a while."),
    ("delay", "delay_cable", "Let what a part sends take longer, for a while."),
    (
        "mend",
        "mend_cables",
        "Take back all that was done to cables.",
    ),
    ("down", "down", "End the lab and remove its network."),
):
    lab.defer(_name, f"peercell.broker.commands.lab:{_target}", _line)

results = LazyGroup("results", help="Look at what runs have come to.")
cli.add_command(results)
for _name, _target, _line in (
    ("ls", "results:ls", "List the runs whose journals are there, or those of a sweep."),
    ("show", "results:show", "Show a run, interval by interval, or the settings of a sweep."),
    ("export", "results:export", "Write the tables of a run or a sweep as CSV or Parquet files."),
    ("plot", "results:plot", "Draw a column of a sweep or a run over another, with a band."),
    ("repro", "results:repro", "Print the one command that repeats a run of a sweep."),
):
    results.defer(_name, f"peercell.broker.commands.{_target}", _line)

grid = LazyGroup("grid", help="Look at cells of the grid and solve their power flow.")
cli.add_command(grid)
for _name, _target, _line in (
    ("ls", "grid_cells:ls", "List the shipped cells."),
    ("show", "grid_cells:show", "Show what a cell holds."),
    ("compile", "grid_compile:compile_cell", "Compile a network into a cell."),
    ("check", "grid_cells:check", "Check a cell: slips in its file, its power flow at any time."),
    ("solve", "grid_flow:solve", "Solve one operating point of a cell."),
    ("day", "grid_flow:day", "Solve every step of a day: what breaks, when and where."),
    ("sens", "grid_flow:sens", "Show how every voltage answers to power fed in at a bus."),
):
    grid.defer(_name, f"peercell.broker.commands.{_target}", _line)

config = LazyGroup("config", help="Write and check the file that says what a cell is.")
cli.add_command(config)
for _name, _line in (
    ("init", "Write a first config for a cell of the grid."),
    ("validate", "Check a config and the cell that it makes."),
    ("schema", "Print the JSON Schema of a config, for an editor."),
):
    config.defer(_name, f"peercell.broker.commands.config_files:{_name}", _line)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code; `args` defaults to those of the process."""
    use_one_solver_thread()
    session = Session()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a curve still gets the numbers.
            stream.reconfigure(errors="replace")
    sys.excepthook = partial(_report_defect, session)
    sys.exit(run(session, args))


def run(session: Session, args: Sequence[str] | None) -> int:
    """Return the exit code of one call; a failure is explained on stderr.

    Raises
    ------
    Exception : a defect of peercell, of any type.
    """
    try:
        code = cli.main(args, "peercell", standalone_mode=False, obj=session, color=colour())
    except (click.ClickException, PeercellError, OSError) as error:
        if session.debug:
            traceback.print_exc()
        return _explain(error)
    except (click.Abort, KeyboardInterrupt):
        note("peercell: interrupted")
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    """Write a failure to stderr and return its exit code; an error that none expected is raised."""
    match error:
        case PeercellError():
            explain(error.what, error.why, error.fix)
            return error.exit_code
        case NoArgsIsHelpError():
            error.show()
        case click.UsageError(ctx=click.Context() as ctx):
            usage = ctx.get_usage().replace("Usage", "usage", 1)
            explain(error.format_message(), usage, f"{ctx.command_path} --help")
        case click.ClickException():
            explain(error.format_message(), "", "")
        case OSError(filename=str() | bytes() as name):
            explain(f"cannot use {os.fsdecode(name)}", error.strerror or "", "")
            return 1
        case _:
            raise error
    return error.exit_code


def _report_defect(
    session: Session, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Write the traceback of a defect to a file in the run folder and name the file."""
    lines = "".join(traceback.format_exception(kind, error, trace))
    path = session.home / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.txt"
    try:
        session.home.mkdir(parents=True, exist_ok=True)
        path.write_text(f"peercell {__version__}\n{' '.join(sys.argv)}\n\n{lines}")
    except OSError:
        session.debug = True
    if session.debug:
        note(lines)
        return
    explain(
        f"{kind.__name__}: {error}",
        f"this is a defect of peercell; the traceback is in {path}",
        "report it with that file, or repeat the command with --debug",
    )
