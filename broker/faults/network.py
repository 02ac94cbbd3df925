"""What a simulated network does to all messages, from its beginning to its end."""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.units import Fraction
from peercell.broker.faults.fate import Active
from peercell.broker.faults.kinds import Delay, Duplicate, LinkFault, Loss

DelayS = Annotated[float, Meta(ge=0.0, le=1e6)]


class LinkFaults(Struct, frozen=True):
    """What the network does to messages; the default is a good local one.

    Parameters
    ----------
    drop : share of the messages that are lost
    duplicate : share of the messages that arrive twice
    delay_s_min, delay_s_max : s, each message takes a time between; a spread reorders messages
    """

    drop: Fraction = 0.0
    duplicate: Fraction = 0.0
    delay_s_min: DelayS = 0.5
    delay_s_max: DelayS = 0.5

    @property
    def steady_s(self) -> float:
        """How long each message takes, where all take as long; 0 where that is by chance."""
        return self.delay_s_min if self.delay_s_min == self.delay_s_max else 0.0

    def active(self, seed: int) -> tuple[Active, ...]:
        """Return the same as faults on all links, but for a steady delay."""
        low, high = self.delay_s_min, self.delay_s_max
        faults: list[LinkFault] = []
        if self.drop:
            faults.append(Loss(share=self.drop))
        if self.duplicate:
            faults.append(Duplicate(share=self.duplicate))
        if low != high:
            faults.append(Delay(delay_s=(low + high) / 2.0, jitter_s=(high - low) / 2.0))
        return tuple(Active(fault, seed) for fault in faults)
