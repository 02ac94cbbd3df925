"""A cell bound to the engine: power by asset in, voltages by bus and flows by branch out.

All arrays over assets follow `cell.assets`, over buses `node_ids`, over branches `branch_ids`.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from peercell.grid.admittance import Complex, Index, Network, Real, network
from peercell.grid.engine import LinkFlow, PowerFlow, VoltageDependence
from peercell.grid.errors import UnknownElementError
from peercell.grid.model import Asset, Cell, Customer, Phase
from peercell.grid.nearest import unknown
from peercell.grid.sensitivity import (
    Sensitivity,
    exact_sensitivity,
    first_order_sensitivity,
    lindistflow,
)
from peercell.grid.topology import Switching, topology

# So many steps at a time stay in the cache of one core.
_CHUNK_STEPS = 256
_PHASES = {Phase.ABC: (0, 1, 2), Phase.A: (0,), Phase.B: (1,), Phase.C: (2,)}


class State(Struct, frozen=True):
    """A solved operating point.

    Attributes
    ----------
    voltage : (node_ids,) complex pu.
    links : flows of the live branches, in the order of `branch_ids`.
    source_kva : complex power that the sources feed into the cell; negative = export.
    iterations : how many the solution took; a sign of stress, 6 is easy and 100 near collapse.
    """

    voltage: Complex
    links: LinkFlow
    source_kva: complex
    iterations: int


class Steps(Struct, frozen=True):
    """Solved operating points of many steps; row k of each array is step k.

    Rows of steps that did not converge are zero, and `converged` is False there.
    """

    voltage: Complex
    links: LinkFlow
    source_kva: Complex
    iterations: int
    converged: npt.NDArray[np.bool_]


class Feeder:
    """The live network of a cell under one switching; made once, solved many times.

    Parameters
    ----------
    cell : the cell.
    switching : what differs from the cell file; None for nothing.

    Attributes
    ----------
    node_ids : live buses, "17"; in a cell of three phases "17.a", "17.b", "17.c".
    branch_ids : conducting branches and transformers.
    dead : buses without a source, with the cause.

    Raises
    ------
    UnknownElementError, NoSourceError, CellError, MissingExtraError : see `topology`, `network` and
        `impedance`.
    """

    def __init__(self, cell: Cell, switching: Switching | None = None) -> None:
        switching = switching or Switching()
        graph = topology(cell, switching)
        self.cell = cell
        self.switching = switching
        self.dead: Mapping[str, str] = graph.dead
        self.branch_ids = tuple(link.element.id for link in graph.links)
        self._vertex = graph.vertex_of_bus
        suffixes = [""] if cell.phases == 1 else [".a", ".b", ".c"]
        live = [bus.id for bus in cell.buses if bus.id in graph.vertex_of_bus]
        self.node_ids = tuple(bus + suffix for bus in live for suffix in suffixes)
        self._node = np.array(
            [self._vertex[bus] * cell.phases + p for bus in live for p in range(cell.phases)]
        )
        net = network(cell, graph, switching)
        self._wiring = _Wiring(cell, self._vertex, net)
        self.power_flow = PowerFlow(net, self._wiring.active)

    @cached_property
    def nominal(self) -> tuple[Real, Real]:
        """P in kW and Q in kvar of every asset as the cell file states them."""
        assets = self.cell.assets
        return np.array([a.p_kw for a in assets]), np.array([a.q_kvar for a in assets])

    @property
    def unrated(self) -> npt.NDArray[np.bool_]:
        """True for each branch of `branch_ids` without a thermal limit."""
        limit = self.power_flow.network.terminal_limit_a[0, : len(self.branch_ids)]
        return np.asarray(np.isinf(limit))

    def solve(self, p_kw: Real, q_kvar: Real) -> State:
        """Return the operating point for the power of every asset (assets,).

        Raises
        ------
        CollapseError : the network cannot carry this power.
        """
        by_asset = _power(p_kw, q_kvar)
        power, dependence = self._wiring.injection(by_asset)
        flow = self.power_flow.solve(power, dependence)
        links = self.power_flow.link_flow(flow.voltage)
        source = complex(links.source_kva - self._wiring.pinned(by_asset))
        return State(flow.voltage.take(self._node), links, source, flow.iterations)

    def solve_steps(self, p_kw: Real, q_kvar: Real) -> Steps:
        """Return the operating points for powers (steps, assets); never raises CollapseError."""
        count, links = p_kw.shape[0], len(self.branch_ids)
        voltage = np.empty((count, len(self.node_ids)), np.complex128)
        ends = np.empty((2, count, links), np.complex128)
        loading, losses_kw = np.empty((count, links)), np.empty(count)
        source_kva, converged = np.empty(count, np.complex128), np.empty(count, np.bool_)
        iterations = 0
        for first in range(0, count, _CHUNK_STEPS):
            rows = slice(first, first + _CHUNK_STEPS)
            by_asset = _power(p_kw[rows], q_kvar[rows])
            flow = self.power_flow.solve_batch(*self._wiring.injection(by_asset))
            carried = self.power_flow.link_flow(flow.voltage)
            voltage[rows] = flow.voltage.take(self._node, 1)
            ends[0, rows], ends[1, rows] = carried.from_kva, carried.to_kva
            loading[rows], losses_kw[rows] = carried.loading, carried.losses_kw
            source_kva[rows] = carried.source_kva - self._wiring.pinned(by_asset)
            converged[rows] = flow.converged
            iterations = max(iterations, flow.iterations)
        flows = LinkFlow(ends[0], ends[1], loading, source_kva, losses_kw)
        return Steps(voltage, flows, source_kva, iterations, converged)

    def sensitivity(self, p_kw: Real, q_kvar: Real, node_id: str) -> Sensitivity:
        """Return d|V| of every node of `node_ids` per kW and kvar injected at one, exactly.

        The columns are the phases that `node_id` names: all of a bus, or one of it.
        """
        power, dependence = self._wiring.injection(_power(p_kw, q_kvar))
        flow = self.power_flow.solve(power, dependence)
        nodes = self._node[self.node_positions(node_id)]
        answer = exact_sensitivity(self.power_flow, flow, power, nodes, dependence)
        return Sensitivity(answer.per_kw[self._node], answer.per_kvar[self._node])

    def first_order_sensitivity(self, p_kw: Real, q_kvar: Real, node_id: str) -> Sensitivity:
        """Return the same without the injections' own answer, 2 to 5 % off and cheaper."""
        power, dependence = self._wiring.injection(_power(p_kw, q_kvar))
        flow = self.power_flow.solve(power, dependence)
        nodes = self._node[self.node_positions(node_id)]
        answer = first_order_sensitivity(self.power_flow, flow.voltage, nodes)
        return Sensitivity(answer.per_kw[self._node], answer.per_kvar[self._node])

    @cached_property
    def lindistflow(self) -> tuple[Real, Real]:
        """R and X over `node_ids` in pu per kW and per kvar; see `sensitivity.lindistflow`."""
        return lindistflow(self.power_flow, self._node)

    def node_positions(self, name: str) -> list[int]:
        """Return where in `node_ids` a bus stands, all its phases, or one phase ("34.a").

        Raises
        ------
        UnknownElementError : there is no such bus, or it has no source.
        """
        if name in self.dead:
            raise UnknownElementError(f'bus "{name}" has no voltage', self.dead[name])
        found = [
            position
            for position, node in enumerate(self.node_ids)
            if name in (node, node.rpartition(".")[0] if self.cell.phases > 1 else node)
        ]
        if not found:
            raise unknown("bus", name, (bus.id for bus in self.cell.buses))
        return found


class _Wiring:
    """Which asset feeds which active node, and with which share of its power."""

    def __init__(self, cell: Cell, vertex: Mapping[str, int], net: Network) -> None:
        held = dict(zip(net.fixed.tolist(), np.abs(net.fixed_voltage).tolist(), strict=True))
        places = [
            (vertex[customer.bus] * cell.phases + phase, number, 1.0 / len(phases))
            for number, (customer, asset) in enumerate(_with_customer(cell))
            if customer.bus in vertex
            for phases in [_PHASES[asset.phase] if cell.phases > 1 else (0,)]
            for phase in phases
        ]
        # Sorted by node, so that the powers of one node stand side by side and reduceat adds them.
        free = sorted(place for place in places if place[0] not in held)
        self._asset = np.array([number for _, number, _ in free], np.int64)
        self._share = np.array([share for _, _, share in free])
        self._is_split = bool((self._share != 1.0).any())
        nodes = np.array([node for node, _, _ in free], np.int64)
        self.active, self._first = np.unique(nodes, return_index=True)
        self._constant, self._current, self._impedance = _shares(cell.assets)
        pinned = {number: held[node] for node, number, _ in places if node in held}
        self._pinned: Index = np.array(list(pinned), np.int64)
        magnitude = np.array(list(pinned.values()))
        self._pinned_share = self._constant[self._pinned] + magnitude * (
            self._current[self._pinned] + magnitude * self._impedance[self._pinned]
        )
        self._is_constant = not (self._current.any() or self._impedance.any())

    def injection(self, power: Complex) -> tuple[Complex, VoltageDependence | None]:
        """Return kVA by active node for complex kVA by asset, shapes (…, assets)."""
        if self._is_constant:
            return self._by_node(power), None
        current, impedance = (
            self._by_node(_scale(power, share)) for share in (self._current, self._impedance)
        )
        constant = self._by_node(_scale(power, self._constant))
        return constant, VoltageDependence(current, impedance)

    def pinned(self, power: Complex) -> Complex | complex:
        """Return the power of the assets at source buses, which no voltage answers to."""
        if not self._pinned.size:
            return 0j
        return np.asarray(_scale(power[..., self._pinned], self._pinned_share).sum(-1))

    def _by_node(self, power: Complex) -> Complex:
        if not self._first.size:
            return np.zeros((*power.shape[:-1], 0), np.complex128)
        at = power.take(self._asset, -1)
        if self._is_split:
            at *= self._share
        return np.asarray(np.add.reduceat(at, self._first, axis=-1))


def _power(p_kw: Real, q_kvar: Real) -> Complex:
    """Return P + jQ; half the time of writing it so."""
    power = np.empty(p_kw.shape, np.complex128)
    power.real, power.imag = p_kw, q_kvar
    return power


def _with_customer(cell: Cell) -> list[tuple[Customer, Asset]]:
    return [(customer, asset) for customer in cell.customers for asset in customer.assets]


def _shares(assets: tuple[Asset, ...]) -> tuple[Complex, Complex, Complex]:
    """Return the constant-power, -current and -impedance shares: of P real, of Q imaginary."""
    current = np.array([complex(a.i_p, a.i_q) for a in assets], np.complex128)
    impedance = np.array([complex(a.z_p, a.z_q) for a in assets], np.complex128)
    return (1 + 1j) - current - impedance, current, impedance


def _scale(power: Complex, share: Complex) -> Complex:
    """Return P times the share of P plus j Q times the share of Q."""
    return np.asarray(power.real * share.real + 1j * (power.imag * share.imag))
