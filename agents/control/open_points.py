"""Where a radial network is open, and which closed sections could be open in place of one."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.grid_parts import CHANGES_MAX, Name, SwitchPosition

SectionNames = Annotated[tuple[Name, ...], Meta(max_length=CHANGES_MAX)]


class Section(Struct, frozen=True, array_like=True):
    """What joins two places of a network: a line, a transformer, or a switch alone.

    Parameters
    ----------
    name : of the element
    first, second : its ends
    switches : what is opened to open it, and closed to close it; without any it stays closed
    """

    name: Name
    first: Name
    second: Name
    switches: Annotated[tuple[Name, ...], Meta(max_length=8)] = ()


def loop(
    sections: Collection[Section], opened: Collection[str], closing: str
) -> tuple[Section, ...]:
    """Return the closed sections that are in a loop once an open one is closed, in their order.

    Opening any one of them makes the network radial again.

    Parameters
    ----------
    sections : of a network that is radial and connected while `opened` are open
    opened : names of those that are open, `closing` among them
    closing : the one to be closed
    """
    tie = next(section for section in sections if section.name == closing)
    beside: dict[str, list[tuple[str, Section]]] = defaultdict(list)
    for section in sections:
        if section.name not in opened:
            beside[section.first].append((section.second, section))
            beside[section.second].append((section.first, section))
    came_by: dict[str, tuple[str, Section]] = {}
    queue = deque([tie.first])
    while queue and tie.second not in came_by:
        place = queue.popleft()
        for other, section in beside[place]:
            if other != tie.first and other not in came_by:
                came_by[other] = place, section
                queue.append(other)
    return tuple(_back(came_by, tie.second))[::-1]


def _back(came_by: dict[str, tuple[str, Section]], place: str) -> Iterator[Section]:
    """Yield the sections on the way back to where the search began."""
    while place in came_by:
        place, section = came_by[place]
        yield section


def positions(sections: Collection[Section], opened: Collection[str]) -> tuple[SwitchPosition, ...]:
    """Return where all switches stand while exactly these sections are open."""
    return tuple(
        SwitchPosition(switch, section.name not in opened)
        for section in sections
        for switch in section.switches
    )
