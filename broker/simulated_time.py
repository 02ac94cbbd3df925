"""What happens when on a virtual clock: one thing after the other, and nothing in between."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

from msgspec import Struct


class Call(Struct):
    """What to call and with what, and whose turn it is then."""

    turn: int
    action: Callable[..., None]
    given: tuple[Any, ...]


class Delivery(Struct, gc=False):
    """Something that is to be delivered, and to whom: in whose turn.

    It must lead to nothing that may lead back to it, since nobody looks for circles through it: a
    hundred thousand are under way at once, and to strike one off a list of all that is looked
    through takes as long as to deliver it.
    """

    turn: int


Deed = Call | Delivery


class SimulatedTime:
    """A clock that jumps to what is due next.

    What is due at one time is done turn by turn, and in a turn as it was asked for; what is asked
    for meanwhile for that same time comes after all of it. Each peer of a cell has its turn, so
    that what comes to it at one time comes together: to fetch the memory of one of ten thousand
    peers costs as much as the thought for which it is fetched.

    Parameters
    ----------
    begin_s : s, what the clock says first
    deliver : what to do with a delivery when its time has come; needed where something is `put`

    Attributes
    ----------
    now_s : s, virtual time
    """

    def __init__(self, begin_s: float = 0.0, deliver: Callable[[Any], None] | None = None) -> None:
        self.now_s = begin_s
        self._deliver = deliver
        # Times at which something is due, and what; and of the time that has come, the last first.
        self._times: list[float] = []
        self._due: dict[float, list[Deed]] = {}
        self._ready: list[Deed] = []
        self._ready_s = begin_s

    def at(self, at_s: float, action: Callable[..., None], *given: Any, turn: int = -1) -> None:
        """Do something with what is given, at a time."""
        self.put(at_s, Call(turn, action, given))

    def put(self, at_s: float, deed: Deed) -> None:
        """Do or deliver something at a time."""
        others = self._due.get(at_s)
        if others is None:
            self._due[at_s] = [deed]
            heappush(self._times, at_s)
        else:
            others.append(deed)

    def do(self, deed: Deed) -> None:
        """Do or deliver something now."""
        if isinstance(deed, Call):
            deed.action(*deed.given)
        elif self._deliver is None:
            raise TypeError(f"nobody delivers {deed}")
        else:
            self._deliver(deed)

    def run(self, until_s: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run up to a time, or until a condition holds after a deed; return whether it does.

        The clock then says when the last thing was done.
        """
        with uncollected():
            while self._come(until_s):
                self.now_s, ready = self._ready_s, self._ready
                while ready:
                    self.do(ready.pop())
                    if done():
                        return True
        return done()

    def run_next(self) -> bool:
        """Do what is due next; return False when there is nothing left."""
        if not self._come(float("inf")):
            return False
        self.now_s = self._ready_s
        self.do(self._ready.pop())
        return True

    def _come(self, until_s: float) -> bool:
        """Make ready what is due next, if it is due by a time; return whether it is."""
        if self._ready:
            return self._ready_s <= until_s
        if not self._times or self._times[0] > until_s:
            return False
        self._ready_s = heappop(self._times)
        self._ready = self._due.pop(self._ready_s)
        # As asked for within a turn, since sorting keeps the order of equals.
        self._ready.sort(key=_turn)
        self._ready.reverse()
        return True


@contextmanager
def uncollected() -> Iterator[None]:
    """Let nobody look for circles of memory meanwhile.

    What is under way in a simulation is many small tuples in no circle: to look for circles among
    them over and over would cost more than all else in a large cell.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


_turn = attrgetter("turn")
