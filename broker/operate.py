"""How a command talks to the supervisor of a running cell; it loads nothing that peers need."""

import time
from pathlib import Path

from peercell.agents.errors import PeercellError
from peercell.agents.messages import Message
from peercell.broker.control import StopHost, ask
from peercell.broker.crew import State
from peercell.broker.home import CellHome
from peercell.broker.plan import CODEC, SUPERVISOR, PeersAnswer, PeersQuery, PeerState

ANSWER_S = 5.0


def peer_states(folder: Path, timeout_s: float = ANSWER_S) -> tuple[PeerState, ...]:
    """Return how the peers of a running cell are doing.

    Raises
    ------
    UnreachableError : no supervisor answers.
    """
    answer = _ask(folder, PeersQuery(), timeout_s=timeout_s)
    return answer.peers if isinstance(answer, PeersAnswer) else ()


def wait_until_up(folder: Path, timeout_s: float) -> tuple[PeerState, ...]:
    """Return the peers of a cell once all of them are up.

    Raises
    ------
    PeercellError : a peer was given up or stopped, or the time is over; it names the first one.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        states = peer_states(folder)
        waiting = [each for each in states if each.state is not State.UP]
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
        time.sleep(0.02)


def command_peer(folder: Path, peer: str, request: Message) -> None:
    """Let a supervisor stop or start a peer (`StopPeer`, `StartPeer`).

    Raises
    ------
    PeercellError : nobody answers, or there is no such peer.
    """
    _ask(folder, request, peer)


def stop_cell(folder: Path, timeout_s: float = 10.0) -> None:
    """End a cell and return when all of its processes have ended.

    Raises
    ------
    PeercellError : nobody answers, or it has not ended in time.
    """
    lock = CellHome(folder).lock
    _ask(folder, StopHost())
    deadline_s = time.monotonic() + timeout_s
    while lock.exists():
        if time.monotonic() > deadline_s:
            raise PeercellError(f'cell "{folder.name}" has not ended', f"{lock} is still there")
        time.sleep(0.02)


def _ask(
    folder: Path, request: Message, peer: str = SUPERVISOR, timeout_s: float = ANSWER_S
) -> Message:
    return ask(CellHome(folder).control(SUPERVISOR), peer, request, CODEC, timeout_s)
