"""Power flow: fixed-point current injection on the impedance matrix.

With I = conj(S / V), the current that the injections push into the nodes, the network answers
V = w + Z I, where w is the profile without injections. Iterating the two from V = w converges
linearly, and with a few extrapolations up to 99.9 % of the collapse loading; it always starts from
w, so that a state gives the same bits whatever came before. Nodes are phases of buses: one and
three phases are the same code.

Two iterations make a round: the first gives conj(V), the second V, so that no conjugate is ever
taken, and changes are compared from round to round. The map is conjugate-linear near its solution,
so its modes come in pairs ±q; over a round both shrink by the same q². Where there is no solution,
rounds may settle on a swing between two voltages, which is why the two are compared in the end.

Source: Giraldo, Vergara, Palensky, "A fixed-point current injection power flow for electric
distribution systems using Laurent series", PSCC 2022; the stopping rule is Banach's bound, the
extrapolation Aitken's.
"""

from math import sqrt

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from peercell.grid.admittance import Complex, Index, Network, Real
from peercell.grid.errors import CollapseError
from peercell.grid.impedance import impedance

ITERATIONS_MAX = 200
ERROR_PU_MAX = 1e-9
# Two rounds of 64 shares find the solvable part of a power to 1 in 4096.
_SHARES = 64
_SHARE_ROUNDS = 2
# A settled round whose two voltages are further apart is a swing, no solution.
_SWING_PU_MAX = 1e-3
# Rounds after which to extrapolate; ever longer gaps let any contraction win in the end.
_EXTRAPOLATIONS = frozenset({2, 4, 8, 16, 32, 64})


class VoltageDependence(Struct, frozen=True):
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

    def rows(self, index: npt.NDArray[np.bool_]) -> "VoltageDependence":
        """Return the dependence of some steps of many."""
        return VoltageDependence(self.current[index], self.impedance[index])


class Flow(Struct, frozen=True):
    """One solved state: complex voltage of every node in pu, and how many iterations it took."""

    voltage: Complex
    iterations: int


class BatchFlow(Struct, frozen=True):
    """Solved states: voltages (steps, nodes) in pu; a row that is not `converged` is zero."""

    voltage: Complex
    iterations: int
    converged: npt.NDArray[np.bool_]


class LinkFlow(Struct, frozen=True):
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
        opposite = power.conj()
        current = np.empty(power.size + 1, np.complex128)
        current[-1] = 1.0
        voltage = last = self._start
        previous, rate = 0.0, 1.0
        with np.errstate(all="ignore"):
            for iteration in range(2, ITERATIONS_MAX + 1, 2):
                mirror, new = self._round((power, opposite), dependence, voltage, current)
                change = new - voltage
                step = sqrt(np.vdot(change, change).real)
                if previous:
                    rate = step / previous
                # Banach: with this contraction, the error is at most step rate / (1 - rate), and
                # sqrt(rate) of it after one more iteration.
                bound = ERROR_PU_MAX * (1.0 - rate)
                if step * rate * sqrt(rate) <= bound or step == 0.0:
                    swing = new - mirror.conj()
                    if not np.vdot(swing, swing).real < _SWING_PU_MAX**2:
                        break
                    more = int(step * rate > bound)
                    if more:
                        new = self._next(power, dependence, new, current)
                    return Flow(self.impedance.everywhere(new, current), iteration + more)
                if not step < np.inf:
                    break
                previous, before = step, previous
                if iteration // 2 in _EXTRAPOLATIONS:
                    ratio = np.vdot(last, change) / before**2
                    if abs(ratio) < 1.0:
                        new += ratio / (1.0 - ratio) * change
                        previous = 0.0
                voltage, last = new, change
        raise self._collapse(power, dependence)

    def _round(
        self,
        powers: tuple[Complex, Complex],
        dependence: VoltageDependence | None,
        voltage: Complex,
        current: Complex,
    ) -> tuple[Complex, Complex]:
        """Return conj(V) after one iteration and V after two; `current` is that of the second.

        The powers are S and conj(S).
        """
        injected = current[..., :-1]
        total, opposite = powers
        if dependence is not None:
            total = powers[0] + dependence.power(voltage)
        np.divide(total, voltage, injected)
        mirror = self.impedance.mirrored(current)
        if dependence is not None:
            opposite = np.conjugate(powers[0] + dependence.power(mirror))
        np.divide(opposite, mirror, injected)
        return mirror, self.impedance.at_active(current)

    def _next(
        self,
        power: Complex,
        dependence: VoltageDependence | None,
        voltage: Complex,
        current: Complex,
    ) -> Complex:
        """Return V after one iteration; `current` is its."""
        injected = current[..., :-1]
        total = power if dependence is None else power + dependence.power(voltage)
        np.divide(total, voltage, injected)
        np.conjugate(injected, injected)
        return self.impedance.at_active(current)

    def solve_batch(self, power: Complex, dependence: VoltageDependence | None = None) -> BatchFlow:
        """Return the states for powers in kVA (steps, active); none depends on another.

        A step leaves the batch as soon as it is decided. Some hundred steps at a time fit a cache.
        """
        count, active = power.shape
        voltages, currents = np.zeros_like(power), np.ones((count, active + 1), np.complex128)
        converged, left, iteration = np.zeros(count, np.bool_), np.arange(count), 0
        current = currents.copy()
        voltage = last = np.broadcast_to(self._start, power.shape)
        previous, rate = np.zeros(count), np.ones(count)
        with np.errstate(all="ignore"):
            while left.size and iteration < ITERATIONS_MAX:
                iteration += 2
                mirror, new = self._round((power, power.conj()), dependence, voltage, current)
                change = new - voltage
                step = np.sqrt(np.vecdot(change, change).real)
                rate = np.where(previous > 0.0, step / previous, rate)
                done = (step * rate <= ERROR_PU_MAX * (1.0 - rate)) | (step == 0.0)
                stays = ~done & (step < np.inf)
                if not stays.all():
                    done &= np.linalg.norm(new - mirror.conj(), axis=1) < _SWING_PU_MAX
                    rows = left[done]
                    voltages[rows], currents[rows], converged[rows] = new[done], current[done], True
                    left, power, current, rate = (a[stays] for a in (left, power, current, rate))
                    new, change, last, step = (a[stays] for a in (new, change, last, step))
                    dependence = dependence and dependence.rows(stays)
                previous = step
                if iteration // 2 in _EXTRAPOLATIONS:
                    previous = _extrapolate(new, change, last, step)
                voltage, last = new, change
            everywhere = self.impedance.everywhere(voltages, currents)
        everywhere[~converged] = 0.0
        return BatchFlow(everywhere, iteration, converged)

    def link_flow(self, voltage: Complex) -> LinkFlow:
        """Return what the links carry at node voltages (nodes,) or (steps, nodes) in pu."""
        at = voltage.take(self.network.terminals, -1)
        current = self._blocks[0] * at[..., 0:1, :]
        for column in range(1, 2 * self.network.phases):
            current += self._blocks[column] * at[..., column : column + 1, :]
        loading = np.maximum.reduce(np.abs(current) * self._per_limit, -2)
        np.conjugate(current, current)
        at *= current
        lead, count = at.shape[:-2], at.shape[-1]
        ends = at
        if self.network.phases > 1:
            ends = np.add.reduce(at.reshape(*lead, 2, self.network.phases, count), -2)
        links = self.network.source_links
        own = ends if not links else ends[..., :-links]
        flat = at.reshape(*lead, at.shape[-2] * count)
        source = np.add.reduce(flat.take(self._stiff, -1), -1)
        return LinkFlow(
            from_kva=own[..., 0, :],
            to_kva=own[..., 1, :],
            loading=loading if not links else loading[..., :-links],
            source_kva=source if not links else source - ends[..., 1, -links:].sum(-1),
            losses_kw=np.add.reduce(own.real, (-2, -1)),
        )

    def _collapse(self, power: Complex, dependence: VoltageDependence | None) -> CollapseError:
        """Return the error that says how much of a power the network carries, and what fails."""
        solvable, width = 0.0, 1.0
        voltage = self.impedance.no_load
        for _ in range(_SHARE_ROUNDS):
            shares = solvable + width * np.arange(_SHARES)[:, None] / _SHARES
            part = dependence and VoltageDependence(
                shares * dependence.current, shares * dependence.impedance
            )
            flow = self.solve_batch(shares * power, part)
            last = int(np.argmin([*flow.converged, False])) - 1
            if last >= 0:
                solvable, voltage = float(shares[last, 0]), flow.voltage[last]
            width /= _SHARES
        drop = np.abs(voltage - self.impedance.no_load)[self.active]
        weakest = int(self.active[int(np.argmax(drop))])
        label = self.network.labels[weakest]
        return CollapseError(
            "the power flow has no solution: the network cannot carry this power",
            f"it carries {solvable:.1%} of it; bus {label} is the weakest, "
            f"at {abs(voltage[weakest]):.3f} pu there",
            "reduce the power, raise the source voltage, or close a switch",
            label,
        )


def _extrapolate(new: Complex, change: Complex, last: Complex, step: Real) -> Real:
    """Add the rest of the geometric series of changes to each row; return the steps, then 0."""
    ratio = np.vecdot(last, change) / np.vecdot(last, last)
    good = np.abs(ratio) < 1.0
    new += np.where(good, ratio / (1.0 - ratio), 0.0)[:, None] * change
    return np.where(good, 0.0, step)
