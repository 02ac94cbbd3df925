"""The network seen from its injections: Z as a matrix, or as a sparse factorisation.

Both kinds speak of all nodes; the rows of nodes that a source holds are zero, since no injection
moves them. Currents are in kVA per pu, so that Z times a current is a voltage in pu.
"""

from importlib.util import find_spec
from typing import Protocol

import numpy as np

from peercell.agents.errors import MissingExtraError
from peercell.grid.admittance import Complex, Index, Network
from peercell.grid.chains import chains
from peercell.grid.errors import CellError

DENSE_NODES = 200
PROBE_ERROR_MAX = 1e-4


class Impedance(Protocol):
    """What the power flow asks of a network.

    A current has shape (active + 1,) or (steps, active + 1). Its last entry is 1 and stands for the
    sources, so that one product gives w + Z I. Answers are contiguous in their last axis.
    """

    no_load: Complex

    def at_active(self, current: Complex) -> Complex:
        """Return the voltage at the active nodes in pu."""
        ...

    def mirrored(self, current: Complex) -> Complex:
        """Return conj(w) + conj(Z) I at the active nodes: conj(V), if I is the conjugate."""
        ...

    def everywhere(self, voltage: Complex, current: Complex) -> Complex:
        """Return the voltage at all nodes from that at the active ones and their current."""
        ...

    def columns(self, nodes: Index) -> Complex:
        """Return (all nodes, nodes): the rise per unit of current into each of the nodes."""
        ...


def impedance(network: Network, active: Index) -> Impedance:
    """Return the impedance of a network, dense up to `DENSE_NODES` free nodes.

    Raises
    ------
    MissingExtraError : the network is larger and SciPy is not installed.
    CellError : a node has no path to a source or to earth, so its voltage is undefined.
    """
    free = np.setdiff1d(np.arange(len(network.labels)), network.fixed)
    kind = _Dense if free.size <= DENSE_NODES else _Sparse
    try:
        return kind(network, free, active)
    except (np.linalg.LinAlgError, RuntimeError) as error:
        raise CellError(
            "the admittance matrix is singular",
            f"some node has no path to a source or to earth ({error})",
            "check the zero-sequence path of transformers and sources",
        ) from None


def _probe(size: int) -> Complex:
    """Return a voltage in which no pattern of the network hides."""
    return np.asarray(np.exp(1j * np.arange(size) ** 1.5))


def _require_unique(solved: Complex) -> None:
    """Raise LinAlgError when currents do not lead back to the voltages that they came from.

    A matrix that is singular but for rounding passes every factorisation.
    """
    error = np.abs(solved - _probe(solved.size)).max(initial=0.0)
    if not error < PROBE_ERROR_MAX:
        raise np.linalg.LinAlgError(f"a voltage comes back {error:.1e} pu off")


def _triplets(network: Network) -> tuple[Index, Index, Complex]:
    """Return rows, columns and values of the admittance matrix; repeated places add up."""
    shape = network.blocks.shape
    rows = np.broadcast_to(network.terminals[:, None, :], shape)
    columns = np.broadcast_to(network.terminals[None, :, :], shape)
    return rows.ravel(), columns.ravel(), network.blocks.ravel()


class _Matrices:
    """w and Z as matrices that a current, or a batch of rows of currents, multiplies from the left.

    Their last row is w.
    """

    def __init__(self, network: Network, active: Index, columns: Complex, no_load: Complex) -> None:
        answers = np.concatenate([columns, no_load[:, None]], axis=1)
        self._chains = chains(network, active, answers)
        self._active = np.ascontiguousarray(answers[active].T)
        self._mirrored = self._active.conj()
        self._keys = np.ascontiguousarray(answers[self._chains.keys].T)

    def at_active(self, current: Complex) -> Complex:
        answer: Complex = current.dot(self._active)
        return answer

    def mirrored(self, current: Complex) -> Complex:
        answer: Complex = current.dot(self._mirrored)
        return answer

    def everywhere(self, voltage: Complex, current: Complex) -> Complex:
        return self._chains.everywhere(voltage, current.dot(self._keys))


class _Dense(_Matrices):
    """Z as a matrix, by inversion."""

    def __init__(self, network: Network, free: Index, active: Index) -> None:
        nodes = len(network.labels)
        rows, columns, values = _triplets(network)
        admittance = np.zeros((nodes, nodes), np.complex128)
        np.add.at(admittance, (rows, columns), values)
        among_free = admittance[np.ix_(free, free)]
        inverse = np.linalg.inv(among_free)
        _require_unique(inverse @ (among_free @ _probe(free.size)))
        self.no_load = np.zeros(nodes, np.complex128)
        self.no_load[network.fixed] = network.fixed_voltage
        self.no_load[free] = -inverse @ (
            admittance[np.ix_(free, network.fixed)] @ network.fixed_voltage
        )
        self._full = np.zeros((nodes, nodes), np.complex128)
        self._full[np.ix_(free, free)] = inverse / network.kva
        super().__init__(network, active, self._full[:, active], self.no_load)

    def columns(self, nodes: Index) -> Complex:
        return self._full[:, nodes]


class _Sparse:
    """Z as a SuperLU factorisation; a matrix again where few nodes are active."""

    def __init__(self, network: Network, free: Index, active: Index) -> None:
        if find_spec("scipy") is None:
            raise MissingExtraError(f"a network of {free.size} nodes", "sparse")
        # Only large networks pay for the import of SciPy.
        from scipy.sparse import csc_matrix, linalg  # noqa: PLC0415 - see above

        nodes = len(network.labels)
        rows, columns, values = _triplets(network)
        admittance = csc_matrix((values, (rows, columns)), shape=(nodes, nodes))
        by_free = admittance[free]
        among_free = by_free[:, free].tocsc()
        self._lu = linalg.splu(among_free)
        _require_unique(self._lu.solve(among_free @ _probe(free.size)))
        self._nodes, self._free, self._kva = nodes, free, network.kva
        self._active_nodes = active
        self.no_load = np.zeros(nodes, np.complex128)
        self.no_load[network.fixed] = network.fixed_voltage
        self.no_load[free] = -self._lu.solve(by_free[:, network.fixed] @ network.fixed_voltage)
        self._matrices: _Matrices | None = None
        if active.size <= DENSE_NODES:
            self._matrices = _Matrices(network, active, self.columns(active), self.no_load)

    def at_active(self, current: Complex) -> Complex:
        if self._matrices is not None:
            return self._matrices.at_active(current)
        return np.take(self._at_all(current), self._active_nodes, axis=-1)

    def mirrored(self, current: Complex) -> Complex:
        if self._matrices is not None:
            return self._matrices.mirrored(current)
        return np.asarray(self.at_active(current.conj()).conj())

    def everywhere(self, voltage: Complex, current: Complex) -> Complex:
        if self._matrices is not None:
            return self._matrices.everywhere(voltage, current)
        return self._at_all(current)

    def columns(self, nodes: Index) -> Complex:
        unit = np.zeros((self._nodes, nodes.size), np.complex128)
        unit[nodes, np.arange(nodes.size)] = 1.0 / self._kva
        return self._solve(unit)

    def _at_all(self, current: Complex) -> Complex:
        spread = np.zeros((*current.shape[:-1], self._nodes), np.complex128)
        spread[..., self._active_nodes] = current[..., :-1] / self._kva
        return np.asarray(self._solve(spread.T).T + self.no_load)

    def _solve(self, current: Complex) -> Complex:
        """Return the rise (nodes, …) for currents (nodes, …) in pu."""
        rise = np.zeros(current.shape, np.complex128)
        rise[self._free] = self._lu.solve(np.ascontiguousarray(current[self._free]))
        return rise
