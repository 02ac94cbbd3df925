"""`peercell agent` and `peercell directory`: one peer in the foreground, and checks of a role."""

from datetime import datetime
from pathlib import Path

import click

from peercell.broker.conformance.report import DEFAULT_SCHEDULES, report_of
from peercell.broker.directory import DIRECTORY, directory_spec
from peercell.broker.foreground import Alone, peer_of, run_peer
from peercell.broker.terminal.command import Session, command, data_command, hint
from peercell.broker.terminal.output import Answer
from peercell.broker.terminal.params import endpoint, instant, seed

listen_option = click.option(
    "--listen",
    type=endpoint,
    default="127.0.0.1:0",
    show_default=True,
    help="Numeric address and port to listen at; port 0 for any that is free.",
)


@command(
    "run",
    "peercell agent run mg1.trader --config configs/rural1.toml"
    " --seed directory=tcp://192.0.2.10:5600 --begins 2026-11-02T14:05:00Z",
)
@click.argument("peer", metavar="ID")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Config of the cell; the same for all its peers.",
)
@click.option(
    "--begins",
    type=instant,
    required=True,
    help="Real time with its zone at which the first delivery begins; the same for all peers.",
)
@click.option(
    "--seed",
    type=seed,
    multiple=True,
    help="A peer to turn to first, as directory=tcp://192.0.2.10:5600; may be given several times.",
)
@listen_option
def run(
    peer: str,
    config: Path,
    begins: datetime,
    seed: tuple[tuple[str, str], ...],
    listen: tuple[str, int],
) -> None:
    """Run one peer of a cell in the foreground.

    It leaves its key, its journal and what it knows of others in the folder of the runs, below its
    own id. Ctrl-C ends it in good order.
    """
    home = click.get_current_context().ensure_object(Session).home
    alone = peer_of(config, peer, begins)
    hint(f"{peer} ended: {run_peer(alone, home.resolve() / peer, listen, dict(seed), hint)}")


@data_command(
    "check",
    "peercell agent check my_agents:CautiousTrader",
    "peercell agent check my_agents:CautiousTrader --property duplicates-harmless --seed 91",
)
@click.argument("role", metavar="MODULE:CLASS")
@click.option(
    "--property",
    "name",
    envvar="PEERCELL_AGENT_CHECK_PROPERTY",
    metavar="NAME",
    help="Ask for this property alone.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32),
    default=1,
    show_default=True,
    help="Seed of the first schedule; the others follow.",
)
@click.option(
    "--schedules",
    type=click.IntRange(1, 1_000_000),
    default=DEFAULT_SCHEDULES,
    show_default=True,
    help="How many schedules of faults are tried in all.",
)
def check(role: str, name: str | None, seed: int, schedules: int) -> Answer:
    """Check that a role keeps to the contract with its host.

    The class is found with the current folder on the import path, and says by `example()` of which
    peers a check is made. They must be pure and deterministic, and come to the same outcome when
    messages are lost, doubled or late and when peers restart. Ends with 1 when a property does not
    hold, and tells the command that repeats it.
    """
    return report_of(role, name, seed, schedules)


@command("run", "peercell directory run --listen 127.0.0.1:5600")
@listen_option
@click.pass_obj
def directory(session: Session, listen: tuple[str, int]) -> None:
    """Run the directory of a cell in the foreground.

    It leaves its key and what it knows of peers in the folder of the runs, below `directory`.
    Peers that are told of it as a seed find each other; none needs it after that.
    """
    alone = Alone(directory_spec())
    why = run_peer(alone, session.home.resolve() / DIRECTORY, listen, {}, hint)
    hint(f"{DIRECTORY} ended: {why}")
