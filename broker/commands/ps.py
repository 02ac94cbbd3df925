"""`peercell ps`: which cells run."""

import click

from peercell.broker.command import Session, data_command
from peercell.broker.output import Answer, listing
from peercell.broker.running import running_cells


@data_command("ps", "peercell ps", "peercell --home /srv/peercell ps -o json")
@click.pass_obj
def ps(session: Session) -> Answer:
    """List the running cells.

    A cell is stale when the process that holds its lock is gone.
    """
    cells = running_cells(session.home)
    columns = dict.fromkeys(("cell", "state", "pid", "started", "config"), "")
    return listing(cells, columns, "" if cells else f"no cell runs under {session.home}/")
