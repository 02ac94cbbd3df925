"""When a cell that is lived again and again begins: a time that separate hosts agree on unasked.

A turn is one pass through the intervals of the config. Turns follow each other from 1970 on without
a gap, so that a host that starts or comes back, wherever and whenever, knows from its clock alone
which turn it joins, and at which interval.
"""

from math import ceil
from typing import NamedTuple

from peercell.broker.config import Clock
from peercell.broker.plans.live import lead_s


class Turn(NamedTuple):
    """One pass through the intervals of a cell, host times in s.

    Parameters
    ----------
    begins_s : peers are started
    origin_s : the delivery of the first interval begins
    ends_s : the last interval has been delivered, and the next turn begins
    """

    begins_s: float
    origin_s: float
    ends_s: float


def turn_at(clock: Clock, peers: int, now_s: float) -> Turn:
    """Return the turn that a host time belongs to.

    Parameters
    ----------
    clock : of the config
    peers : how many the whole cell has; they need a moment to start
    now_s : s, host time
    """
    interval_s = clock.interval_s / clock.speed
    # Whole seconds, so that no host rounds another way.
    ahead_s = ceil(lead_s(peers) + interval_s)
    length_s = ceil(ahead_s + clock.intervals * interval_s)
    begins_s = now_s // length_s * length_s
    return Turn(begins_s, begins_s + ahead_s, begins_s + length_s)
