"""Which branches lie between a bus and the grid above: what an agent there tells the others."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from msgspec import Struct

from peercell.agents.control.paths import Path, Span
from peercell.grid.model import Branch, Cell, Transformer
from peercell.grid.topology import Link, Switching, Topology, topology

_KW_PER_MW = 1000.0


class Level(Struct):
    """Members of a level; `above` is the way to where it hangs below another one, if it does."""

    members: list[str]
    above: Path


def levels(paths: Mapping[str, Path], transformers: Iterable[str]) -> dict[str, Level]:
    """Return the levels of control by the transformer that feeds them; "" hangs below no other.

    A level is what a transformer feeds from a network in which there are members too.

    Parameters
    ----------
    paths : of the members
    transformers : ids of those of the cell
    """
    units = frozenset(transformers)
    at: dict[str, list[str]] = defaultdict(list)
    above: dict[str, Path] = {}
    for name, path in paths.items():
        passed = [k for k, span in enumerate(path) if span.branch in units]
        key = path[passed[-1]].branch if passed else ""
        at[key].append(name)
        above[key] = path[: passed[-1]] if passed else ()
    found: dict[str, Level] = {"": Level([], ())}
    for key, members in at.items():
        if key and level_at(above[key], at) in at:
            found[key] = Level(members, above[key])
        else:
            found[""].members += members
    return found


def level_at(path: Path, known: Iterable[str]) -> str:
    """Return the level in which a path ends: the last one that it passes, "" for the top."""
    keys = set(known)
    return next((span.branch for span in reversed(path) if span.branch in keys), "")


def path_lists(cell: Cell, switching: Switching | None = None) -> Mapping[str, Path]:
    """Return for each live bus the branches from its source, with the rise of voltage they give.

    In a meshed network these are the shortest of the possible ones: a model that is somewhat wrong.
    Off-nominal ratios of transformers are left out, as LinDistFlow has none.

    Raises
    ------
    UnknownElementError, NoSourceError : see `topology`.
    """
    graph = topology(cell, switching)
    by_vertex = _paths(cell, graph, switching or Switching())
    return {bus: by_vertex[vertex] for bus, vertex in graph.vertex_of_bus.items()}


def _paths(cell: Cell, graph: Topology, switching: Switching) -> dict[int, Path]:
    beside: dict[int, list[tuple[Link, int]]] = {}
    for link in graph.links:
        beside.setdefault(link.from_vertex, []).append((link, link.to_vertex))
        beside.setdefault(link.to_vertex, []).append((link, link.from_vertex))
    found: dict[int, Path] = {}
    queue: deque[int] = deque()
    for source, vertex in graph.sources:
        if vertex not in found:
            behind = source.r_ohm or source.x_ohm
            kv = graph.vertex_kv[vertex]
            own = (_span(source.id, source.r_ohm, source.x_ohm, kv),) if behind else ()
            found[vertex] = own
            queue.append(vertex)
    taps = {unit.id: switching.taps.get(unit.id, unit.tap) for unit in cell.transformers}
    while queue:
        vertex = queue.popleft()
        for link, other in beside.get(vertex, ()):
            if other not in found:
                found[other] = (*found[vertex], _span_of(link, graph, taps))
                queue.append(other)
    return found


def _span_of(link: Link, graph: Topology, taps: Mapping[str, int]) -> Span:
    element: Branch | Transformer = link.element
    kv = graph.vertex_kv[link.to_vertex]
    if isinstance(element, Branch):
        return _span(element.id, element.r_ohm, element.x_ohm, kv)
    tap = element.at(taps[element.id])
    return _span(element.id, tap.r_ohm, tap.x_ohm, kv)


def _span(name: str, r_ohm: float, x_ohm: float, kv: float) -> Span:
    scale = 1.0 / (kv * kv * _KW_PER_MW)
    return Span(name, r_ohm * scale, x_ohm * scale)
