"""`peercell host` and `peercell keys deal`: parts of a cell in the foreground, and their keys."""

import logging
from collections.abc import Callable
from datetime import date
from functools import wraps
from pathlib import Path
from typing import Any

import click

from peercell.broker.clock import steady_clock
from peercell.broker.config import load_grid, read_config
from peercell.broker.hosting.dealing import deal
from peercell.broker.hosting.host import HostOrder, run_host
from peercell.broker.hosting.places import places
from peercell.broker.plans.cell import plan_cell
from peercell.broker.plans.live import RunOrder
from peercell.broker.terminal.command import Session, command, data_command, hint
from peercell.broker.terminal.output import Answer, record, say
from peercell.broker.terminal.params import day as day_param
from peercell.broker.terminal.params import endpoint, seed


def _with_part(run: Callable[[HostOrder], None]) -> Callable[..., None]:
    """Return a command that has the options of where a host is and what it shows."""

    @click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
    @click.argument("chosen", metavar="PLACE...", nargs=-1, required=True)
    @click.option(
        "--day", type=day_param, help="Live this whole day instead of what the config says."
    )
    @click.option(
        "--listen",
        type=endpoint,
        default="127.0.0.1:0",
        show_default=True,
        help="Numeric address and port of the first process, the others have the next ones;"
        " 0.0.0.0 is the address that leads to the seeds, port 0 any that is free.",
    )
    @click.option(
        "--seed",
        "seeds",
        type=seed,
        multiple=True,
        envvar="PEERCELL_HOST_SEED",
        help="A peer to turn to first, as directory=tcp://broker:5600; may be given several times.",
    )
    @click.option(
        "--keys",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the keys of this host, as `peercell keys deal` makes it; that of the config"
        " when not given. Beyond loopback addresses there have to be keys.",
    )
    @click.option(
        "--http",
        type=endpoint,
        help="Numeric address and port at which an observer shows the cell.",
    )
    @wraps(run)
    def made(
        config: Path, day: date | None, seeds: tuple[tuple[str, str], ...], **reach: Any
    ) -> None:
        order = RunOrder(config=config, day=day)
        run(HostOrder(run=order, seeds=dict(seeds), **reach))

    return made


@command(
    "host",
    "peercell host configs/rural1.toml broker --listen 127.0.0.1:5600",
    "peercell host configs/rural1.toml observer --seed directory=tcp://127.0.0.1:5600"
    " --http 127.0.0.1:8080",
    "peercell host configs/rural1.toml mg1 --seed directory=tcp://broker:5600"
    " --listen 0.0.0.0:5600 --keys keys/mg1",
)
@_with_part
def host(part: HostOrder) -> None:
    """Run a part of a cell in the foreground, in a container or elsewhere.

    PLACE is broker, physics, observer, dso, aggregator, a microgrid, or a single peer. All parts
    need the same config, and clocks that agree. The intervals of the config are lived through again
    and again. SIGTERM or Ctrl-C ends it in good order.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home = click.get_current_context().ensure_object(Session).home
    hint(f"the host ended: {run_host(part, home, say)}")


@data_command("deal", "peercell keys deal configs/rural1.toml --out keys")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("keys"),
    show_default=True,
    help="Folder for them, with a folder for each place and for the operator.",
)
@click.option("--split", is_flag=True, help="For each peer, in place of each place.")
@click.option("--owner", type=click.IntRange(min=0), help="User id that the files are given to.")
def deal_keys(config: Path, out: Path, split: bool, owner: int | None) -> Answer:
    """Make the keys of all peers of a cell, and give each host its own.

    A host gets a folder with the secret keys of its peers and the charter. Those of the whole cell,
    the operator's among them, are in the folder `operator`: keep that one. What is there already
    stays as it is.
    """
    told = read_config(config)
    loaded = load_grid(told)
    now_s = steady_clock()()
    where = places(plan_cell(told, loaded, now_s), loaded.cell.zones)
    if split:
        where = {peer: (peer,) for peers in where.values() for peer in peers}
    made = deal(config, where, out, owner, now_s)
    text = f"{made.peers} peers of {made.cell} are admitted, their keys are in {out}/*/"
    return record(made, text, f"next: peercell host {config} PLACE --keys {out}/PLACE")
