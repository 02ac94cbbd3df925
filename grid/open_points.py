"""Where a cell is open, and what could be open instead: its sections as agents know them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from msgspec import Struct

from peercell.agents.control.open_points import Section, loop
from peercell.grid.errors import NoOpenPointError
from peercell.grid.model import Cell
from peercell.grid.topology import UnionFind, two_ended


class OpenPoints(Struct, frozen=True):
    """A cell as a network that is radial and connected while `opened` are open.

    Parameters
    ----------
    sections : what joins two places and is closed, or could be closed to form a loop
    opened : names of those that are open
    """

    sections: tuple[Section, ...]
    opened: tuple[str, ...]


def open_points(cell: Cell) -> OpenPoints:
    """Return the open points of a cell as its file says them.

    All sources are one place, as are the buses of loops that are closed today, such as two
    transformers side by side: what is meshed stays meshed. A closed section without a switch stays
    closed. What no source reaches is left out.

    Raises
    ------
    NoOpenPointError : nothing is open that would close a loop.
    """
    is_closed = {switch.id: switch.closed for switch in cell.switches}
    found = tuple(_sections(cell))
    opened = {s.name for s in found if not all(is_closed[switch] for switch in s.switches)}
    place = _places(cell, [section for section in found if section.name not in opened])
    sections = []
    for section in found:
        first, second = place.get(section.first), place.get(section.second)
        if first is None or second is None or first == second:
            continue
        switches = section.switches[:1]
        if section.name in opened:
            switches = tuple(switch for switch in section.switches if not is_closed[switch])
        sections.append(Section(section.name, first, second, switches))
    points = tuple(section.name for section in sections if section.name in opened)
    if not points:
        raise NoOpenPointError(
            f'cell "{cell.name}" has no open point',
            "closing none of its switches would form a loop, so it cannot be fed in another way",
            "peercell control reconfigure case33",
        )
    return OpenPoints(tuple(sections), points)


def _sections(cell: Cell) -> Iterator[Section]:
    """Yield all that is in service, with all switches in its way; the sources are one place."""
    source = {source.bus: cell.sources[0].bus for source in cell.sources}
    at: dict[str, list[str]] = defaultdict(list)
    for switch in cell.switches:
        at[switch.branch or switch.id].append(switch.id)
    ends = [(element.id, pair) for element, pair in two_ended(cell) if element.in_service]
    ends += [(s.id, (s.bus, s.other_bus)) for s in cell.switches if s.other_bus is not None]
    for name, (first, second) in ends:
        yield Section(name, source.get(first, first), source.get(second, second), tuple(at[name]))


def _places(cell: Cell, closed: Sequence[Section]) -> dict[str, str]:
    """Return the place of each bus that a source reaches; the buses of a closed loop share one."""
    number = {bus.id: position for position, bus in enumerate(cell.buses)}
    fed, merged = UnionFind(len(number)), UnionFind(len(number))
    tree: list[Section] = []
    beside: list[Section] = []
    for section in closed:
        first, second = number[section.first], number[section.second]
        (beside if fed.find(first) == fed.find(second) else tree).append(section)
        fed.join(first, second)
    for section in beside:
        for part in loop([*tree, section], {section.name}, section.name):
            merged.join(number[part.first], number[part.second])
    source = fed.find(number[cell.sources[0].bus])
    return {
        bus: cell.buses[merged.find(position)].id
        for bus, position in number.items()
        if fed.find(position) == source
    }
