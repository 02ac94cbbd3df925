"""What happens when on a virtual clock: one thing after the other, and nothing in between."""

import gc
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class SimulatedTime:
    """A clock that jumps to what is due next; what is due at one time is done as it was asked for.

    Parameters
    ----------
    begin_s : s, what the clock says first

    Attributes
    ----------
    now_s : s, virtual time
    asked : number of the last thing that was asked for, from 1
    """

    def __init__(self, begin_s: float = 0.0) -> None:
        self.now_s = begin_s
        self.asked = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, at_s: float, action: Callable[..., None], *given: Any) -> int:
        """Do something with what is given, at a time; return the number of this wish."""
        self.asked += 1
        heappush(self._queue, (at_s, self.asked, action, given))
        return self.asked

    def run(self, until_s: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run up to a time, or until a condition holds after a deed; return whether it does.

        The clock then says when the last thing was done.
        """
        queue = self._queue
        # What is under way is many small tuples in no circle: to look for circles among them over
        # and over would cost more than all else in a large cell.
        collects = gc.isenabled()
        gc.disable()
        try:
            while queue and queue[0][0] <= until_s:
                self.now_s, _, action, given = heappop(queue)
                action(*given)
                if done():
                    return True
        finally:
            if collects:
                gc.enable()
        return done()

    def run_next(self) -> bool:
        """Do what is due next; return False when there is nothing left."""
        if not self._queue:
            return False
        self.now_s, _, action, given = heappop(self._queue)
        action(*given)
        return True
