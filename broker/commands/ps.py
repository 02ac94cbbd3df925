"""`peercell ps`: the peers of the running cells, each with its state and the reason for it."""

from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec import Struct

from peercell.broker.commands.options import selector_argument
from peercell.broker.processes.operate import peer_states
from peercell.broker.processes.plan import PeerState
from peercell.broker.processes.running import RunningCell, State, running_cells
from peercell.broker.selector import select
from peercell.broker.terminal.command import Session, data_command
from peercell.broker.terminal.output import Answer, builtins, table

COLUMNS = (
    "cell", "peer", "role", "state", "since", "pid", "restarts", "incarnation", "endpoint",
    "reason",
)  # fmt: skip
SHOWN = ("peer", "role", "state", "since", "pid", "restarts", "endpoint", "reason")
SUPERVISOR = "supervisor"


class PeerRow(Struct, frozen=True, kw_only=True):
    """A peer of a running cell; the supervisor of a cell stands before its peers."""

    cell: str
    peer: str
    role: str
    state: str
    since: datetime
    pid: int
    restarts: int = 0
    incarnation: int = 0
    endpoint: str = ""
    reason: str = ""


@data_command("ps", "peercell ps", "peercell ps 'role=prosumer,!mg1.*' --cell village -o json")
@selector_argument
@click.option("--cell", help="Only this cell; all when not given.")
@click.pass_obj
def ps(session: Session, peers: tuple[str, ...], cell: str | None) -> Answer:
    """List the peers of the running cells, with their state and its reason.

    Those that are selected, or all. The first line of a cell is its supervisor. It is stale when it
    has ended without tidying up; its peers have ended with it then.
    """
    cells = [each for each in running_cells(session.home) if cell in (None, each.cell)]
    rows = [row for each in cells for row in _rows(session.home, each)]
    if rows:
        chosen = select(peers, {row.peer: row.role for row in rows})
        rows = [row for row in rows if row.peer in chosen]
    records = [builtins(row) for row in rows]
    dicts = [record for record in records if isinstance(record, dict)]
    shown = [
        {**row, "since": each.since.astimezone().strftime("%X")}
        for row, each in zip(dicts, rows, strict=True)
    ]
    columns = ("cell", *SHOWN) if len(cells) > 1 else SHOWN
    named = f'cell "{cell}"' if cell else "no cell"
    hint = "" if cells else f"{named} {'does not run' if cell else 'runs'} under {session.home}/"
    return Answer(dicts, dicts, COLUMNS, table(shown, dict.fromkeys(columns, "")), hint)


def _rows(home: Path, cell: RunningCell) -> list[PeerRow]:
    """Return the supervisor of a cell and its peers."""
    supervisor = PeerRow(
        cell=cell.cell,
        peer=SUPERVISOR,
        role=SUPERVISOR,
        state=str(cell.state),
        since=cell.started,
        pid=cell.pid,
        reason=f"it has ended; peercell down {cell.cell}" if cell.state is State.STALE else "",
    )
    if cell.state is State.STALE:
        return [supervisor]
    states = peer_states(home.resolve() / cell.cell)
    return [supervisor, *(_row(cell.cell, state) for state in states)]


def _row(cell: str, state: PeerState) -> PeerRow:
    return PeerRow(
        cell=cell,
        peer=state.peer,
        role=state.role,
        state=str(state.state),
        since=datetime.fromtimestamp(state.since_s, UTC),
        pid=state.pid,
        restarts=state.restarts,
        incarnation=state.incarnation,
        endpoint=state.endpoint,
        reason=state.reason,
    )
