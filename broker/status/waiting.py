"""How long until a cell is up, converged or down, and what is unmet when it takes too long."""

import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.clock import steady_clock
from peercell.broker.faults.messages import FaultState
from peercell.broker.faults.texts import fault_text
from peercell.broker.operator_port import UnreachableError
from peercell.broker.plans.live import note_path, read_note
from peercell.broker.processes.cell_runs import NoCellError, find_cell
from peercell.broker.processes.crew import State
from peercell.broker.processes.operate import peer_states
from peercell.broker.status.live import active_faults, ask_cell
from peercell.broker.status.picture import picture

POLL_S = 0.1
NAMED_MAX = 4


class Condition(StrEnum):
    """What to wait for."""

    UP = "up"
    CONVERGED = "converged"
    DOWN = "down"


class Waited(Struct, frozen=True):
    """What was waited for, and how long it took in s."""

    condition: Condition
    took_s: float


class UnmetError(PeercellError):
    """The time is over and the condition is not met."""

    exit_code = 5


def wait_for(
    home: Path,
    name: str | None,
    condition: Condition,
    timeout_s: float,
    *,
    allow_islands: bool = False,
) -> Waited:
    """Return when a cell meets a condition.

    Parameters
    ----------
    home : folder of all runs
    name : of the run; None for the only one
    condition : what to wait for
    timeout_s : s
    allow_islands : whether a cell in parts that have lost each other may count as converged

    Raises
    ------
    UnmetError : the time is over; says what is unmet.
    """
    begun_s = time.monotonic()
    while unmet := _unmet(home, name, condition, allow_islands=allow_islands):
        if time.monotonic() - begun_s > timeout_s:
            raise _error(condition, timeout_s, unmet, _faults(home, name))
        time.sleep(POLL_S)
    return Waited(condition, time.monotonic() - begun_s)


def _error(
    condition: Condition, timeout_s: float, unmet: Sequence[str], faults: Sequence[FaultState]
) -> UnmetError:
    """Return what to say when the time is over: what is unmet, and what is broken on purpose."""
    more = f"; {len(unmet) - NAMED_MAX} more" if len(unmet) > NAMED_MAX else ""
    texts = [f"fault {each.order.id} ({fault_text(each.order.fault)}) is on" for each in faults]
    look = f"peercell fault rm {faults[0].order.id}" if faults else "peercell status"
    return UnmetError(
        f"the cell is not {condition} after {timeout_s:g} s",
        "; ".join((*unmet[:NAMED_MAX], *texts)) + more,
        f"{look}     peercell ps     or a longer --timeout",
    )


def _faults(home: Path, name: str | None) -> Sequence[FaultState]:
    """Return what is broken on purpose in a cell that may not run."""
    try:
        return active_faults(home.resolve() / find_cell(home, name).cell)
    except (NoCellError, UnreachableError):
        return ()


def _unmet(
    home: Path, name: str | None, condition: Condition, *, allow_islands: bool
) -> tuple[str, ...]:
    """Return what keeps a cell from a condition; nothing when it is met."""
    try:
        cell = find_cell(home, name)
    except NoCellError as error:
        return () if condition is Condition.DOWN else (error.what,)
    if condition is Condition.DOWN:
        return (f"its supervisor runs as process {cell.pid}",)
    folder = home.resolve() / cell.cell
    if not note_path(folder).exists():
        return ("it is being started",)
    try:
        if condition is Condition.UP:
            states = peer_states(folder)
            return tuple(f"{s.peer} is {s.state}" for s in states if s.state is not State.UP)
        note = read_note(folder)
        told = ask_cell(folder, note)
        return picture(note, told, steady_clock()(), allow_islands=allow_islands).unmet
    except UnreachableError as error:
        return (error.what,)
