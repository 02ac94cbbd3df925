"""Which way is up: the live graph of a cell, oriented away from its sources."""

from collections import Counter, defaultdict, deque

from peercell.grid.check import LOW_VOLTAGE_KV_MAX
from peercell.grid.model import Branch, BranchKind, Cell, Level, Transformer
from peercell.grid.topology import Link, Topology, UnionFind

Group = frozenset[int]


class Hierarchy:
    """The live graph of a cell, oriented away from its sources.

    Attributes
    ----------
    order : all vertices, each after its parent.
    parent : next vertex on a shortest way to the source; absent for the sources.
    rank : position in `order`; of two ends of a link, the lower one has the higher rank.
    depth : number of transformers on the way to the source.
    customers : number of customers at a vertex.
    below : number of customers at a vertex and under it.
    """

    def __init__(self, cell: Cell, network: Topology) -> None:
        self.network = network
        self.vertex = network.vertex_of_bus
        self.parent: dict[int, int] = {}
        self.depth: dict[int, int] = {}
        self.order = self._walk()
        self.rank = {vertex: position for position, vertex in enumerate(self.order)}
        live = (customer.bus for customer in cell.customers if customer.bus in self.vertex)
        self.customers = Counter(self.vertex[bus] for bus in live)
        self.below = Counter(self.customers)
        for vertex in reversed(self.order):
            if vertex in self.parent:
                self.below[self.parent[vertex]] += self.below[vertex]

    def _walk(self) -> list[int]:
        """Walk breadth first from the sources of the highest voltage, then from what is left.

        A grid-forming unit deep in the network therefore does not turn the hierarchy around.
        """
        neighbours: dict[int, list[tuple[int, bool]]] = defaultdict(list)
        for link in self.network.links:
            crosses = isinstance(link.element, Transformer)
            neighbours[link.from_vertex].append((link.to_vertex, crosses))
            neighbours[link.to_vertex].append((link.from_vertex, crosses))
        order: list[int] = []
        kv = self.network.vertex_kv
        for source in sorted(self.sources, key=lambda vertex: (-kv[vertex], vertex)):
            if source in self.depth:
                continue
            self.depth[source] = 0
            queue = deque([source])
            while queue:
                vertex = queue.popleft()
                order.append(vertex)
                for other, crosses in neighbours[vertex]:
                    if other not in self.depth:
                        self.depth[other] = self.depth[vertex] + crosses
                        self.parent[other] = vertex
                        queue.append(other)
        return order

    @property
    def sources(self) -> Group:
        """Vertices with a source."""
        return frozenset(vertex for _, vertex in self.network.sources)

    def ends(self, link: Link) -> tuple[int, int]:
        """Return the upper and the lower end of a link."""
        first, second = sorted((link.from_vertex, link.to_vertex), key=self.rank.__getitem__)
        return first, second

    def pieces(self, vertices: Group, without: Link | None = None) -> list[Group]:
        """Return the parts of a set of vertices that hang together without a transformer."""
        sets = UnionFind(len(self.order))
        for link in self.network.links:
            inside = link.from_vertex in vertices and link.to_vertex in vertices
            if inside and link is not without and isinstance(link.element, Branch):
                sets.join(link.from_vertex, link.to_vertex)
        found: dict[int, set[int]] = defaultdict(set)
        for vertex in vertices:
            found[sets.find(vertex)].add(vertex)
        return [frozenset(found[root]) for root in sorted(found)]

    def feeding(self, zone: Group) -> list[Link]:
        """Return the transformers through which a voltage zone is fed from above."""
        depth = min(self.depth[vertex] for vertex in zone)
        return [
            link
            for link in self.network.links
            if isinstance(link.element, Transformer)
            for upper, lower in [self.ends(link)]
            if lower in zone and upper not in zone and self.depth[upper] < depth
        ]

    def busbar(self, zone: Group) -> Group:
        """Return where a voltage zone is fed, and what switches alone join to it."""
        heads = {self.ends(link)[1] for link in self.feeding(zone)} or self.sources & zone
        sets = UnionFind(len(self.order))
        for link in self.network.links:
            if isinstance(link.element, Branch) and link.element.kind is BranchKind.SWITCH:
                sets.join(link.from_vertex, link.to_vertex)
        roots = {sets.find(head) for head in heads}
        return frozenset(vertex for vertex in zone if sets.find(vertex) in roots)

    def kv(self, group: Group) -> float:
        """Highest nominal voltage of a group."""
        return max(self.network.vertex_kv[vertex] for vertex in group)

    def level(self, group: Group) -> Level:
        """Voltage level of a group."""
        return Level.LV if self.kv(group) < LOW_VOLTAGE_KV_MAX else Level.MV

    def reach(self, group: Group) -> int:
        """Return the number of customers in a group and under it."""
        tops = (vertex for vertex in group if self.parent.get(vertex) not in group)
        return sum(self.below[vertex] for vertex in tops)

    def under(self, top: int) -> Group:
        """Return a vertex and what hangs under it."""
        found = {top}
        for vertex in self.order[self.rank[top] :]:
            if self.parent.get(vertex) in found:
                found.add(vertex)
        return frozenset(found)
