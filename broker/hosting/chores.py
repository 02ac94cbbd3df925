"""What the supervisor of a host does beside keeping its processes: say that it lives, and move on.

A host moves on when a turn of its cell is over, and when it has another address than before: all of
its peers then end in good order, and begin again with what holds now.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from peercell.broker.hosting.pulse import BEAT_S, beat
from peercell.broker.processes.crew import State
from peercell.broker.processes.plan import PeerState

LOOK_S = 2.0
TURN_OVER, MOVED = "the turn is over", "the host has another address"


class Host(Protocol):
    """What these chores need of a supervisor."""

    @property
    def states(self) -> tuple[PeerState, ...]:
        """How its peers are doing."""
        ...

    def stop(self, reason: str) -> None:
        """End its work after this turn."""
        ...


class Pulse:
    """Writes every two seconds that the host lives.

    Parameters
    ----------
    supervisor : of the host
    folder : of the run
    """

    def __init__(self, supervisor: Host, folder: Path) -> None:
        self.next_s: float | None = 0.0
        self._supervisor = supervisor
        self._folder = folder

    def work(self, now_s: float) -> None:
        """See Chore.work."""
        if self.next_s is not None and now_s >= self.next_s:
            self.next_s = now_s + BEAT_S
            states = self._supervisor.states
            beat(self._folder, sum(each.state is State.UP for each in states), len(states))


class EndOfTurn:
    """Ends the work of a supervisor when a turn is over.

    Parameters
    ----------
    supervisor : of the host
    ends_s : host time in s
    """

    def __init__(self, supervisor: Host, ends_s: float) -> None:
        self.next_s: float | None = ends_s
        self._supervisor = supervisor

    def work(self, now_s: float) -> None:
        """See Chore.work."""
        if self.next_s is not None and now_s >= self.next_s:
            self.next_s = None
            self._supervisor.stop(TURN_OVER)


class Removal:
    """Ends the work of a supervisor when its host has another address than before.

    A host that has none at the moment, because its network is gone, is left alone.

    Parameters
    ----------
    supervisor : of the host
    address : as it was
    now : returns the address of the moment; "" for none
    """

    def __init__(self, supervisor: Host, address: str, now: Callable[[], str]) -> None:
        self.next_s: float | None = 0.0
        self._supervisor = supervisor
        self._address = address
        self._now = now

    def work(self, now_s: float) -> None:
        """See Chore.work."""
        if self.next_s is not None and now_s >= self.next_s:
            self.next_s = now_s + LOOK_S
            if self._now() not in ("", self._address):
                self.next_s = None
                self._supervisor.stop(MOVED)
