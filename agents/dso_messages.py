"""What a DSO tells its operator and its observers: the operation plane's page of messages."""

from typing import Annotated

from msgspec import Meta

from peercell.agents.grid_parts import (
    ELEMENTS_MAX,
    BrokenLimit,
    Count,
    LocalTime,
    Reading,
    Stamp,
)
from peercell.agents.messages import Message
from peercell.agents.units import Counter


class DsoStatusQuery(Message, frozen=True):
    """Command: how does the cell stand? Answered by `DsoStatus`."""


class DsoStatus(Message, frozen=True):
    """How the cell stands.

    `ordered` is the simulated local time that the grid service was last set to; `stamp` and
    `reading` are what it reported last, None before the first report. Counted since the DSO
    started: changes of the set of broken limits, and refused requests.
    """

    interval: Counter | None
    ordered: LocalTime | None
    stamp: Stamp | None
    reading: Reading | None
    changes: Count = 0
    refusals: Count = 0


class LimitsChanged(Message, frozen=True):
    """Fact: other limits are broken than before, maybe none any more."""

    stamp: Stamp
    broken: Annotated[tuple[BrokenLimit, ...], Meta(max_length=ELEMENTS_MAX)]


class CellObserved(Message, frozen=True):
    """Fact: the state of the cell and its microgrids near the end of an interval."""

    interval: Counter
    stamp: Stamp
    reading: Reading


DsoFact = LimitsChanged | CellObserved
"""All that a DSO tells its observers."""
