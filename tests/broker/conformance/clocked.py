"""A role that asks the clock of the machine, bound by name at import."""

import time
from pathlib import Path
from time import time as seconds  # noqa: TID251 - the flaw that is to be found

from docs.howto.my_agents import Meter

from peercell.agents.protocol import Action, Event


class Clocked(Meter):
    """Looks at its watch."""

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        late = seconds() < now_s or time.monotonic() < 0.0
        return [] if late else super().step(event, now_s)


class Reader(Meter):
    """Reads a file."""

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        with Path("/dev/null").open("rb") as file:
            return super().step(event, now_s) if not file.read() else []
