"""Power flow: fixed-point current injection on the impedance matrix.

With I = conj(S / V), the current that the injections push into the nodes, the network answers
V = w + Z I, where w is the profile without injections. Iterating the two from V = w converges
linearly, and with a few extrapolations up to 99.9 % of the collapse loading; it always starts from
w, so that a state gives the same bits whatever came before. Nodes are phases of buses: one and
three phases are the same code.

Source: Giraldo, Vergara, Palensky, "A fixed-point current injection power flow for electric
distribution systems using Laurent series", PSCC 2022; the stopping rule is Banach's bound, the
extrapolation Aitken's.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from peercell.grid.admittance import Complex, Index, Network, Real
from peercell.grid.errors import CollapseError
from peercell.grid.impedance import impedance

ITERATIONS_MAX = 200
ERROR_PU_MAX = 1e-9
_CHUNK_STEPS = 256
# Ordinary loads are solved before the first; ever longer gaps let any contraction win in the end.
_EXTRAPOLATIONS = frozenset({8, 16, 32, 64, 128})


@dataclass(frozen=True, slots=True)
class VoltageDependence:
    """The parts of a power that follow the voltage: S(V) = power + |V| current + |V|² impedance.

    Both in kVA at 1 pu, shaped like the power they belong to.
    """

    current: Complex
    impedance: Complex

    def power(self, voltage: Complex) -> Complex:
        """Return the power in kVA beside the constant part."""
        magnitude = np.abs(voltage)
        return magnitude * (self.current + magnitude * self.impedance)

    def slope(self, voltage: Complex) -> Complex:
        """Return d(power)/d|V| in kVA per pu."""
        return self.current + 2.0 * np.abs(voltage) * self.impedance

    def rows(self, index: slice | npt.NDArray[np.bool_]) -> "VoltageDependence":
        """Return the dependence of some steps of many."""
        return VoltageDependence(self.current[index], self.impedance[index])


@dataclass(frozen=True, slots=True)
class Flow:
    """One solved state: complex voltage of every node in pu, and how many iterations it took."""

    voltage: Complex
    iterations: int


@dataclass(frozen=True, slots=True)
class BatchFlow:
    """Solved states: voltages (steps, nodes) in pu; a row that is not `converged` is zero."""

    voltage: Complex
    iterations: int
    converged: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LinkFlow:
    """What the links carry; shapes (links,) or (steps, links), in the order of the network.

    Attributes
    ----------
    from_kva, to_kva : complex power into the link at either end, summed over its phases.
    loading : largest terminal current as a share of its limit; 0 where no limit is known.
    source_kva : complex power that the sources feed in at their buses, () or (steps,).
    losses_kw : what all links turn into heat, () or (steps,).
    """

    from_kva: Complex
    to_kva: Complex
    loading: Real
    source_kva: Complex
    losses_kw: Real


class PowerFlow:
    """A network ready to be solved for any injections at its active nodes.

    Parameters
    ----------
    network : nodes and links.
    active : nodes where power may be injected; the fewer, the faster.

    Raises
    ------
    MissingExtraError, CellError : see `impedance`.
    """

    def __init__(self, network: Network, active: Index) -> None:
        self.network = network
        self.active = active
        self.impedance = impedance(network, active)
        self._start = self.impedance.no_load[active]
        # Terminal currents are in kVA per pu; an unknown limit gives 0 and so no loading.
        self._per_limit = network.ampere / network.terminal_limit_a / network.kva
        self._blocks = [
            np.ascontiguousarray(block) for block in network.blocks.swapaxes(0, 1) * network.kva
        ]
        is_stiff = np.isin(network.terminals, network.fixed)
        is_stiff[:, is_stiff.shape[1] - network.source_links :] = False
        self._stiff = np.flatnonzero(is_stiff)

    def solve(self, power: Complex, dependence: VoltageDependence | None = None) -> Flow:
        """Return the state for a power in kVA (active,), positive = injection.

        Raises
        ------
        CollapseError : no solution within `ITERATIONS_MAX`; names the weakest bus.
        """
        start, rise = self._start, self.impedance.at_active
        voltage, previous = start, 0.0
        last = older = start
        with np.errstate(all="ignore"):
            for iteration in range(1, ITERATIONS_MAX + 1):
                total = power if dependence is None else power + dependence.power(voltage)
                current = np.divide(total, voltage)
                np.conjugate(current, current)
                new = rise(current)
                new += start
                change = np.subtract(new, voltage)
                step = sqrt(np.vdot(change, change).real)
                # Contraction q = step / previous; Banach: the error is at most step q / (1 - q).
                if step * step <= ERROR_PU_MAX * (previous - step) or step == 0.0:
                    rest = self.impedance.at_all(current)
                    rest += self.impedance.no_load
                    return Flow(rest, iteration)
                if not step < np.inf:
                    break
                if iteration in _EXTRAPOLATIONS:
                    new += _extrapolation(older, last, change)
                    step = 0.0
                voltage, previous = new, step
                last, older = change, last
        raise self._collapse(voltage, iteration)

    def solve_batch(self, power: Complex, dependence: VoltageDependence | None = None) -> BatchFlow:
        """Return the states for powers in kVA (steps, active); none depends on another."""
        steps = power.shape[0]
        voltage = np.empty((steps, len(self.network.labels)), np.complex128)
        converged = np.empty(steps, np.bool_)
        iterations = 0
        for first in range(0, steps, _CHUNK_STEPS):
            rows = slice(first, first + _CHUNK_STEPS)
            part = dependence and dependence.rows(rows)
            voltage[rows], used, converged[rows] = self._solve_chunk(power[rows], part)
            iterations = max(iterations, used)
        return BatchFlow(voltage, iterations, converged)

    def _solve_chunk(
        self, power: Complex, dependence: VoltageDependence | None
    ) -> tuple[Complex, int, npt.NDArray[np.bool_]]:
        """Return voltages, iterations and what converged; a row leaves as soon as it is decided."""
        solution, converged = np.zeros_like(power), np.zeros(power.shape[0], np.bool_)
        left, iteration = np.arange(power.shape[0]), 0
        voltage = last = older = np.broadcast_to(self._start, power.shape)
        previous = np.zeros(power.shape[0])
        with np.errstate(all="ignore"):
            while left.size and iteration < ITERATIONS_MAX:
                iteration += 1
                total = power if dependence is None else power + dependence.power(voltage)
                current = np.divide(total, voltage)
                np.conjugate(current, current)
                new = self.impedance.at_active(current)
                new += self._start
                change = new - voltage
                step = np.sqrt(_inner(change, change))
                done = (step * step <= ERROR_PU_MAX * (previous - step)) | (step == 0.0)
                if iteration in _EXTRAPOLATIONS:
                    new += _extrapolation(older, last, change)
                    step[step < np.inf] = 0.0
                stays = ~done & (step < np.inf)
                voltage, previous, last, older = new, step, change, last
                if not stays.all():
                    solution[left[done]], converged[left[done]] = current[done], True
                    left, power, previous = left[stays], power[stays], previous[stays]
                    voltage, last, older = voltage[stays], last[stays], older[stays]
                    dependence = dependence and dependence.rows(stays)
            everywhere = self.impedance.at_all(solution)
            everywhere += self.impedance.no_load
        everywhere[~converged] = 0.0
        return everywhere, iteration, converged

    def link_flow(self, voltage: Complex) -> LinkFlow:
        """Return what the links carry at node voltages (nodes,) or (steps, nodes) in pu."""
        at = voltage[..., self.network.terminals]
        current = self._blocks[0] * at[..., 0:1, :]
        for column in range(1, 2 * self.network.phases):
            current += self._blocks[column] * at[..., column : column + 1, :]
        loading = np.maximum.reduce(np.abs(current) * self._per_limit, -2)
        np.conjugate(current, current)
        at *= current
        lead, count = at.shape[:-2], at.shape[-1]
        ends = np.add.reduce(at.reshape(*lead, 2, self.network.phases, count), -2)
        links = self.network.source_links
        own = ends if not links else ends[..., :-links]
        source = np.add.reduce(at.reshape(*lead, at.shape[-2] * count)[..., self._stiff], -1)
        return LinkFlow(
            from_kva=own[..., 0, :],
            to_kva=own[..., 1, :],
            loading=loading if not links else loading[..., :-links],
            source_kva=source if not links else source - ends[..., 1, -links:].sum(-1),
            losses_kw=np.add.reduce(own.real, (-2, -1)),
        )

    def _collapse(self, voltage: Complex, iterations: int) -> CollapseError:
        """Return the error that names the weakest active node of the last finite iterate."""
        magnitude = np.abs(voltage)
        weakest = int(np.argmin(magnitude))
        label = self.network.labels[int(self.active[weakest])]
        return CollapseError(
            "the power flow has no solution: the network cannot carry this power",
            f"bus {label} is the weakest, at {magnitude[weakest]:.3f} pu after "
            f"{iterations} iterations",
            "reduce the power, raise the source voltage, or close a switch",
            label,
        )


def _inner(first: Complex, second: Complex) -> Real:
    """Return the real inner product along the last axis."""
    return np.asarray(np.einsum("...i,...i", first.view(np.float64), second.view(np.float64)))


def _extrapolation(older: Complex, last: Complex, change: Complex) -> Complex:
    """Return the rest of the way, from the last three changes, taken as a geometric series.

    The map is conjugate-linear near its solution, so that its modes come in pairs ±q: changes are
    compared two iterations apart, where both shrink by the same q².
    """
    ratio = _inner(older, change) / _inner(older, older)
    gain = np.where(ratio < 1.0, ratio / (1.0 - ratio), 0.0)
    return np.asarray((change + last) * gain[..., None])
