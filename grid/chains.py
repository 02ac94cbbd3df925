"""Which nodes need no product of their own, because they lie straight between two others.

Along a row of equal lines without injection the voltage falls in a straight line, whatever the
currents are. Most buses of a measured network are such joints of a cable: 700 of the 907 buses of
the European low-voltage feeder.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from peercell.grid.admittance import Complex, Index, Network, Real

# Of a voltage drop; what rounding leaves of a straight line is a thousand times less.
BEND_MAX = 1e-10


@dataclass(frozen=True)
class Chains:
    """V = V[first] + share (V[second] - V[first]) for every node; a `key` stands for itself.

    Attributes
    ----------
    keys : (keys,) nodes that are not active and lie on no line.
    first, second : (nodes,) where in the active nodes followed by the keys a node's ends stand.
    share : (nodes,) how far from the first to the second end.
    has_lines : False where every node is active or a key.
    """

    keys: Index
    first: Index
    second: Index
    share: Real
    has_lines: bool

    def everywhere(self, active: Complex, keys: Complex) -> Complex:
        """Return the voltage of all nodes from those at the active nodes and at the keys."""
        known = np.concatenate((active, keys), -1)
        start = known.take(self.first, -1)
        if self.has_lines:
            way = known.take(self.second, -1)
            way -= start
            way *= self.share
            start += way
        return start


def chains(network: Network, active: Index, answers: Complex) -> Chains:
    """Return the straight lines of a network.

    Parameters
    ----------
    network : nodes and links.
    active : nodes where power may be injected.
    answers : (nodes, currents) what each node's voltage is per unit of each current.
    """
    phases, nodes = network.phases, len(network.labels)
    size = np.abs(answers).max(axis=0, initial=0.0)
    rows = (answers / np.where(size > 0.0, size, 1.0)).reshape(nodes // phases, -1)
    neighbours = _neighbours(network)
    held = set((np.concatenate([active, network.fixed]) // phases).tolist())
    inner = {
        vertex
        for vertex, ends in neighbours.items()
        if len(ends) == 2
        and vertex not in held
        and _bend(rows, ends[0], vertex, ends[1]) < BEND_MAX
    }
    first = np.arange(nodes // phases)
    second, share = first.copy(), np.zeros(nodes // phases)
    for line in _lines(neighbours, inner):
        ends = rows[line[0]], rows[line[-1]]
        for vertex in line[1:-1]:
            way = _share(*ends, rows[vertex])
            if _distance(*ends, rows[vertex], way) < BEND_MAX:
                first[vertex], second[vertex], share[vertex] = line[0], line[-1], way
    by_node = [np.repeat(part, phases) * phases for part in (first, second)]
    steps = np.tile(np.arange(phases), nodes // phases)
    is_key = np.repeat(first == np.arange(first.size), phases)
    is_key[active] = False
    keys = np.flatnonzero(is_key)
    place = np.zeros(nodes, np.int64)
    place[np.concatenate([active, keys])] = np.arange(active.size + keys.size)
    return Chains(
        keys=keys,
        first=place[by_node[0] + steps],
        second=place[by_node[1] + steps],
        share=np.repeat(share, phases),
        has_lines=bool(share.any()),
    )


def _neighbours(network: Network) -> dict[int, list[int]]:
    """Return the vertices that each vertex is linked to, once for each link."""
    found = defaultdict(list)
    for start, end in (network.terminals[[0, network.phases]] // network.phases).T.tolist():
        found[start].append(end)
        found[end].append(start)
    return found


def _lines(neighbours: dict[int, list[int]], inner: set[int]) -> list[list[int]]:
    """Return the rows of inner vertices with the two others that they end at."""
    lines, left = [], set(inner)
    for start, around in neighbours.items():
        for beside in () if start in inner else around:
            line = [start]
            vertex = beside
            while vertex in left:
                left.remove(vertex)
                line.append(vertex)
                vertex = next((v for v in neighbours[vertex] if v != line[-2]), line[-2])
            if len(line) > 1:
                lines.append([*line, vertex])
    return lines


def _share(start: Complex, end: Complex, between: Complex) -> float:
    """Return how far from start to end the point nearest to `between` lies."""
    way = end - start
    length = np.vdot(way, way).real
    return float(np.vdot(way, between - start).real / length) if length > 0.0 else 0.0


def _distance(start: Complex, end: Complex, between: Complex, share: float) -> float:
    return float(np.abs(start + share * (end - start) - between).max())


def _bend(rows: Complex, start: int, vertex: int, end: int) -> float:
    """Return how far a vertex lies off the straight line between its two neighbours."""
    ends = rows[start], rows[end]
    return _distance(*ends, rows[vertex], _share(*ends, rows[vertex]))
