"""What controlling a case would cost if one desk knew everything: the reference for the peers.

Minimise the devices' cost subject to the limits, less their margins, and to what the devices can
do. Voltages and currents are replaced by their derivatives at the last solution and solved again
until the power flow says what they say. Currents stay complex, so that a loading keeps its
curvature: |I| is convex in P and Q, and taken as a line it swings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from peercell.agents.control.device import Device
from peercell.agents.convex import SolverError, minimise, modelling
from peercell.grid.admittance import Real
from peercell.grid.controlled_feeder import ControlledFeeder

ROUNDS_MAX = 30
# The linear model and the power flow agree to this, in pu and in parts of a loading.
_AGREEMENT = 1e-8
# A limit may be missed at this cost per 1 % of voltage or loading and kVA of all ratings, which is
# more than the devices save by it. A round that cannot keep a limit still brings the next closer.
_MISS_COST = 1e2
_MISSED_MAX = 1e-6
_DIGITS = 1e-8
_TASK = "the central optimum"


class ControlOptimum(Struct, frozen=True):
    """The cheapest way to keep the limits: P and Q of every device, its cost, rounds it took."""

    p_kw: Real
    q_kvar: Real
    objective: float
    rounds: int


def central_optimum(feeder: ControlledFeeder) -> ControlOptimum:
    """Return the optimum of a case, exact for its power flow.

    Raises
    ------
    MissingExtraError : cvxpy is not installed.
    SolverError : the devices cannot keep the limits, or the rounds do not settle.
    CollapseError : the network cannot carry the uncontrolled power.
    """
    at, missed, rounds = _settled(feeder)
    if missed > _MISSED_MAX:
        raise SolverError(
            "no control keeps the limits of this case",
            f"the closest that its devices come is {missed:.2g} % beyond",
            "more devices, wider limits, or less power",
        )
    return ControlOptimum(*at, feeder.outcome(*at).objective, rounds)


def _settled(feeder: ControlledFeeder) -> tuple[tuple[Real, Real], float, int]:
    """Return P and Q for which model and power flow agree, what they miss, and the rounds."""
    at, off = feeder.uncontrolled, np.inf
    for rounds in range(1, ROUNDS_MAX + 1):
        model = _Model(feeder, at)
        at, missed = _least_cost(feeder, model)
        off = model.off(feeder, at)
        if off <= _AGREEMENT:
            return at, missed, rounds
    raise SolverError(
        f"{_TASK} does not settle",
        f"after {ROUNDS_MAX} rounds the linear model is still {off:.1e} off",
    )


class _Model:
    """Voltages and loadings as linear functions of P and Q, exact at one point.

    The arguments of its methods are arrays, or variables of cvxpy.
    """

    def __init__(self, feeder: ControlledFeeder, at: tuple[Real, Real]) -> None:
        self._at = at
        self._v_pu = feeder.solve(*at).v_pu
        self._slopes = feeder.slopes(*at)

    def v_pu(self, p_kw: Any, q_kvar: Any) -> Any:
        """Return the monitored voltages."""
        slopes = self._slopes
        by_p, by_q = p_kw - self._at[0], q_kvar - self._at[1]
        return self._v_pu + slopes.v_per_kw @ by_p + slopes.v_per_kvar @ by_q

    def current(self, p_kw: Any, q_kvar: Any) -> tuple[Any, Any]:
        """Return real and imaginary part of what the limited branches carry, in percent."""
        slopes = self._slopes
        by_p, by_q = p_kw - self._at[0], q_kvar - self._at[1]
        kw, kvar = slopes.loading_per_kw, slopes.loading_per_kvar
        real = slopes.loading.real + kw.real @ by_p + kvar.real @ by_q
        return real, slopes.loading.imag + kw.imag @ by_p + kvar.imag @ by_q

    def off(self, feeder: ControlledFeeder, at: tuple[Real, Real]) -> float:
        """Return by how much the power flow differs at a point, in pu or parts of a rating."""
        found = feeder.solve(*at)
        loading = np.hypot(*self.current(*at))
        return max(
            float(np.abs(self.v_pu(*at) - found.v_pu).max()),
            float(np.abs(loading - found.loading_percent).max(initial=0.0)) / 100.0,
        )


def _least_cost(feeder: ControlledFeeder, model: _Model) -> tuple[tuple[Real, Real], float]:
    """Return P and Q of least cost within a linear model, and by how many percent it misses."""
    cvxpy, case = modelling(_TASK), feeder.case
    devices, limits = [device.can for device in case.devices], case.limits
    rating = np.array([device.rating_kva for device in devices])
    # In shares of the ratings, so that small and large devices are alike to the solver.
    share_p, share_q = cvxpy.Variable(len(devices)), cvxpy.Variable(len(devices))
    p_kw, q_kvar = cvxpy.multiply(rating, share_p), cvxpy.multiply(rating, share_q)
    missed = cvxpy.Variable(nonneg=True)
    voltage = model.v_pu(p_kw, q_kvar)
    bounds = [
        100.0 * (voltage - (feeder.high_pu - limits.margin_pu)) <= missed,
        100.0 * (feeder.low_pu + limits.margin_pu - voltage) <= missed,
        *_ranges(cvxpy, devices, share_p, share_q),
    ]
    if case.loadings:
        most = np.array([row.loading_percent_max for row in case.loadings])
        size = cvxpy.norm(cvxpy.vstack(model.current(p_kw, q_kvar)), 2, axis=0)
        bounds.append(size <= most * (1.0 - limits.margin_percent / 100.0) + missed)
    cost = _cost(cvxpy, devices, p_kw, q_kvar) / rating.sum()
    minimise(cost + _MISS_COST * missed, bounds, _DIGITS, _TASK)
    active = np.clip(p_kw.value, *np.array([(d.p_kw_min, d.p_kw_max) for d in devices]).T)
    most_kvar = [d.reactive_limit(p) for d, p in zip(devices, active.tolist(), strict=True)]
    reactive = np.clip(q_kvar.value, np.negative(most_kvar), most_kvar)
    return (active, reactive), float(missed.value)


def _ranges(cvxpy: Any, devices: Sequence[Device], share_p: Any, share_q: Any) -> list[Any]:
    """Return what the devices can do, for P and Q in shares of their ratings."""
    rating = np.array([device.rating_kva for device in devices])
    low, high, most = (
        np.array(values) / rating
        for values in zip(*((d.p_kw_min, d.p_kw_max, d.q_kvar_max) for d in devices), strict=True)
    )
    bounds = [share_p >= low, share_p <= high, cvxpy.abs(share_q) <= most]
    bounds.append(cvxpy.norm(cvxpy.vstack([share_p, share_q]), 2, axis=0) <= 1.0)
    tangents = {k: d.tan_max for k, d in enumerate(devices) if d.tan_max is not None}
    if tangents:
        rows, slopes = list(tangents), np.array(list(tangents.values()))
        bounds.append(cvxpy.abs(share_q[rows]) <= cvxpy.multiply(slopes, share_p[rows]))
    return bounds


def _cost(cvxpy: Any, devices: Sequence[Device], p_kw: Any, q_kvar: Any) -> Any:
    """Return the cost of leaving the plan."""
    plan = np.array([device.planned_kw for device in devices])
    linear, active, reactive = (
        np.array(values)
        for values in zip(
            *((d.weights.linear, d.weights.active, d.weights.reactive) for d in devices),
            strict=True,
        )
    )
    return (
        linear @ (plan - p_kw)
        + 0.5 * cvxpy.sum_squares(cvxpy.multiply(np.sqrt(active), plan - p_kw))
        + 0.5 * cvxpy.sum_squares(cvxpy.multiply(np.sqrt(reactive), q_kvar))
    )
