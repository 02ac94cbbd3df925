"""What `peercell up` is told: which run, and on which machines its peers are."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from peercell.broker.addresses import look_up
from peercell.broker.commands.options import lab_option
from peercell.broker.plans.live import RunOrder
from peercell.broker.plans.placement import Placement
from peercell.broker.terminal.command import Session
from peercell.broker.terminal.output import Answer
from peercell.broker.terminal.params import endpoint


def with_up_order(run: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return a command that also has the options of a run and of its machines, as one argument."""

    @click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
    @click.option(
        "--name", help="Name of the run, and of its folder; that of the cell when not given."
    )
    @click.option(
        "--pack",
        type=click.IntRange(1, 4096),
        default=1,
        show_default=True,
        help="Peers in one process; more than 1 for cells of hundreds of peers.",
    )
    @lab_option
    @click.option(
        "--listen",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="Numeric address that the peers listen at.",
    )
    @click.option(
        "--advertise",
        default="",
        metavar="HOST",
        help="Where other machines find this one; as --listen if not given.",
    )
    @click.option(
        "--elsewhere",
        multiple=True,
        metavar="PEERS",
        envvar="PEERCELL_UP_ELSEWHERE",
        help="Peers that run on other machines: mg3.trader, 'mg3.*', mg=3.",
    )
    @click.option(
        "--door",
        type=endpoint,
        metavar="ADDRESS:PORT",
        help="Where newcomers may show their admission.",
    )
    @wraps(run)
    def command(session: Session, advertise: str, **told: Any) -> Answer:
        at = look_up(advertise, 0)[0] if advertise else ""
        words = {each: told.pop(each) for each in ("listen", "elsewhere", "door")}
        return run(session, RunOrder(placement=Placement(advertise=at, **words), **told))

    return command
