"""How a command talks to the supervisor of a running cell; it loads nothing that peers need."""

import time
from collections.abc import Callable, Collection
from pathlib import Path

from peercell.agents.errors import PeercellError
from peercell.agents.messages import Message
from peercell.broker.home import CellHome
from peercell.broker.operator_port import StopHost, UnreachableError, ask
from peercell.broker.processes.crew import State
from peercell.broker.processes.plan import (
    CODEC,
    SUPERVISOR,
    PeersAnswer,
    PeersQuery,
    PeerState,
    StartPeer,
    StopPeer,
)
from peercell.broker.processes.running import is_held

ANSWER_S = 5.0
POLL_S = 0.02


def peer_states(folder: Path, timeout_s: float = ANSWER_S) -> tuple[PeerState, ...]:
    """Return how the peers of a running cell are doing.

    Raises
    ------
    UnreachableError : no supervisor answers.
    """
    answer = ask_supervisor(folder, PeersQuery(), timeout_s=timeout_s)
    return answer.peers if isinstance(answer, PeersAnswer) else ()


def wait_until_up(
    folder: Path,
    timeout_s: float,
    pause: Callable[[float], None] = time.sleep,
    matters: Callable[[PeerState], bool] = lambda _: True,
) -> tuple[PeerState, ...]:
    """Return the peers of a cell once all of them that matter are up.

    Parameters
    ----------
    folder : of the run
    timeout_s : s
    pause : waits so many s between two looks; may raise
    matters : says which peers to wait for

    Raises
    ------
    PeercellError : a peer was given up or stopped, or the time is over; it names the first one.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        states = _patient_states(folder, deadline_s, pause)
        waiting = [each for each in states if each.state is not State.UP and matters(each)]
        if not waiting:
            return states
        first = waiting[0]
        over = time.monotonic() > deadline_s
        if over or first.state in (State.FAILED, State.STOPPED):
            raise PeercellError(
                f"{first.peer} is {first.state}",
                first.reason or f"it was not up within {timeout_s:g} s",
                f"peercell logs {first.peer}",
            )
        pause(POLL_S)


def _patient_states(
    folder: Path, deadline_s: float, pause: Callable[[float], None]
) -> tuple[PeerState, ...]:
    """Return how the peers are doing, once a supervisor has time to say so that is there at all."""
    while True:
        try:
            return peer_states(folder)
        except UnreachableError:
            if time.monotonic() > deadline_s or not is_held(CellHome(folder).lock):
                raise
            pause(POLL_S)


def command_peer(folder: Path, peer: str, request: Message) -> None:
    """Let a supervisor stop or start a peer (`StopPeer`, `StartPeer`).

    Raises
    ------
    PeercellError : nobody answers, or there is no such peer.
    """
    ask_supervisor(folder, request, peer)


def restart_peers(folder: Path, peers: Collection[str], timeout_s: float) -> tuple[PeerState, ...]:
    """End the processes of peers in good order, start them again and return all that run in them.

    Peers that had been given up are started as well; peers that share a process share its restart.

    Raises
    ------
    PeercellError : nobody answers, or a process does not end or does not come up in time.
    """
    before = peer_states(folder)
    processes = {state.control: state.peer for state in before if state.peer in peers}
    for peer in processes.values():
        command_peer(folder, peer, StopPeer())
    deadline_s = time.monotonic() + timeout_s
    while running := [s for s in peer_states(folder) if s.control in processes and s.pid]:
        if time.monotonic() > deadline_s:
            raise PeercellError(
                f"{running[0].peer} does not end", f"it is process {running[0].pid}"
            )
        time.sleep(POLL_S)
    for peer in processes.values():
        command_peer(folder, peer, StartPeer())
    after = wait_until_up(folder, timeout_s, matters=lambda state: state.control in processes)
    return tuple(state for state in after if state.control in processes)


def stop_cell(folder: Path, timeout_s: float = 10.0) -> None:
    """End a cell and return when all of its processes have ended.

    Raises
    ------
    PeercellError : nobody answers, or it has not ended in time.
    """
    lock = CellHome(folder).lock
    ask_supervisor(folder, StopHost())
    deadline_s = time.monotonic() + timeout_s
    while lock.exists():
        if time.monotonic() > deadline_s:
            raise PeercellError(f'cell "{folder.name}" has not ended', f"{lock} is still there")
        time.sleep(POLL_S)


def ask_supervisor(
    folder: Path, request: Message, peer: str = SUPERVISOR, timeout_s: float = ANSWER_S
) -> Message:
    """Return what the supervisor of a running cell answers to a request about a peer, or the cell.

    Raises
    ------
    UnreachableError : nobody answers.
    PeercellError : it refused, and why.
    """
    return ask(CellHome(folder).control(SUPERVISOR), peer, request, CODEC, timeout_s)
