"""What the devices of a control case do to its monitored voltages and loadings."""

import numpy as np
from msgspec import Struct

from peercell.grid.admittance import Complex, Index, Real
from peercell.grid.control_case import ControlCase
from peercell.grid.engine import LinkFlow
from peercell.grid.errors import UnknownElementError
from peercell.grid.feeder import Feeder, State

# Central differences with this share of a rating: solver noise and curvature both stay below 1e-6
# of the derivative.
_STEP_SHARE = 1e-2
# What a solver leaves of a limit that is met exactly is no violation.
TOLERANCE_PU = 1e-6


class Controlled(Struct, frozen=True):
    """A solved state of a case: what a controller may measure, and the whole of it.

    `v_pu` follows the monitored buses, `loading_percent` the loading limits of the case.
    """

    v_pu: Real
    loading_percent: Real
    state: State


class Slopes(Struct, frozen=True):
    """Exact derivatives at an operating point, a column a device, per kW and per kvar.

    Attributes
    ----------
    v_per_kw, v_per_kvar : (monitored, devices) pu.
    loading : (loadings,) percent, turned by the angle of the power that flows: its magnitude is
        the loading, its real part goes with P and its imaginary part with Q.
    loading_per_kw, loading_per_kvar : (loadings, devices) of it, complex percent.
    """

    v_per_kw: Real
    v_per_kvar: Real
    loading: Complex
    loading_per_kw: Complex
    loading_per_kvar: Complex


class Outcome(Struct, frozen=True):
    """How good a control is.

    Attributes
    ----------
    in_limits : whether all voltages and loadings are within the limits, margins aside.
    loading_percent_max : None where the case limits no loading.
    curtailed_kw : power that the devices give up against their plans, either way.
    reactive_kvar : reactive power that they exchange, either way.
    objective : what the case's weights say it costs.
    """

    in_limits: bool
    v_max_pu: float
    v_min_pu: float
    loading_percent_max: float | None
    curtailed_kw: float
    reactive_kvar: float
    losses_kw: float
    objective: float


class ControlledFeeder:
    """The live network of a case, solved for P and Q of its devices.

    Attributes
    ----------
    case : the case; arrays over devices, buses and loadings follow it.
    feeder : its network, with the devices among its assets.
    low_pu, high_pu : (monitored,) limits of the voltages, margins aside.

    Raises
    ------
    UnknownElementError : a device or monitored bus has no source, or a limited branch is open.
    """

    def __init__(self, case: ControlCase) -> None:
        self.case = case
        self.feeder = Feeder(case.cell)
        self.low_pu, self.high_pu = np.array([case.band(bus) for bus in case.monitored]).T
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
        p_kw = np.array([device.can.planned_kw for device in self.case.devices])
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

    def device_voltages(self, p_kw: Real, q_kvar: Real) -> Real:
        """Return the voltage that each device sees at the power of all (devices,), in pu.

        Raises
        ------
        CollapseError : the network cannot carry this power.
        """
        state = self.feeder.solve(*self._powers(p_kw, q_kvar))
        return np.abs(state.voltage[self._at_devices])

    def outcome(self, p_kw: Real, q_kvar: Real) -> Outcome:
        """Return what the devices reach with their power (devices,), and what it costs.

        Raises
        ------
        CollapseError : the network cannot carry this power.
        """
        found = self.solve(p_kw, q_kvar)
        case = self.case
        high, low = float(found.v_pu.max()), float(found.v_pu.min())
        most = np.array([row.loading_percent_max for row in case.loadings])
        injected = list(zip(case.devices, p_kw.tolist(), q_kvar.tolist(), strict=True))
        return Outcome(
            in_limits=bool(
                (self.low_pu - TOLERANCE_PU <= found.v_pu).all()
                and (found.v_pu <= self.high_pu + TOLERANCE_PU).all()
                and (found.loading_percent <= most + 100.0 * TOLERANCE_PU).all()
            ),
            v_max_pu=high,
            v_min_pu=low,
            loading_percent_max=float(found.loading_percent.max()) if most.size else None,
            curtailed_kw=sum(abs(device.can.planned_kw - p) for device, p, _ in injected),
            reactive_kvar=float(np.abs(q_kvar).sum()),
            losses_kw=float(found.state.links.losses_kw),
            objective=sum(device.can.cost(p, q) for device, p, q in injected),
        )

    def slopes(self, p_kw: Real, q_kvar: Real) -> Slopes:
        """Return how voltages and loadings answer to each device at an operating point.

        Raises
        ------
        CollapseError : the network cannot carry this power.
        """
        count = p_kw.size
        step = _STEP_SHARE * np.array([device.can.rating_kva for device in self.case.devices])
        moves = np.concatenate([np.diag(step), -np.diag(step)])
        still = np.zeros_like(moves)
        p_rows = p_kw + np.concatenate([moves, still])
        q_rows = q_kvar + np.concatenate([still, moves])
        steps = self.feeder.solve_steps(*self._powers(p_rows, q_rows))
        for row in np.flatnonzero(~steps.converged)[:1]:
            self.solve(p_rows[row], q_rows[row])
        v_pu = np.abs(steps.voltage[:, self._monitored])
        loading = _turned(steps.links, self._branches)
        v_ends, loading_ends = v_pu.reshape(4, count, -1), loading.reshape(4, count, -1)
        return Slopes(
            v_per_kw=(v_ends[0] - v_ends[1]).T / (2.0 * step),
            v_per_kvar=(v_ends[2] - v_ends[3]).T / (2.0 * step),
            loading=_turned(self.solve(p_kw, q_kvar).state.links, self._branches),
            loading_per_kw=(loading_ends[0] - loading_ends[1]).T / (2.0 * step),
            loading_per_kvar=(loading_ends[2] - loading_ends[3]).T / (2.0 * step),
        )

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


def _turned(links: LinkFlow, branches: Index) -> Complex:
    """Return loadings (…, branches) in percent, turned by the angle of the power into the link."""
    power = links.from_kva[..., branches]
    size = np.abs(power)
    angle = np.where(size > 0.0, power, 1.0) / np.where(size > 0.0, size, 1.0)
    return np.asarray(100.0 * links.loading[..., branches] * angle)
