"""Which buses are one, which branches conduct, and which buses have no source.

Closed bus-to-bus switches fuse buses into one *vertex*. A branch that is open at one end keeps its
charging: its free end becomes a vertex of its own. What no source reaches is dead, with its cause.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec import Struct

from peercell.grid.errors import NoSourceError, UnknownElementError
from peercell.grid.model import Branch, Cell, Source, Switch, Transformer
from peercell.grid.nearest import unknown


class Switching(Struct, frozen=True, kw_only=True):
    """What differs from the cell file: switch states, tap positions, elements out of service."""

    closed: Mapping[str, bool] = {}
    taps: Mapping[str, int] = {}
    outages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Link:
    """A live branch or transformer between two vertices; `from_vertex` is the high-voltage side."""

    element: Branch | Transformer
    from_vertex: int
    to_vertex: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The live part of a cell as a graph.

    Attributes
    ----------
    vertex_kv : nominal voltage of each vertex.
    vertex_label : a bus id of each vertex, or the branch whose free end it is.
    vertex_of_bus : vertex of each live bus.
    links : conducting elements between live vertices.
    sources : sources with their vertex.
    dead : for each bus without a source, why.
    """

    vertex_kv: tuple[float, ...]
    vertex_label: tuple[str, ...]
    vertex_of_bus: Mapping[str, int]
    links: tuple[Link, ...]
    sources: tuple[tuple[Source, int], ...]
    dead: Mapping[str, str]


class UnionFind:
    """Disjoint sets of the integers 0 … n - 1."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        """Return the representative of the set that holds an item."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, first: int, second: int) -> None:
        """Make two sets one; the smaller representative stays, so the result has no order."""
        low, high = sorted((self.find(first), self.find(second)))
        self._parent[high] = low

    def add(self) -> int:
        """Add one more integer as a set of its own and return it."""
        self._parent.append(len(self._parent))
        return len(self._parent) - 1


def topology(cell: Cell, switching: Switching | None = None) -> Topology:
    """Return the live graph of a cell under a switching.

    Raises
    ------
    UnknownElementError : the switching names an element that the cell does not have.
    NoSourceError : no source is connected to any bus.
    """
    switching = switching or Switching()
    _check_names(cell, switching)
    return _Builder(cell, switching).build()


def _check_names(cell: Cell, switching: Switching) -> None:
    transformers = {transformer.id: transformer for transformer in cell.transformers}
    for name in switching.closed:
        if name not in {switch.id for switch in cell.switches}:
            raise unknown("switch", name, (switch.id for switch in cell.switches))
    for name, position in switching.taps.items():
        if name not in transformers:
            raise unknown("transformer", name, transformers)
        positions = [tap.position for tap in transformers[name].taps]
        if position not in positions:
            raise UnknownElementError(
                f'transformer "{name}" has no tap position {position}',
                f"it has {positions[0]} to {positions[-1]}",
            )
    elements = {element.id for element, _ in two_ended(cell)}
    for name in switching.outages:
        if name not in elements:
            raise unknown("branch", name, elements)


class _Builder:
    """One pass over a cell; the steps are in the order of `build`."""

    def __init__(self, cell: Cell, switching: Switching) -> None:
        self.cell = cell
        self.switching = switching
        self.index = {bus.id: position for position, bus in enumerate(cell.buses)}
        self.sets = UnionFind(len(cell.buses))
        self.labels = [bus.id for bus in cell.buses]
        self.kv = [bus.kv for bus in cell.buses]

    def build(self) -> Topology:
        self._fuse()
        links = list(self._links())
        live = self._live(links)
        roots = sorted({self.sets.find(item) for item in range(len(self.labels))} & live)
        number = {root: position for position, root in enumerate(roots)}
        vertex = {
            bus: number[self.sets.find(position)]
            for bus, position in self.index.items()
            if self.sets.find(position) in live
        }
        return Topology(
            vertex_kv=tuple(self.kv[root] for root in roots),
            vertex_label=tuple(self.labels[root] for root in roots),
            vertex_of_bus=vertex,
            links=tuple(
                Link(element, number[first], number[second])
                for element, first, second in links
                if first in live
            ),
            sources=tuple((source, vertex[source.bus]) for source in self.cell.sources),
            dead=self._dead(live),
        )

    def _is_closed(self, switch: Switch) -> bool:
        return self.switching.closed.get(switch.id, switch.closed)

    def _in_service(self, element: Branch | Transformer) -> bool:
        return element.in_service and element.id not in self.switching.outages

    def _fuse(self) -> None:
        for switch in self.cell.switches:
            if switch.other_bus is not None and self._is_closed(switch):
                self.sets.join(self.index[switch.bus], self.index[switch.other_bus])

    def _links(self) -> Iterable[tuple[Branch | Transformer, int, int]]:
        """Yield the conducting elements with their end sets; an open end gets a set of its own."""
        open_ends = {
            (switch.branch, switch.bus)
            for switch in self.cell.switches
            if switch.branch is not None and not self._is_closed(switch)
        }
        for element, buses in two_ended(self.cell):
            is_open = [(element.id, bus) in open_ends for bus in buses]
            if not self._in_service(element) or all(is_open):
                continue
            ends = [self.sets.find(self.index[bus]) for bus in buses]
            for position, bus in enumerate(buses):
                if is_open[position]:
                    ends[position] = self._free_end(element, bus)
            yield element, ends[0], ends[1]

    def _free_end(self, element: Branch | Transformer, bus: str) -> int:
        self.labels.append(f"{element.id} (open end)")
        self.kv.append(self.kv[self.index[bus]])
        return self.sets.add()

    def _live(self, links: list[tuple[Branch | Transformer, int, int]]) -> set[int]:
        """Return the roots that a source reaches through the links."""
        islands = UnionFind(len(self.labels))
        for _, first, second in links:
            islands.join(first, second)
        fed = {islands.find(self.sets.find(self.index[source.bus])) for source in self.cell.sources}
        if not fed:
            raise NoSourceError(
                f'cell "{self.cell.name}" has no source',
                "no power can flow without a grid connection or a grid-forming unit",
                "add an entry to `sources`",
            )
        roots = {self.sets.find(item) for item in range(len(self.labels))}
        return {root for root in roots if islands.find(root) in fed}

    def _dead(self, live: set[int]) -> dict[str, str]:
        dead = {bus for bus, position in self.index.items() if self.sets.find(position) not in live}
        if not dead:
            return {}
        cuts = [*self._open_switches(dead), *self._outages(dead)]
        names = ", ".join(cuts) or "nothing that could be closed"
        return dict.fromkeys(sorted(dead), f"no source: cut off by {names}")

    def _open_switches(self, dead: set[str]) -> list[str]:
        """Return the open switches that stand between a dead bus and a live one."""
        ends = {element.id: buses for element, buses in two_ended(self.cell)}
        found = []
        for switch in self.cell.switches:
            buses = {switch.bus, switch.other_bus} if switch.branch is None else ends[switch.branch]
            if not self._is_closed(switch) and 0 < len(dead.intersection(buses)) < 2:
                found.append(f"open {switch.id}")
        return found

    def _outages(self, dead: set[str]) -> list[str]:
        return [
            f"{element.id} out of service"
            for element, buses in two_ended(self.cell)
            if not self._in_service(element) and 0 < len(dead.intersection(buses)) < 2
        ]


def two_ended(cell: Cell) -> Iterable[tuple[Branch | Transformer, tuple[str, str]]]:
    """Yield every two-ended element with its buses, the high-voltage side first."""
    for branch in cell.branches:
        yield branch, (branch.from_bus, branch.to_bus)
    for transformer in cell.transformers:
        yield transformer, (transformer.hv_bus, transformer.lv_bus)
