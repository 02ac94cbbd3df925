"""`peercell keys cell`: the keys of a whole cell."""

from pathlib import Path

import click

from peercell.broker.clock import steady_clock
from peercell.broker.plans.keys import keys_of_cell
from peercell.broker.terminal.command import data_command
from peercell.broker.terminal.output import Answer, record


@data_command("cell", "peercell keys cell configs/rural1.toml --out keys")
@click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("keys"),
    show_default=True,
    help="Folder for them.",
)
def cell(config: Path, out: Path) -> Answer:
    """Make the keys of all peers of a cell, and admit them.

    What is in the folder already stays as it is; the keys of an operator are made if there are
    none. A machine needs the charter and the secret keys of the peers that run there, no others.
    """
    made = keys_of_cell(config, out, steady_clock()())
    text = f"{made.peers} peers of {made.cell} are admitted, their keys are in {made.folder}"
    return record(made, text, f'next: [security] with keys = "{out.resolve()}" in {config}')
