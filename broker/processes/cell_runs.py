"""Which run a command means, how a run begins, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peercell.agents.errors import PeercellError
from peercell.broker.clock import steady_clock
from peercell.broker.home import CellHome
from peercell.broker.plans.cell import CellPlan
from peercell.broker.plans.live import RunNote, RunOrder, plan_run, run_note, supervised, write_note
from peercell.broker.plans.placement import placed
from peercell.broker.processes.launch import launch
from peercell.broker.processes.lock import CellRunsError
from peercell.broker.processes.operate import stop_cell, wait_until_up
from peercell.broker.processes.plan import PeerState
from peercell.broker.processes.running import RunningCell, State, is_held, running_cells

UP_S, UP_PEER_S = 20.0, 0.5


class NoCellError(PeercellError):
    """No cell runs, or not the one that was meant."""

    exit_code = 4


class SeveralCellsError(PeercellError):
    """Several cells run, and a command that works on one was not told which."""

    exit_code = 4


@dataclass(frozen=True)
class Begun:
    """A run that is up.

    Parameters
    ----------
    folder : of the run
    note : what it is
    plan : all its peers
    states : how they are
    took_s : s until the last of them was up
    """

    folder: Path
    note: RunNote
    plan: CellPlan
    states: tuple[PeerState, ...]
    took_s: float


def find_cell(home: Path, name: str | None) -> RunningCell:
    """Return the running cell of a name; without a name the only one.

    Raises
    ------
    NoCellError : it does not run.
    SeveralCellsError : there are several, and none is named.
    """
    cells = running_cells(home)
    running = {cell.cell: cell for cell in cells if cell.state is State.RUNNING}
    if name is not None:
        if name in running:
            return running[name]
        known = ", ".join(running) or "none"
        raise NoCellError(
            f'cell "{name}" does not run', f"under {home}/ run: {known}", "peercell ps"
        )
    if not running:
        raise NoCellError(f"no cell runs under {home}/", "", "peercell up configs/rural1.toml")
    if len(running) > 1:
        raise SeveralCellsError(
            f"{len(running)} cells run, and none is named",
            ", ".join(running),
            f"the same command with the name of one: {next(iter(running))}",
        )
    return next(iter(running.values()))


def begin(home: Path, order: RunOrder, pause: Callable[[float], None]) -> Begun:
    """Start the cell of a config and return it when all its peers are up.

    Parameters
    ----------
    home : folder of all runs
    order : which run
    pause : waits so many s between two looks at the peers; may raise, which ends the cell. Where a
        signal raises by itself it may catch a supervisor that is on its way and comes up for nobody

    Raises
    ------
    PeercellError : the config is wrong, the cell runs already, or a peer does not come up; then
        nothing is left running.
    """
    clock = steady_clock()
    begun_s = clock()
    plan = plan_run(order, begun_s)
    note = run_note(plan, order, begun_s)
    folder = (home / note.cell).resolve()
    home_of_run = CellHome(folder)
    home_of_run.prepare()
    if is_held(home_of_run.lock):
        # The supervisor would say the same; this way whatever fails from here on is ours to end.
        raise CellRunsError(
            f'cell "{folder.name}" runs already',
            f"{home_of_run.lock} is held by its supervisor",
            f"peercell down {folder.name}     or give this one a name: --name {folder.name}2",
        )
    try:
        launch(placed(supervised(plan, order, folder), order.placement))
        write_note(note, folder)
        states = wait_until_up(folder, UP_S + UP_PEER_S * len(plan.peers), pause)
    except BaseException:
        end(folder)
        raise
    return Begun(folder, note, plan, states, clock() - begun_s)


def end(folder: Path) -> bool:
    """End a cell and return whether there was one; its peers end with its supervisor.

    Raises
    ------
    PeercellError : its processes do not end.
    """
    lock = CellHome(folder).lock
    if not lock.exists():
        return False
    if is_held(lock):
        stop_cell(folder)
    else:
        lock.unlink(missing_ok=True)
    return True
