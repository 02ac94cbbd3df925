"""`peercell restart`: end the processes of some peers and start them again."""

import click

from peercell.broker.commands.options import cell_option
from peercell.broker.processes.cell_runs import find_cell
from peercell.broker.processes.operate import peer_states, restart_peers
from peercell.broker.selector import select
from peercell.broker.terminal.command import Session, data_command
from peercell.broker.terminal.output import Answer

TIMEOUT_S, TIMEOUT_PEER_S = 10.0, 0.5


@data_command(
    "restart",
    "peercell restart mg1.trader",
    "peercell restart 'role=prosumer,!mg1.*' --cell village",
)
@click.argument("peers", nargs=-1, required=True, metavar="PEERS...")
@cell_option
@click.pass_obj
def restart(session: Session, peers: tuple[str, ...], cell: str | None) -> Answer:
    """End the processes of peers and start them again.

    Also those that were given up. Peers that share a process (`up --pack`) share its restart.
    """
    folder = session.home.resolve() / find_cell(session.home, cell).cell
    roles = {state.peer: state.role for state in peer_states(folder)}
    chosen = select(peers, roles)
    states = restart_peers(folder, chosen, TIMEOUT_S + TIMEOUT_PEER_S * len(roles))
    rows = [
        {
            "peer": each.peer,
            "state": str(each.state),
            "pid": each.pid,
            "incarnation": each.incarnation,
        }
        for each in states
    ]
    text = "\n".join(f"{each.peer} runs again as process {each.pid}" for each in states)
    return Answer(rows, rows, ("peer", "state", "pid", "incarnation"), text)
