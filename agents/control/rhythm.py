"""When do agents speak together? Epochs of a few ticks, by clocks that agree to within a few."""

import math
from typing import Annotated

from msgspec import Meta, Struct

Ticks = Annotated[int, Meta(ge=1, le=10_000)]
TickS = Annotated[float, Meta(gt=0.0, le=3600.0)]

_STAMPS = 64


class Rhythm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ticks and epochs of voltage control.

    In an epoch, when all devices have had `guard_ticks` to follow the last prices, all state what
    they see; in the ticks that are left the statements reach somebody who then has them all, and
    its prices reach the others.

    Parameters
    ----------
    tick_s : s between two rounds of gossip; smaller is faster and costs messages
    epoch_ticks : ticks of an epoch; too few, and views stay incomplete
    guard_ticks : ticks before all speak: at least one more than clocks and links may be late
    """

    tick_s: TickS = 1.0
    epoch_ticks: Ticks
    guard_ticks: Ticks = 1

    @property
    def epoch_s(self) -> float:
        """Length of an epoch, s."""
        return self.tick_s * self.epoch_ticks

    def epoch(self, now_s: float) -> int:
        """Return the number of the epoch at a time."""
        return max(int(now_s // self.epoch_s), 0)

    def is_guarded(self, now_s: float) -> bool:
        """Return whether it is too early in an epoch to speak."""
        tick = (now_s - self.epoch(now_s) * self.epoch_s) / self.tick_s
        return tick < self.guard_ticks - 0.5


def rhythm_for(members: int, tick_s: float = 1.0, late_ticks: int = 0) -> Rhythm:
    """Return the rhythm for a number of members.

    Parameters
    ----------
    members : how many gossip; news reaches all in about 1.5 log2 of them, with 30 % loss
    tick_s : s of a tick
    late_ticks : ticks by which clocks and messages may be late
    """
    news = math.ceil(1.5 * math.log2(max(members, 2)))
    return Rhythm(tick_s=tick_s, epoch_ticks=news + 2 + 2 * late_ticks, guard_ticks=1 + late_ticks)


def stamp_of(epoch: int, count: int) -> int:
    """Return the version of a statement: the epoch, and how often it was made again in it."""
    return epoch * _STAMPS + min(count, _STAMPS - 1)


def epoch_of(stamp: int) -> int:
    """Return the epoch of a statement's version."""
    return stamp // _STAMPS
