"""Where to draw the buses of a cell: at their coordinates, or as a tree below the source."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping

from peercell.grid.model import Cell

Place = tuple[float, float]

# Share of the map's height between a station and the bus above it.
_LIFT = 0.18


def places(cell: Cell) -> Mapping[str, Place]:
    """Return where each bus stands, x to the right and y upwards, in any unit.

    The cell's coordinates count only where every bus has them; a drawing of half a map and half a
    tree means nothing.
    """
    if not has_coordinates(cell):
        return _tree(cell)
    return _lift_stations(cell, {bus.id: (bus.x or 0.0, bus.y or 0.0) for bus in cell.buses})


def has_coordinates(cell: Cell) -> bool:
    """Return whether every bus of a cell has coordinates."""
    return all(bus.x is not None and bus.y is not None for bus in cell.buses)


def _lift_stations(cell: Cell, found: dict[str, Place]) -> Mapping[str, Place]:
    """Put a bus that only feeds a transformer above it where its own place is another bus's.

    Low-voltage data give the medium-voltage bus of their station the place of some house.
    """
    height = max(y for _, y in found.values()) - min(y for _, y in found.values())
    taken = Counter(found.values())
    degree = Counter(bus for _, *ends, _ in connections(cell) for bus in ends)
    for unit in cell.transformers:
        if taken[found[unit.hv_bus]] > 1 and degree[unit.hv_bus] == 1:
            x, y = found[unit.lv_bus]
            found[unit.hv_bus] = (x, y + _LIFT * (height or 1.0))
    return found


def connections(cell: Cell) -> Iterator[tuple[str, str, str, bool]]:
    """Yield (element, bus, other bus, conducts) for all that joins two buses."""
    opened = {switch.branch for switch in cell.switches if switch.branch and not switch.closed}
    for branch in cell.branches:
        closed = branch.in_service and branch.id not in opened
        yield branch.id, branch.from_bus, branch.to_bus, closed
    for unit in cell.transformers:
        closed = unit.in_service and unit.id not in opened
        yield unit.id, unit.hv_bus, unit.lv_bus, closed
    for switch in cell.switches:
        if switch.other_bus is not None:
            yield switch.id, switch.bus, switch.other_bus, switch.closed


def distances(cell: Cell) -> tuple[Mapping[str, float], str]:
    """Return how far each bus is from the source along the feeder, and in what.

    In km where every line has a length, transformers and switches being no way at all; otherwise in
    branches. What no source reaches is left out.
    """
    lengths = {branch.id: branch.length_km for branch in cell.branches}
    in_km = all(length is not None for length in lengths.values())
    steps = defaultdict(list)
    for element, first, second, conducts in connections(cell):
        if conducts:
            step = (lengths.get(element) or 0.0) if in_km else 1.0
            steps[first].append((second, step))
            steps[second].append((first, step))
    found = {source.bus: 0.0 for source in cell.sources}
    queue = deque(found)
    while queue:
        bus = queue.popleft()
        for other, step in steps[bus]:
            if other not in found:
                found[other] = found[bus] + step
                queue.append(other)
    return found, "km" if in_km else "branches"


def _tree(cell: Cell) -> Mapping[str, Place]:
    """Return a tree from left to right: x is the hops from the source, y the order of the leaves.

    What no source reaches follows below, as trees of its own.
    """
    neighbours = defaultdict(list)
    for _, first, second, conducts in connections(cell):
        if conducts:
            neighbours[first].append(second)
            neighbours[second].append(first)
    depth: dict[str, int] = {}
    children: dict[str, list[str]] = defaultdict(list)
    roots = []
    for root in [*(source.bus for source in cell.sources), *(bus.id for bus in cell.buses)]:
        if root not in depth:
            roots.append(root)
            _grow(root, neighbours, depth, children)
    row: dict[str, float] = {}
    # Deepest first: a bus stands in the middle of its children, a leaf takes the next free row.
    for bus in _leaves_in_order(roots, children):
        row[bus] = float(len(row))
    for bus in sorted(depth, key=lambda bus: -depth[bus]):
        if bus not in row:
            row[bus] = sum(row[child] for child in children[bus]) / len(children[bus])
    return {bus: (float(depth[bus]), -row[bus]) for bus in depth}


def _grow(
    root: str,
    neighbours: Mapping[str, list[str]],
    depth: dict[str, int],
    children: dict[str, list[str]],
) -> None:
    """Add the tree below a root, breadth first."""
    depth[root] = 0
    queue = deque([root])
    while queue:
        bus = queue.popleft()
        for other in neighbours.get(bus, ()):
            if other not in depth:
                depth[other] = depth[bus] + 1
                children[bus].append(other)
                queue.append(other)


def _leaves_in_order(roots: list[str], children: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the leaves in the order in which one walks around the trees."""
    stack = roots[::-1]
    while stack:
        bus = stack.pop()
        below = children.get(bus, [])
        if not below:
            yield bus
        stack.extend(below[::-1])
