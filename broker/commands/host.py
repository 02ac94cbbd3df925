"""`peercell host`: a part of a cell in the foreground."""

import logging

import click

from peercell.broker.commands.run_options import with_order
from peercell.broker.hosting.host import HostOrder, run_host
from peercell.broker.plans.live import RunOrder
from peercell.broker.terminal.command import Session, command, hint
from peercell.broker.terminal.output import say
from peercell.broker.terminal.params import endpoint, seed


@command(
    "host",
    "peercell host configs/rural1.toml broker --listen 0.0.0.0:5600",
    "peercell host configs/rural1.toml mg1 --listen 0.0.0.0:5600"
    " --seed directory=tcp://broker:5600",
    "peercell host configs/rural1.toml observer --http 127.0.0.1:8080"
    " --seed directory=tcp://127.0.0.1:5600",
)
@with_order
@click.argument("chosen", metavar="PLACE...", nargs=-1, required=True)
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
    type=seed,
    multiple=True,
    help="A peer to turn to first, as directory=tcp://broker:5600; may be given several times.",
)
@click.option(
    "--http", type=endpoint, help="Numeric address and port at which an observer shows the cell."
)
def host(
    order: RunOrder,
    chosen: tuple[str, ...],
    listen: tuple[str, int],
    seed: tuple[tuple[str, str], ...],
    http: tuple[str, int] | None,
) -> None:
    """Run a part of a cell in the foreground, in a container or on a machine of its own.

    PLACE is broker, physics, observer, dso, aggregator, a microgrid, or a single peer. All parts
    need the same config, and clocks that agree. The intervals of the config are lived through again
    and again. SIGTERM or Ctrl-C ends it in good order.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home = click.get_current_context().ensure_object(Session).home
    part = HostOrder(order, chosen, listen, dict(seed), http)
    hint(f"the host ended: {run_host(part, home, say)}")
