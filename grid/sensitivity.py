"""How voltages answer to injections: exactly at an operating point, and by LinDistFlow.

Everything is per kW and per kvar of injection at the nodes asked for, magnitudes in pu.
"""

from dataclasses import dataclass

import numpy as np

from peercell.grid.admittance import Complex, Index, Real
from peercell.grid.engine import Flow, PowerFlow, VoltageDependence


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """d|V| of every node (rows) per kW and per kvar injected at each node asked for (columns)."""

    per_kw: Real
    per_kvar: Real


def exact_sensitivity(
    engine: PowerFlow,
    flow: Flow,
    power: Complex,
    nodes: Index,
    dependence: VoltageDependence | None = None,
) -> Sensitivity:
    """Return the derivatives at a solved state.

    Parameters
    ----------
    engine : the network that was solved.
    flow : the solution.
    power : (active,) kVA, the constant-power injection that led to it.
    nodes : where to inject; any nodes that no source holds.
    dependence : the voltage-dependent injection, if there was one.

    Notes
    -----
    With I = conj(S(|V|) / V) and V = w + Z I, a change at the nodes obeys
    dV - Z (E dV + F conj(dV)) = Z conj(dS / V), where F = conj(S'(|V|)) V / (2 |V| conj(V)) -
    conj(S) / conj(V)² and E = conj(S'(|V|)) / (2 |V|): one real system of twice the active nodes.
    """
    voltage = flow.voltage
    active = voltage[engine.active]
    total = power if dependence is None else power + dependence.power(active)
    by_voltage = np.zeros_like(active)
    by_conjugate = -total.conj() / active.conj() ** 2
    if dependence is not None:
        by_voltage = dependence.slope(active).conj() / (2.0 * np.abs(active))
        by_conjugate = by_conjugate + by_voltage * active / active.conj()
    source = engine.impedance.columns(nodes) / voltage[nodes].conj()
    drive = np.concatenate([source, -1j * source], axis=1)
    columns = engine.impedance.columns(engine.active)
    matrix = columns[engine.active]
    answer = _solve_widely_linear(matrix, by_voltage, by_conjugate, drive[engine.active])
    induced = by_voltage[:, None] * answer + by_conjugate[:, None] * answer.conj()
    change = drive + columns @ induced
    magnitude = (voltage.conj()[:, None] * change).real / np.abs(voltage)[:, None]
    return Sensitivity(magnitude[:, : nodes.size], magnitude[:, nodes.size :])


def _solve_widely_linear(
    matrix: Complex, by_voltage: Complex, by_conjugate: Complex, drive: Complex
) -> Complex:
    """Return x of x - Z (E x + F conj(x)) = drive, for each column of drive."""
    size = matrix.shape[0]
    linear = np.eye(size) - matrix * by_voltage
    conjugate = -matrix * by_conjugate
    both, difference = linear + conjugate, linear - conjugate
    real = np.block([[both.real, -difference.imag], [both.imag, difference.real]])
    solution = np.linalg.solve(real, np.concatenate([drive.real, drive.imag]))
    return solution[:size] + 1j * solution[size:]


def first_order_sensitivity(engine: PowerFlow, voltage: Complex, nodes: Index) -> Sensitivity:
    """Return the derivatives without the injections' own answer: Z / conj(V) seen along V.

    Two to five percent off at ordinary loading, and no system to solve.
    """
    rise = engine.impedance.columns(nodes) / voltage[nodes].conj()
    seen = (voltage.conj() / np.abs(voltage))[:, None] * rise
    return Sensitivity(seen.real, seen.imag)


def lindistflow(engine: PowerFlow, nodes: Index) -> tuple[Real, Real]:
    """Return R and X (nodes, nodes) in pu per kW and per kvar of the linear model.

    |V| = |w| + R p + X q: what control agents work with, from the network alone and independent of
    any load. Phase shifts of transformers are taken out.

    Source: Baran and Wu 1989, as linearised by Farivar, Chen and Low 2013.
    """
    linear = first_order_sensitivity(engine, engine.impedance.no_load, nodes)
    return linear.per_kw[nodes], linear.per_kvar[nodes]
