"""`peercell agent` and `peercell directory`: one peer in the foreground, and checks of a role."""

from datetime import datetime
from pathlib import Path

import click

from peercell.agents.errors import PeercellError
from peercell.broker.clock import steady_clock
from peercell.broker.commands.site_options import Told, with_site
from peercell.broker.conformance.report import DEFAULT_SCHEDULES, report_of
from peercell.broker.directory import DIRECTORY, directory_spec
from peercell.broker.foreground import Alone, Site, peer_of, run_peer
from peercell.broker.security.joining import Papers, enter, papers
from peercell.broker.terminal.command import Session, command, data_command, hint
from peercell.broker.terminal.output import Answer
from peercell.broker.terminal.params import instant


@command(
    "run",
    "peercell agent run mg3.trader --join 192.0.2.10:5601 --key keys/mg3.trader.secret"
    " --listen 192.0.2.31:5600",
    "peercell agent run mg1.trader --config configs/rural1.toml"
    " --seed directory=tcp://192.0.2.10:5600 --begins 2026-11-02T14:05:00Z",
)
@click.argument("peer", metavar="ID")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Config of the cell, the same for all its peers; not where the join token has its part.",
)
@click.option(
    "--begins",
    type=instant,
    help="Real time with its zone at which the first delivery begins; the same for all peers.",
)
@with_site
def run(peer: str, config: Path | None, begins: datetime | None, told: Told) -> None:
    """Run one peer of a cell in the foreground.

    With --key it joins a cell whose operator has admitted these keys: --join names the door of any
    peer of it. What it is to run is in its join token; or else in --config, with --begins.

    It leaves its journal and what it knows of others in the folder of the runs, below its own id.
    Ctrl-C ends it in good order.
    """
    shown = papers(peer, told.site.keys, told.token) if told.site.keys else None
    alone = _alone(peer, config, begins, shown)
    _run(alone, _admitted(told, shown))


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


@command(
    "run",
    "peercell directory run --listen 127.0.0.1:5600",
    "peercell directory run --key keys/directory.secret --listen 192.0.2.10:5600"
    " --door 192.0.2.10:5601",
)
@with_site
def directory(told: Told) -> None:
    """Run the directory of a cell in the foreground.

    It leaves what it knows of peers in the folder of the runs, below `directory`. Peers that are
    told of it as a seed find each other; none needs it after that.
    """
    shown = papers(DIRECTORY, told.site.keys, told.token) if told.site.keys else None
    _run(Alone(directory_spec()), _admitted(told, shown))


def _run(alone: Alone, site: Site) -> None:
    peer = alone.spec.peer
    home = click.get_current_context().ensure_object(Session).home
    hint(f"{peer} ended: {run_peer(alone, home.resolve() / peer, site, hint)}")


def _alone(peer: str, config: Path | None, begins: datetime | None, shown: Papers | None) -> Alone:
    """Return what a peer is to run: its part of the plan, from its token or from the config."""
    if config is not None:
        if begins is None:
            raise PeercellError(
                "when the first delivery begins is not said", "", "--begins 2026-11-02T14:05:00Z"
            )
        return peer_of(config, peer, begins)
    part = shown.token.part if shown is not None else None
    if part is None:
        raise PeercellError(
            f"what {peer} is to run is not said",
            "its join token holds no part of a plan" if shown else "it has no join token",
            "--config CONFIG --begins TIME     or a token of the machine on which the cell runs",
        )
    return Alone(part.spec, part.journal_bytes_max, part.unions, part.observer)


def _admitted(told: Told, shown: Papers | None) -> Site:
    """Return where a peer runs once it has been let in."""
    if shown is None:
        if told.join is not None:
            raise PeercellError(
                "who joins a cell has keys", "there is no --key", "peercell keys new ID"
            )
        return told.site
    site = told.site._replace(charter=shown.token.charter)
    if told.join is None:
        return site
    host = enter(told.join, shown.token, told.server_key, steady_clock()())
    admitted = shown.token.admitted
    hint(
        f'joined cell "{admitted.cell}" as {admitted.peer} ({admitted.role}) by'
        f" {host.record.peer}; its clock is {1e3 * host.ahead_s:+.0f} ms from ours"
    )
    return site._replace(
        charter=host.charter,
        seeds={host.record.peer: host.record.endpoint, **site.seeds},
        seed_keys={host.record.peer: host.record.curve_key},
    )
