"""Into which microgrids a cell divides, where they are coupled, and which open elements tie them.

The division follows from the structure alone (see `partition`); what a user wants otherwise goes
into `ZoneOverrides`. The result does not depend on the order of the elements in the cell.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Annotated

from msgspec import Meta, structs

from peercell.agents.errors import PeercellError
from peercell.grid.check import LOW_VOLTAGE_KV_MAX
from peercell.grid.hierarchy import Group, Hierarchy
from peercell.grid.model import (
    Cell,
    CouplingPoint,
    Id,
    Level,
    Microgrid,
    Record,
    Tie,
    Zones,
)
from peercell.grid.nearest import unknown
from peercell.grid.topology import UnionFind, topology

MV_KV_MAX = 36.0
# Unless the user says otherwise, no zone falls into more than about 25 feeders.
CUSTOMERS_PER_SMALLEST = 25


class NamedMicrogrid(Record, frozen=True):
    """A microgrid that the user lays down: by its buses, or by the element at its head.

    `head` is a branch or transformer; the microgrid is everything below it up to the next
    transformer. Buses that a closed switch joins to a named bus come along.
    """

    id: Id
    buses: tuple[Id, ...] = ()
    head: Id | None = None
    name: str = ""


class ZoneOverrides(Record, frozen=True):
    """What a user wants otherwise than `partition` would do it.

    Named microgrids take their buses first; what they leave is divided by the usual rules, each
    connected rest on its own. `min_customers` is the least number of customers of an automatic
    feeder or lateral (a larger value gives fewer, larger microgrids); None: a 25th of the cell's.
    """

    microgrids: tuple[NamedMicrogrid, ...] = ()
    min_customers: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class ZoneError(PeercellError):
    """Overrides that contradict each other or the network."""


def partition(cell: Cell, overrides: ZoneOverrides | None = None) -> Zones:
    """Return the microgrids, coupling points and ties of a cell.

    A voltage zone is what hangs together over closed switches and branches without a transformer;
    its busbar is where it is fed: the low side of its transformers, or the source.

    - A zone below 1 kV under a transformer is one low-voltage microgrid.
    - A zone from 1 to 36 kV without its busbar falls into feeders; each is a microgrid. So does a
      zone below 1 kV that holds all customers of the cell.
    - A feeder with too few customers merges with the smallest other one of its busbar.
    - A busbar with customers is a microgrid of its own. It belongs to the smallest feeder instead
      where there is only one, or where it is the source's own bus, which nothing couples.
    - A cell of one single feeder is cut where laterals leave its trunk; the trunk takes the busbar
      and follows the most customers. Loops are never cut.

    Zones above 36 kV, busbars and stubs without customers are the backbone, in no microgrid; so
    are buses without a source. Every other bus is in exactly one, and with it every customer.

    A coupling point is a conducting element between two zones; `upper` is the next microgrid on
    the way to the source, None where there is none. A microgrid that holds a source's bus is
    coupled through the elements that leave this bus. A tie is an open switch or branch between two
    microgrids, named by what must be closed: the switch, or the branch if it is out of service or
    open at both ends.

    Raises
    ------
    ZoneError : overrides claim a bus twice, or a microgrid that cannot be as they say.
    UnknownElementError : overrides name a bus or branch that the cell does not have.
    NoSourceError : no bus of the cell is fed by a source.
    """
    overrides = overrides or ZoneOverrides()
    cell = _in_natural_order(cell)
    graph = Hierarchy(cell, topology(cell))
    named = _named_groups(cell, graph, overrides.microgrids)
    smallest = overrides.min_customers or -(-len(cell.customers) // CUSTOMERS_PER_SMALLEST)
    found = _automatic_groups(graph, frozenset().union(*named.values()), smallest)
    found.sort(key=lambda group: (graph.level(group) is Level.LV, min(group)))
    groups = named | dict(zip(_free_ids(named), found, strict=False))
    owner = {vertex: name for name, group in groups.items() for vertex in group}
    couplings = _coupling_points(graph, owner)
    names = {microgrid.id: microgrid.name for microgrid in overrides.microgrids}
    return Zones(
        microgrids=tuple(
            Microgrid(
                id=name,
                level=graph.level(group),
                buses=tuple(bus.id for bus in cell.buses if graph.vertex.get(bus.id) in group),
                name=names.get(name) or _description(name, couplings),
            )
            for name, group in groups.items()
        ),
        coupling_points=couplings,
        ties=_ties(cell, graph, owner),
    )


def aggregated_microgrids(cell: Cell) -> tuple[Id, ...]:
    """Return the customers that each stand for a whole low-voltage network without its detail.

    They sit on a bus of at least 1 kV and follow a SimBench profile `lv_…`. Their bus is part of
    its feeder, so they are not among `Zones.microgrids`: the customer itself is the microgrid, with
    one trader, coupled at its own connection point to the microgrid that holds its bus.

    Source: Meinecke et al., "SimBench - a benchmark dataset of electric power systems to compare
    innovative solutions based on power flow analysis", Energies 13 (2020) 3290.
    """
    kv = {bus.id: bus.kv for bus in cell.buses}
    return tuple(
        customer.id
        for customer in cell.customers
        if kv[customer.bus] >= LOW_VOLTAGE_KV_MAX
        and any(asset.p_profile.startswith("lv_") for asset in customer.assets)
    )


def _natural(name: str) -> list[int | str]:
    """Return a sort key under which "line-9" comes before "line-10"."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _in_natural_order(cell: Cell) -> Cell:
    """Return the cell with its elements sorted by id, which makes every later choice stable."""
    return structs.replace(
        cell,
        buses=tuple(sorted(cell.buses, key=lambda bus: _natural(bus.id))),
        branches=tuple(sorted(cell.branches, key=lambda branch: _natural(branch.id))),
        transformers=tuple(sorted(cell.transformers, key=lambda item: _natural(item.id))),
        switches=tuple(sorted(cell.switches, key=lambda switch: _natural(switch.id))),
        sources=tuple(sorted(cell.sources, key=lambda source: _natural(source.id))),
    )


def _free_ids(taken: Mapping[Id, Group]) -> Iterator[Id]:
    """Yield mg1, mg2, … without those taken."""
    return (name for number in count(1) if (name := f"mg{number}") not in taken)


def _description(microgrid: Id, couplings: Sequence[CouplingPoint]) -> str:
    """Return what a microgrid hangs on, as its name."""
    return "below " + ", ".join(point.branch for point in couplings if point.lower == microgrid)


def _automatic_groups(graph: Hierarchy, taken: Group, smallest: int) -> list[Group]:
    """Return the groups of vertices that the rules find outside those taken."""
    zones = [zone for zone in graph.pieces(frozenset(graph.order)) if graph.kv(zone) <= MV_KV_MAX]
    single = [zone for zone in zones if zone.issuperset(graph.customers)]
    groups: list[Group] = []
    for zone in single or zones:
        if zone not in single and graph.level(zone) is Level.LV and graph.feeding(zone):
            groups += [piece for piece in graph.pieces(zone - taken) if graph.reach(piece)]
        else:
            groups += _feeders(graph, zone, taken, smallest)
    return _laterals(graph, groups[0], smallest) if len(groups) == 1 and not taken else groups


def _feeders(graph: Hierarchy, zone: Group, taken: Group, smallest: int) -> list[Group]:
    """Return the feeders of a voltage zone, and its busbar where that is a microgrid."""
    busbar = graph.busbar(zone)
    size = {piece: graph.reach(piece) for piece in graph.pieces(zone - busbar - taken)}

    def rank(feeder: Group) -> tuple[int, int, int]:
        return size[feeder], len(feeder), min(feeder)

    feeders = sorted((piece for piece in size if size[piece]), key=rank)
    while len(feeders) > 1 and size[feeders[0]] < smallest:
        first, second, *others = feeders
        size[first | second] = size[first] + size[second]
        feeders = sorted([first | second, *others], key=rank)
    station = busbar - taken
    if not any(graph.customers[vertex] for vertex in station):
        return feeders
    if len(feeders) == 1 or (feeders and not graph.feeding(zone)):
        return [feeders[0] | station, *feeders[1:]]
    return [*feeders, station]


def _laterals(graph: Hierarchy, feeder: Group, smallest: int) -> list[Group]:
    """Return the trunk of a single feeder, with its busbar, and the laterals that leave it."""
    (zone,) = (zone for zone in graph.pieces(frozenset(graph.order)) if feeder <= zone)
    busbar = graph.busbar(zone)
    blocks = _blocks(graph, feeder, busbar)
    tops: dict[int, list[int]] = defaultdict(list)
    for vertex in feeder - busbar:
        block = blocks.find(graph.parent[vertex])
        if block != blocks.find(vertex):
            tops[block].append(vertex)
    laterals: list[Group] = []
    block = blocks.find(min(busbar))
    while tops[block]:
        onward, *others = sorted(tops[block], key=lambda top: (-graph.below[top], top))
        large = (top for top in others if graph.below[top] >= smallest)
        laterals += (graph.under(top) & feeder for top in large)
        block = blocks.find(onward)
    return [(feeder | busbar).difference(*laterals), *laterals]


def _blocks(graph: Hierarchy, feeder: Group, busbar: Group) -> UnionFind:
    """Return which vertices no cut may part: those of the busbar, and those of a loop."""
    blocks = UnionFind(len(graph.order))
    for vertex in busbar:
        blocks.join(vertex, min(busbar))
    for link in graph.network.links:
        ends = set(graph.ends(link))
        upper, lower = graph.ends(link)
        if not ends <= feeder | busbar or graph.parent.get(lower) == upper:
            continue
        while len({blocks.find(end) for end in ends}) > 1:
            deeper = max(ends - busbar, key=graph.rank.__getitem__)
            blocks.join(deeper, graph.parent[deeper])
            ends = ends - {deeper} | {graph.parent[deeper]}
    return blocks


def _named_groups(
    cell: Cell, graph: Hierarchy, microgrids: Sequence[NamedMicrogrid]
) -> dict[Id, Group]:
    """Return the vertices of each microgrid that the user named."""
    groups: dict[Id, Group] = {}
    claimed: dict[int, tuple[Id, Id]] = {}
    for microgrid in microgrids:
        if microgrid.id in groups:
            raise ZoneError(f'two microgrids are called "{microgrid.id}"')
        if bool(microgrid.buses) == (microgrid.head is not None):
            raise ZoneError(
                f'microgrid "{microgrid.id}" needs either `buses` or `head`',
                "it has both" if microgrid.buses else "it has neither",
            )
        buses = microgrid.buses or _below(cell, graph, microgrid)
        for bus in buses:
            vertex = _live_vertex(cell, graph, bus)
            other, twin = claimed.setdefault(vertex, (microgrid.id, bus))
            if other != microgrid.id:
                raise ZoneError(
                    f'bus "{bus}" is in the microgrids "{other}" and "{microgrid.id}"',
                    "" if bus == twin else f'a closed switch joins it to bus "{twin}"',
                )
        groups[microgrid.id] = frozenset(graph.vertex[bus] for bus in buses)
    return groups


def _live_vertex(cell: Cell, graph: Hierarchy, bus: Id) -> int:
    """Return the vertex of a bus that the user named."""
    if bus in graph.vertex:
        return graph.vertex[bus]
    if bus in graph.network.dead:
        raise ZoneError(f'bus "{bus}" cannot be in a microgrid', graph.network.dead[bus])
    raise unknown("bus", bus, (known.id for known in cell.buses))


def _below(cell: Cell, graph: Hierarchy, microgrid: NamedMicrogrid) -> tuple[Id, ...]:
    """Return the buses below the head of a microgrid."""
    links = {link.element.id: link for link in graph.network.links}
    head = microgrid.head or ""
    if head not in links:
        known = [*(item.id for item in cell.branches), *(item.id for item in cell.transformers)]
        if head in known:
            raise ZoneError(
                f'"{head}" cannot be the head of microgrid "{microgrid.id}"',
                "it carries no current: out of service or switched off",
            )
        raise unknown("branch or transformer", head, known)
    upper, lower = graph.ends(links[head])
    pieces = graph.pieces(frozenset(graph.order), without=links[head])
    (group,) = (piece for piece in pieces if lower in piece)
    if upper in group:
        raise ZoneError(
            f'"{head}" cannot be the head of microgrid "{microgrid.id}"',
            "it is part of a loop, so nothing lies below it alone",
            "name the buses of the microgrid instead",
        )
    return tuple(bus.id for bus in cell.buses if graph.vertex.get(bus.id) in group)


def _coupling_points(graph: Hierarchy, owner: Mapping[int, Id]) -> tuple[CouplingPoint, ...]:
    """Return where microgrids hang below each other, the backbone or the grid above the cell."""
    found: list[tuple[Id, Id, Id | None]] = []
    for link in graph.network.links:
        upper, lower = graph.ends(link)
        if lower not in owner:
            continue
        above = _next_up(graph, owner, upper)
        if above != owner[lower]:
            found.append((link.element.id, owner[lower], above))
        elif upper in graph.sources and upper not in graph.parent:
            found.append((link.element.id, above, None))
    return tuple(
        CouplingPoint(id=f"cp{number}", branch=branch, lower=lower, upper=above)
        for number, (branch, lower, above) in enumerate(found, 1)
    )


def _next_up(graph: Hierarchy, owner: Mapping[int, Id], vertex: int) -> Id | None:
    """Return the first microgrid on the way from a vertex to the source."""
    while vertex not in owner and vertex in graph.parent:
        vertex = graph.parent[vertex]
    return owner.get(vertex)


def _ties(cell: Cell, graph: Hierarchy, owner: Mapping[int, Id]) -> tuple[Tie, ...]:
    """Return the open switches and branches between two microgrids."""
    open_at: dict[Id, list[Id]] = defaultdict(list)
    gaps: list[tuple[Id, Id, Id]] = []
    for switch in cell.switches:
        if switch.other_bus is not None and not switch.closed:
            gaps.append((switch.id, switch.bus, switch.other_bus))
        elif switch.branch is not None and not switch.closed:
            open_at[switch.branch].append(switch.id)
    for branch in cell.branches:
        if branch.in_service and len(open_at[branch.id]) == 1:
            gaps.append((open_at[branch.id][0], branch.from_bus, branch.to_bus))
        elif open_at[branch.id] or not branch.in_service:
            gaps.append((branch.id, branch.from_bus, branch.to_bus))
    order = list(dict.fromkeys(owner.values()))
    ties: list[Tie] = []
    for element, *buses in gaps:
        sides = {owner[graph.vertex[bus]] for bus in buses if graph.vertex.get(bus) in owner}
        if len(sides) == 2:
            first, second = sorted(sides, key=order.index)
            ties.append(Tie(id=f"tie{len(ties) + 1}", element=element, microgrids=(first, second)))
    return tuple(ties)
