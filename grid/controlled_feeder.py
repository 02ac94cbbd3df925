"""What the devices of a control case do to its monitored voltages and loadings."""

from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from peercell.grid.admittance import Real
from peercell.grid.control_case import ControlCase
from peercell.grid.errors import UnknownElementError
from peercell.grid.feeder import Feeder, State

# Central differences with this share of a rating: solver noise and curvature both stay below 1e-6
# of the derivative.
_STEP_SHARE = 1e-2


class Controlled(Struct, frozen=True):
    """A solved state of a case: what a controller may measure, and the whole of it.

    `v_pu` follows the monitored buses, `loading_percent` the loading limits of the case.
    """

    v_pu: Real
    loading_percent: Real
    state: State


@dataclass(frozen=True, slots=True)
class Slopes:
    """Exact derivatives at an operating point, a column a device, per kW and per kvar.

    `v_*` (monitored, devices) in pu, `loading_*` (loadings, devices) in percent.
    """

    v_per_kw: Real
    v_per_kvar: Real
    loading_per_kw: Real
    loading_per_kvar: Real


class ControlledFeeder:
    """The live network of a case, solved for P and Q of its devices.

    Attributes
    ----------
    case : the case; arrays over devices, buses and loadings follow it.
    feeder : its network, with the devices among its assets.

    Raises
    ------
    UnknownElementError : a device or monitored bus has no source, or a limited branch is open.
    """

    def __init__(self, case: ControlCase) -> None:
        self.case = case
        self.feeder = Feeder(case.cell)
        place = {asset.id: k for k, asset in enumerate(case.cell.assets)}
        self._assets = np.array([place[device.id] for device in case.devices])
        nodes = [self.feeder.node_positions(bus)[0] for bus in case.monitored]
        self._monitored = np.array(nodes, np.int64)
        nodes = [self.feeder.node_positions(device.bus)[0] for device in case.devices]
        self._at_devices = np.array(nodes, np.int64)
        self._branches = np.array([self._branch(row.branch) for row in case.loadings], np.int64)
        self._fixed = self.feeder.nominal

    def _branch(self, name: str) -> int:
        if name not in self.feeder.branch_ids:
            raise UnknownElementError(
                f'branch "{name}" carries nothing', "it is open or has no source"
            )
        return self.feeder.branch_ids.index(name)

    @property
    def uncontrolled(self) -> tuple[Real, Real]:
        """P in kW and Q in kvar of the devices as long as nobody asks for anything else."""
        p_kw = np.array([device.planned_kw for device in self.case.devices])
        return p_kw, np.zeros_like(p_kw)

    def solve(self, p_kw: Real, q_kvar: Real) -> Controlled:
        """Return the state for the power of every device (devices,).

        Raises
        ------
        CollapseError : the network cannot carry this power.
        """
        state = self.feeder.solve(*self._powers(p_kw, q_kvar))
        v_pu = np.abs(state.voltage[self._monitored])
        return Controlled(v_pu, 100.0 * state.links.loading[self._branches], state)

    def slopes(self, p_kw: Real, q_kvar: Real) -> Slopes:
        """Return how voltages and loadings answer to each device at an operating point.

        Raises
        ------
        CollapseError : the network cannot carry this power.
        """
        count = p_kw.size
        step = _STEP_SHARE * np.array([device.rating_kva for device in self.case.devices])
        moves = np.concatenate([np.diag(step), -np.diag(step)])
        still = np.zeros_like(moves)
        p_rows = p_kw + np.concatenate([moves, still])
        q_rows = q_kvar + np.concatenate([still, moves])
        steps = self.feeder.solve_steps(*self._powers(p_rows, q_rows))
        for row in np.flatnonzero(~steps.converged)[:1]:
            self.solve(p_rows[row], q_rows[row])
        v_pu = np.abs(steps.voltage[:, self._monitored])
        percent = 100.0 * steps.links.loading[:, self._branches]
        found = []
        for values in (v_pu, percent):
            up_p, down_p, up_q, down_q = values.reshape(4, count, -1)
            found += [((up_p - down_p).T / (2.0 * step)), ((up_q - down_q).T / (2.0 * step))]
        return Slopes(*found)

    def lindistflow(self) -> tuple[Real, Real]:
        """Return R and X (monitored, devices) in pu per kW and kvar, from the network alone."""
        resistance, reactance = self.feeder.lindistflow
        where = np.ix_(self._monitored, self._at_devices)
        return resistance[where], reactance[where]

    def _powers(self, p_kw: Real, q_kvar: Real) -> tuple[Real, Real]:
        """Return P and Q of every asset (…, assets) for those of the devices (…, devices)."""
        shape = (*p_kw.shape[:-1], self._fixed[0].size)
        active, reactive = (np.broadcast_to(fixed, shape).copy() for fixed in self._fixed)
        active[..., self._assets], reactive[..., self._assets] = p_kw, q_kvar
        return active, reactive
