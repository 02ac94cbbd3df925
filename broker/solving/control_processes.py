"""How an operating point is controlled by real processes: one for each agent, over ZeroMQ."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.msgpack import Encoder

from peercell.agents.control.coupling import CouplingSettings
from peercell.agents.control.rhythm import Rhythm, rhythm_for
from peercell.agents.control.voltage_messages import VoltageControlled, VoltageGossip
from peercell.agents.errors import PeercellError
from peercell.agents.grid_messages import StateQuery, StateReport
from peercell.agents.grid_parts import Reading
from peercell.broker.cells import save_cell
from peercell.broker.clock import steady_clock
from peercell.broker.faults.kinds import Loss
from peercell.broker.faults.orders import Order
from peercell.broker.home import CellHome
from peercell.broker.operator_port import HostMessage, ask
from peercell.broker.outcomes.recorded import facts, sent
from peercell.broker.plans.cell import GridPeerSettings
from peercell.broker.processes.cell_runs import end
from peercell.broker.processes.launch import launch
from peercell.broker.processes.operate import wait_until_up
from peercell.broker.processes.plan import Plan
from peercell.broker.roles import CELL_MESSAGES, CellMessage, peer_spec
from peercell.broker.solving.control_cell import GRID, control_peers, member_count
from peercell.broker.solving.control_log import ControlLog, ControlResult
from peercell.broker.solving.control_run import ControlSettings
from peercell.broker.wire import Codec
from peercell.grid.control_case import ControlCase

# s; long enough for a message to arrive within a tick on a busy machine.
TICK_S = 0.1
UP_S, UP_AGENT_S = 20.0, 0.5
ANSWER_S = 5.0
# Ticks by which real clocks and links may be late.
_LATE_TICKS = 1

_CODEC = Codec(CellMessage, HostMessage)
_encode = Encoder().encode


def control_with_processes(
    case: ControlCase,
    settings: ControlSettings,
    pause: Callable[[float], None] = time.sleep,
    progress: Callable[[int, Reading], None] = lambda *_: None,
) -> ControlResult:
    """Return how a case ends when each of its agents is a process; ticks begin when all are up.

    Parameters
    ----------
    case : the operating point
    settings : algorithm, seed, and the share of messages to lose
    pause : waits so many s between two looks; may raise, which ends the processes
    progress : is told each tick what is measured

    Raises
    ------
    PeercellError : a process did not come up, or does not answer.
    """
    # The path of a socket has to be short, so this is no folder of the user's.
    folder = Path(tempfile.mkdtemp(prefix="peercell-control-"))
    rhythm = rhythm_for(member_count(case), TICK_S, _LATE_TICKS)
    peers = control_peers(case, rhythm)
    save_cell(case.cell, {}, folder / "cell")
    grid = GridPeerSettings(
        folder=str(folder / "cell"), zones=case.cell.zones, service=peers.service
    )
    told = {**peers.agents, GRID: grid}
    roles = {GRID: "grid"}
    roles |= {n: "voltage coupling" for n, t in told.items() if isinstance(t, CouplingSettings)}
    plan = Plan(
        cell="control",
        folder=str(folder / "control"),
        config="case",
        peers=tuple(
            peer_spec(name, roles.get(name, settings.algorithm.role), each, settings.seed)
            for name, each in told.items()
        ),
        unions=(CELL_MESSAGES,),
        faults=(Order(id="drop", fault=Loss(share=settings.faults.drop), seed=settings.seed),),
    )
    home = CellHome(Path(plan.folder))
    log = ControlLog(case, rhythm, frozenset())
    try:
        launch(plan)
        states = wait_until_up(home.folder, UP_S + UP_AGENT_S * len(plan.peers), pause)
        control = next(state.control for state in states if state.peer == GRID)
        begun_s = steady_clock()()
        # On a busy machine limits hold by primary control before prices have settled.
        while len(log.readings) < settings.ticks_max and not (log.holds() and log.is_steady()):
            pause(TICK_S)
            log.readings.append(_look(control, log, len(log.readings) + 1))
            progress(len(log.readings), log.readings[-1])
        return _result(home, log, rhythm, begun_s)
    finally:
        end(home.folder)
        shutil.rmtree(folder, ignore_errors=True)


def _look(control: str, log: ControlLog, number: int) -> Reading:
    answer = ask(control, GRID, StateQuery(number, log.view), _CODEC, ANSWER_S)
    if isinstance(answer, StateReport) and answer.reading is not None:
        return answer.reading
    raise PeercellError("the grid service does not say how the cell stands", f"{answer}")


def _result(home: CellHome, log: ControlLog, rhythm: Rhythm, begun_s: float) -> ControlResult:
    """Return what the readings and the journals of the agents come to."""
    journals = [home.journal(name) for name in control_peers(log.case, rhythm).agents]
    spent = sum(
        len(_encode(message))
        for journal in journals
        for message in sent(journal, VoltageGossip, since_s=begun_s)
    )

    def changes(from_tick: int, to_tick: int) -> int:
        first, last = (rhythm.epoch(begun_s + k * TICK_S) for k in (from_tick, to_tick))
        told = facts(journals[0], VoltageControlled, since_s=begun_s)
        return len({fact.epoch for fact in told if first < fact.epoch <= last})

    return log.result(spent / len(journals), changes)
