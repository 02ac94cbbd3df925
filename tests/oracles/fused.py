"""What all oracles share: buses fused by closed switches, ends that a switch opens, a solution."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from peercell.grid.admittance import Real
from peercell.grid.feeder import State
from peercell.grid.model import Asset, Branch, Cell, Phase, Switch, Tap, Transformer

FREQUENCY_HZ = 50.0
PHASES = {Phase.ABC: (0, 1, 2), Phase.A: (0,), Phase.B: (1,), Phase.C: (2,)}


@dataclass(frozen=True)
class Solution:
    """What an oracle found, by id; only what has voltage.

    Attributes
    ----------
    voltage : complex pu of each node: "17", or "17.a", "17.b", "17.c" in a cell of three phases.
    current_a : largest current at the terminals of each branch and of each transformer end, in A.
    losses_kw : of all branches and transformers.
    """

    voltage: dict[str, complex]
    current_a: dict[str, tuple[float, float]]
    losses_kw: float


class Oracle(Protocol):
    """A solver that we did not write."""

    name: str

    def solve(self, p_kw: Real, q_kvar: Real) -> Solution:
        """Return the state for the power of every asset, kW and kvar, positive = injection."""
        ...


def groups(cell: Cell) -> dict[str, int]:
    """Return for each bus the number of its group: buses joined by closed switches share one."""
    index = {bus.id: position for position, bus in enumerate(cell.buses)}
    closed = [s for s in cell.switches if s.closed and s.other_bus is not None]
    rows = [index[switch.bus] for switch in closed]
    columns = [index[str(switch.other_bus)] for switch in closed]
    shape = (len(index), len(index))
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=shape)
    _, labels = connected_components(graph, directed=False)
    return {bus: int(labels[position]) for bus, position in index.items()}


def is_connected(cell: Cell, element: str, bus: str) -> bool:
    """Tell whether no open switch stands at the `bus` end of a branch or transformer."""
    return not any(_opens(switch, element, bus) for switch in cell.switches)


def _opens(switch: Switch, element: str, bus: str) -> bool:
    return not switch.closed and switch.branch == element and switch.bus == bus


def two_ended(cell: Cell) -> list[tuple[Branch | Transformer, str, str]]:
    """Return branches and transformers in service with their buses, branches first."""
    ends: list[tuple[Branch | Transformer, str, str]] = []
    ends += [(branch, branch.from_bus, branch.to_bus) for branch in cell.branches]
    ends += [(each, each.hv_bus, each.lv_bus) for each in cell.transformers]
    return [found for found in ends if found[0].in_service]


def tap_of(transformer: Transformer) -> Tap:
    """Return the row of the tap table at which the cell file leaves the transformer."""
    return next(tap for tap in transformer.taps if tap.position == transformer.tap)


def placed_assets(cell: Cell) -> list[tuple[Asset, str]]:
    """Return each asset with its bus, in the order of `cell.assets`."""
    return [(asset, customer.bus) for customer in cell.customers for asset in customer.assets]


def constant_power_share(asset: Asset) -> tuple[float, float]:
    """Return the shares of P and Q that do not follow the voltage."""
    return 1.0 - asset.z_p - asset.i_p, 1.0 - asset.z_q - asset.i_q


def largest_difference_pu(state: State, node_ids: tuple[str, ...], other: Solution) -> float:
    """Return the largest |dV|, complex, over all nodes; every node must be in both."""
    assert set(node_ids) == set(other.voltage), set(node_ids) ^ set(other.voltage)
    theirs = np.array([other.voltage[node] for node in node_ids])
    return float(np.abs(state.voltage - theirs).max())
