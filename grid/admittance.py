"""From elements to nodes and admittances, for one phase or three with the same arithmetic.

A *node* is one phase of a vertex; a balanced cell has one node a vertex (its positive sequence).
Per unit on 1 MVA of three-phase power; phase p of vertex v is node `v * phases + p`. Every link is
built in the sequence domain (zero, positive, negative) and, with three phases, turned into phases
by the Fortescue transform, so a transformer's shift and its open zero sequence are no special case.

Source: pi model with off-nominal ratio and shift at the high-voltage side, as in MATPOWER's manual,
section 3.2; sequence networks of transformers as in Kersting, Distribution System Modeling, ch. 8.
"""

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peercell.grid.errors import CellError
from peercell.grid.model import Branch, Cell, Source, Tap, Transformer, WindingGroup
from peercell.grid.topology import Link, Switching, Topology

Complex = npt.NDArray[np.complex128]
Real = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_Quadrants = tuple[complex, complex, complex, complex]

BASE_KVA = 1000.0
_A = cmath.exp(2j * cmath.pi / 3)
_FORTESCUE = np.array([[1, 1, 1], [1, _A**2, _A], [1, _A, _A**2]], np.complex128)
_INVERSE = np.linalg.inv(_FORTESCUE)
_PHASES = "abc"


@dataclass(frozen=True)
class Network:
    """Nodes and links as arrays; everything that the power flow needs.

    Attributes
    ----------
    labels : (nodes,) what to call a node in an error: a bus id, with its phase if there are three.
    phases : 1 or 3.
    terminals : (2 * phases, links) node of each terminal, the from side first.
    blocks : (2 * phases, 2 * phases, links) pu, current into a terminal per volt at another.
    terminal_limit_a : (2 * phases, links) A, thermal limit; infinite where none is known.
    ampere : (2 * phases, links) A per pu of terminal current.
    fixed : nodes whose voltage a source holds.
    fixed_voltage : their complex voltage in pu.
    source_links : how many of the last links are impedances of sources, not part of the cell.
    """

    labels: tuple[str, ...]
    phases: int
    terminals: Index
    blocks: Complex
    terminal_limit_a: Real
    ampere: Real
    fixed: Index
    fixed_voltage: Complex
    source_links: int

    @property
    def kva(self) -> float:
        """Power base of one node in kVA."""
        return BASE_KVA / self.phases


def network(cell: Cell, topology: Topology, switching: Switching) -> Network:
    """Return the nodes and links of the live part of a cell.

    Raises
    ------
    CellError : a link without impedance, a zero sequence that is needed and missing, two stiff
        sources of different voltage at one bus.
    """
    stiff, behind = _split_sources(topology.sources)
    inner = len(topology.vertex_kv)
    kv = [*topology.vertex_kv, *(topology.vertex_kv[vertex] for _, vertex in behind)]
    rows = [_link_row(link, topology.vertex_kv, switching, cell.phases) for link in topology.links]
    ends = [(link.from_vertex, link.to_vertex) for link in topology.links]
    for position, (source, vertex) in enumerate(behind):
        rows.append(_source_row(source, topology.vertex_kv[vertex], cell.phases))
        ends.append((inner + position, vertex))
    sources = [*stiff, *((source, inner + n) for n, (source, _) in enumerate(behind))]
    labels = (*topology.vertex_label, *(source.id for source, _ in behind))
    steps = np.arange(cell.phases)
    vertices = np.array(ends, np.int64).reshape(-1, 2).T
    terminals = (vertices[:, None, :] * cell.phases + steps[None, :, None]).reshape(
        2 * cell.phases, -1
    )
    fixed = [vertex * cell.phases + phase for _, vertex in sources for phase in steps]
    turn = [_A**-phase for phase in range(cell.phases)]
    held = [cmath.rect(s.v_pu, math.radians(s.angle_deg)) * t for s, _ in sources for t in turn]
    return Network(
        labels=_node_labels(labels, cell.phases),
        phases=cell.phases,
        terminals=terminals,
        blocks=_blocks(np.array(rows, np.complex128).reshape(-1, 3, 4), cell.phases),
        terminal_limit_a=_limits(topology.links, len(behind), cell.phases),
        ampere=(BASE_KVA / math.sqrt(3)) / np.array(kv)[terminals // cell.phases],
        fixed=np.array(fixed, np.int64),
        fixed_voltage=np.array(held, np.complex128),
        source_links=len(behind),
    )


def _node_labels(vertices: Sequence[str], phases: int) -> tuple[str, ...]:
    if phases == 1:
        return tuple(vertices)
    return tuple(f"{label}.{phase}" for label in vertices for phase in _PHASES[:phases])


def _split_sources(
    sources: Sequence[tuple[Source, int]],
) -> tuple[list[tuple[Source, int]], list[tuple[Source, int]]]:
    """Return the stiff sources, one a vertex, and those behind an impedance."""
    stiff: dict[int, Source] = {}
    behind = []
    for source, vertex in sources:
        if source.r_ohm or source.x_ohm:
            behind.append((source, vertex))
            continue
        other = stiff.setdefault(vertex, source)
        if (other.v_pu, other.angle_deg) != (source.v_pu, source.angle_deg):
            raise CellError(
                f'sources "{other.id}" and "{source.id}" hold one bus at two voltages',
                f"{other.v_pu} pu at {other.angle_deg} deg and {source.v_pu} pu "
                f"at {source.angle_deg} deg",
                "give them an impedance, or the same voltage",
            )
    return [(source, vertex) for vertex, source in stiff.items()], behind


def _series(r_ohm: float | None, x_ohm: float | None, name: str) -> complex:
    """Return the series admittance in siemens; r and x must be there and not both zero."""
    if r_ohm is None or x_ohm is None:
        raise CellError(
            f'"{name}" has no zero-sequence impedance',
            "a cell of three phases needs r0_ohm and x0_ohm of every branch and transformer",
        )
    if r_ohm == 0.0 and x_ohm == 0.0:
        raise CellError(
            f'"{name}" has no impedance', "r and x are both 0 ohm", "use a switch between buses"
        )
    return 1.0 / complex(r_ohm, x_ohm)


def _link_row(
    link: Link, vertex_kv: Sequence[float], switching: Switching, phases: int
) -> list[_Quadrants]:
    """Return (ff, ft, tf, tt) in pu for the zero, positive and negative sequence."""
    element = link.element
    base = vertex_kv[link.to_vertex] ** 2 / (BASE_KVA / 1000.0)
    if isinstance(element, Transformer):
        tap = element.at(switching.taps.get(element.id, element.tap))
        return _transformer_row(element, tap, base, phases)
    series = _series(element.r_ohm, element.x_ohm, element.id) * base
    shunt = complex(element.g_siemens, element.b_siemens) * base
    positive = _pi(series, shunt, 1.0 + 0.0j)
    if phases == 1:
        return [positive, positive, positive]
    series0 = _series(element.r0_ohm, element.x0_ohm, element.id) * base
    return [_pi(series0, 1j * element.b0_siemens * base, 1.0 + 0.0j), positive, positive]


def _transformer_row(element: Transformer, tap: Tap, base: float, phases: int) -> list[_Quadrants]:
    series = _series(tap.r_ohm, tap.x_ohm, element.id) * base
    shunt = complex(tap.g_siemens, tap.b_siemens) * base
    ratio = cmath.rect(tap.ratio, math.radians(tap.shift_deg))
    positive = _pi(series, shunt, ratio)
    if phases == 1:
        return [positive, positive, positive]
    series0 = _series(element.r0_ohm, element.x0_ohm, element.id) * base
    if element.group is WindingGroup.YNYN:
        zero = _pi(series0, 0j, complex(tap.ratio))
    else:
        # A delta winding gives the star side its zero-sequence path and lets none through.
        zero = (0j, 0j, 0j, series0)
    return [zero, positive, _pi(series, shunt, ratio.conjugate())]


def _source_row(source: Source, kv: float, phases: int) -> list[_Quadrants]:
    base = kv**2 / (BASE_KVA / 1000.0)
    positive = _pi(_series(source.r_ohm, source.x_ohm, source.id) * base, 0j, 1.0 + 0j)
    if phases == 1:
        return [positive, positive, positive]
    zero = _pi(_series(source.r0_ohm, source.x0_ohm, source.id) * base, 0j, 1.0 + 0j)
    return [zero, positive, positive]


def _pi(series: complex, shunt: complex, ratio: complex) -> _Quadrants:
    """Return (ff, ft, tf, tt) of a pi section behind an ideal transformer at its from side."""
    own = series + shunt / 2.0
    return own / abs(ratio) ** 2, -series / ratio.conjugate(), -series / ratio, own


def _blocks(rows: Complex, phases: int) -> Complex:
    """Turn (links, 3 sequences, 4) into (2 * phases, 2 * phases, links) of phase admittances."""
    if phases == 1:
        return np.ascontiguousarray(rows[:, 1, :].T.reshape(2, 2, -1))
    quadrants = np.einsum("ps,lsq,sr->qprl", _FORTESCUE, rows, _INVERSE)
    top = np.concatenate([quadrants[0], quadrants[1]], axis=1)
    bottom = np.concatenate([quadrants[2], quadrants[3]], axis=1)
    return np.ascontiguousarray(np.concatenate([top, bottom], axis=0))


def _limits(links: Sequence[Link], extra: int, phases: int) -> Real:
    """Return the current limit of each terminal in A, infinite for links without a rating."""
    limits = np.full((2, len(links) + extra), math.inf)
    for position, link in enumerate(links):
        element = link.element
        if isinstance(element, Branch):
            if element.rating_a is not None:
                limits[:, position] = element.rating_a
        elif element.rating_kva is not None:
            root3 = math.sqrt(3)
            limits[0, position] = element.rating_kva / (root3 * element.rated_hv_kv)
            limits[1, position] = element.rating_kva / (root3 * element.rated_lv_kv)
    return np.repeat(limits, phases, axis=0)
