"""What couples two levels of control: a member of both, who tells each what it must know.

It stands where a low-voltage feeder hangs below the level above it (section III of the paper), and
takes part in the epochs of both. It has no meter and no device: what is to be kept, the others see.
"""

from msgspec import Struct

from peercell.agents.control.levels import OtherLevel, from_below, multiplier_of
from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.control.voltage_messages import Levels
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.protocol import Action, Event, Received


class CouplingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where two levels meet.

    Parameters
    ----------
    lower : as a member of the level below
    upper : as a member of the level above, placed where the level below begins
    """

    lower: VoltageSettings
    upper: VoltageSettings

    def __post_init__(self) -> None:
        if self.lower.name != self.upper.name:
            raise ValueError(f"one agent, and two names: {self.lower.name}, {self.upper.name}")
        if self.lower.rhythm.tick_s != self.upper.rhythm.tick_s:
            raise ValueError("both levels need ticks of one length")
        if set(self.lower.members) & set(self.upper.members) != {self.lower.name}:
            raise ValueError("nobody but the coupling agent belongs to two levels")


class Coupling:
    """An agent between two levels of control; see `Role`."""

    def __init__(self, settings: CouplingSettings) -> None:
        self.settings = settings
        self.lower = VoltageDual(settings.lower, self._above)
        self.upper = VoltageDual(settings.upper, self._below)

    @property
    def knows_all(self) -> bool:
        """True when the places of all members of both levels are known."""
        return self.lower.circle.knows_all and self.upper.circle.knows_all

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step; one timer serves both levels."""
        halves = [self.lower, self.upper]
        if isinstance(event, Received):
            halves = [half for half in halves if event.sender in half.circle.number]
        return [action for half in halves for action in half.step(event, now_s)]

    def _above(self) -> OtherLevel:
        """Return what the level above is to the one below: a price for all of it."""
        return OtherLevel(Levels(*self.upper.price))

    def _below(self) -> OtherLevel:
        """Return what the level below is to the one above: one place."""
        multiplier = multiplier_of(self.lower.prices, self.lower.levels)
        return from_below(self.lower.stated(), multiplier)
