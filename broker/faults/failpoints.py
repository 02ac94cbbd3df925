"""Where in its work a process can be made to end, so that its end is always at the worst moment."""

import os
import signal
from collections.abc import Callable

from peercell.broker.faults.kinds import Failpoint

Reach = Callable[[Failpoint], None]
"""Is told of each point that the work of a host comes to."""


def go_on(_point: Failpoint) -> None:
    """Go on, whatever the point."""


def end_at(point: Failpoint) -> Reach:
    """Return what ends this process, as a crash would, when it comes to a point."""

    def reach(here: Failpoint) -> None:
        if here is point:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach
