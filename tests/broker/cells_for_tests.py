"""Cells of real processes on loopback, each of them gone when its test is over."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from tests.broker.roles_for_tests import BeatMessage, BeatSettings, Counts, CountsQuery

from peercell.agents.errors import PeercellError
from peercell.agents.membership_messages import MembershipMessage
from peercell.agents.messages import Message
from peercell.agents.observer import ObserverMessage
from peercell.broker.operator_port import HostMessage, HostStatus, StatusQuery, ask
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.processes.launch import launch
from peercell.broker.processes.operate import peer_states, stop_cell, wait_until_up
from peercell.broker.processes.plan import PeerState, Plan
from peercell.broker.wire import Codec

UP_S = 30.0
CODEC = Codec(BeatMessage, HostMessage, MembershipMessage, ObserverMessage)


class Cell:
    """A running cell, as a test talks to it."""

    def __init__(self, folder: Path, supervisor: int) -> None:
        self.folder = folder
        self.supervisor = supervisor
        self.pids = {supervisor}

    def states(self) -> dict[str, PeerState]:
        """Return how each peer is doing, and remember all processes that there ever were."""
        states = {state.peer: state for state in peer_states(self.folder)}
        self.pids |= {state.pid for state in states.values() if state.pid}
        return states

    def ask(self, peer: str, request: Message, timeout_s: float = 5.0) -> Message:
        """Return what a peer, or its host, answers."""
        return ask(self.states()[peer].control, peer, request, CODEC, timeout_s)

    def counts(self, peer: str) -> Counts:
        """Return what a heart has heard; nothing while it does not answer."""
        with contextlib.suppress(PeercellError):
            answer = self.ask(peer, CountsQuery())
            assert isinstance(answer, Counts)
            return answer
        return Counts({}, {})

    def status(self, peer: str) -> HostStatus:
        """Return the counts of a peer and its host."""
        answer = self.ask(peer, StatusQuery())
        assert isinstance(answer, HostStatus)
        return answer

    def kill(self, peer: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process of a peer."""
        os.kill(self.states()[peer].pid, number)


def spec(peer: str, settings: BeatSettings, seed: int = 1) -> PeerSpec:
    """Return the specification of a heart."""
    return PeerSpec(
        peer=peer,
        role="heart",
        factory="tests.broker.roles_for_tests:heart",
        settings=msgspec.json.encode(settings),
        seed=seed,
    )


def ring(count: int, every_s: float = 0.05) -> tuple[PeerSpec, ...]:
    """Return so many hearts, each of which sends to its two neighbours."""
    names = [f"p{number}" for number in range(count)]
    return tuple(
        spec(name, BeatSettings((names[at - 1], names[(at + 1) % count]), every_s), at)
        for at, name in enumerate(names)
    )


def plan(folder: Path, peers: tuple[PeerSpec, ...], pack: int = 1, keys: str = "") -> Plan:
    """Return the plan of a cell in a folder; `keys` is the folder of its keys."""
    return Plan(
        cell=folder.name,
        folder=str(folder),
        config="a test",
        peers=peers,
        unions=("tests.broker.roles_for_tests:BeatMessage",),
        pack=pack,
        keys=keys,
    )


@contextmanager
def cell(
    folder: Path, peers: tuple[PeerSpec, ...], pack: int = 1, keys: str = ""
) -> Iterator[Cell]:
    """Run a cell until the test is over; none of its processes may be left then."""
    supervisor = launch(plan(folder, peers, pack, keys))
    running = Cell(folder, supervisor)
    try:
        wait_until_up(folder, UP_S)
        running.states()
        yield running
    finally:
        if is_there(supervisor):
            running.states()
            stop_cell(folder)
        eventually(lambda: not any(map(is_there, running.pids)), "processes are left behind")


def is_there(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def eventually(done: Callable[[], bool], otherwise: str, within_s: float = 20.0) -> float:
    """Wait until something holds and return how long it took; fail when it never does."""
    started_s = time.monotonic()
    while not done():
        assert time.monotonic() - started_s < within_s, otherwise
        time.sleep(0.01)
    return time.monotonic() - started_s


def lock_of(folder: Path) -> dict[str, object]:
    """Return the content of a cell's lock."""
    content: dict[str, object] = json.loads((folder / "cell.lock").read_text())
    return content
