"""What time it is: Unix seconds that never run backwards within a process."""

import time
from collections.abc import Callable

Clock = Callable[[], float]


def steady_clock() -> Clock:
    """Return a clock of Unix seconds that is set once, now, and from then on counts evenly.

    Processes of one machine agree to what the system clock was corrected by between their starts.
    """
    offset_s = time.time() - time.monotonic()  # noqa: TID251 - this is the clock of the hosts
    return lambda: offset_s + time.monotonic()
