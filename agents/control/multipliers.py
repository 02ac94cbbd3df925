"""By how much shall the multipliers of the broken limits move? One small projected Newton step.

Whoever has the same numbers computes the same bits: sums run in a fixed order and nothing here
leaves it to a library in which order to add.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peercell.agents.control.device import Response

Real = npt.NDArray[np.float64]

ROWS_MAX = 12
"""Limits that move at once: those with a multiplier, then the worst broken ones."""

# Share of itself that is added to the diagonal: rows of near buses are almost the same.
_DAMPING = 1e-3
# What is left of the price of a limit that is kept with room to spare when nobody answers to it.
_UNANSWERED = 0.5
# The next epoch measures anew, so this need not be exact.
_SWEEPS_MAX = 100
_SETTLED = 1e-4


@dataclass(frozen=True)
class Limits:
    """The limits that somebody watches, one a row.

    Parameters
    ----------
    excess : (rows,) how far beyond, < 0 within; pu of a voltage, of its rating for a loading
    multipliers : (rows,) >= 0, price of each limit in cost per pu
    per_kw, per_kvar : (rows, devices) rise of `excess` with P and Q of each device
    """

    excess: Real
    multipliers: Real
    per_kw: Real
    per_kvar: Real


@dataclass(frozen=True)
class Step:
    """Where one step leads to.

    Parameters
    ----------
    multipliers : (rows,) after it, >= 0
    reaches : (rows,) True where by the model nothing of the excess is left then; not so where the
        multiplier has come down to 0, or nobody answers
    """

    multipliers: Real
    reaches: npt.NDArray[np.bool_]


def next_multipliers(limits: Limits, responses: Sequence[Response]) -> Step:
    """Return the multipliers after one step.

    The step minimises the dual of the problem as the devices describe it: quadratic where they
    move, and for each device at a bound a half parabola that begins where it leaves it. Without
    that, a price that wakes nobody up looks free, and the next one wakes everybody.

    Parameters
    ----------
    limits : as measured under the present multipliers
    responses : of each device to the present prices

    Source: Newton's method on the dual of docs/explanation/control.md; Gauss-Seidel with exact
    steps, which descends on every convex problem of this form (Bertsekas 1999, section 2.7).
    """
    found, reaches = limits.multipliers.copy(), np.zeros(limits.excess.size, np.bool_)
    active = _active(limits)
    if not active.size:
        return Step(found, reaches)
    per_kw, per_kvar = limits.per_kw[active], limits.per_kvar[active]
    moving = np.array([float(answer.gap == 0.0) for answer in responses])
    curvature = _curvature(per_kw, per_kvar, responses, moving)
    np.fill_diagonal(curvature, curvature.diagonal() * (1.0 + _DAMPING))
    asleep = [
        _Sleeper((per_kw[:, number] + told.edge * per_kvar[:, number]).tolist(), told)
        for number, told in enumerate(responses)
        if told.gap != 0.0
    ]
    found[active] += _descend(curvature, limits.excess[active], -found[active], asleep)
    # With all Q used up and all P at a bound a price may be far too high, and nobody can tell.
    dear = active[(curvature.diagonal() == 0.0) & (limits.excess[active] < 0.0)]
    reaches[active] = found[active] > 0.0
    found[dear] *= _UNANSWERED
    reaches[dear] = False
    return Step(found, reaches)


def row_sum_steps(limits: Limits, responses: Sequence[Response]) -> Real:
    """Return a step per pu of excess for each row that is safe if all take it at once.

    One by the row sum of the curvature over the active limits (Gershgorin); 0 where no device can
    help.
    """
    moving = np.ones(len(responses))
    active = _active(limits)
    steps = np.zeros(limits.excess.size)
    curvature = _curvature(limits.per_kw[active], limits.per_kvar[active], responses, moving)
    for row, values in zip(active, np.abs(curvature), strict=True):
        total = 0.0
        for value in values.tolist():
            total += value
        steps[row] = 1.0 / total if total > 0.0 else 0.0
    return steps


def _active(limits: Limits) -> npt.NDArray[np.intp]:
    """Return the rows with a multiplier or a broken limit, the most important ones in order."""
    priced = limits.multipliers > 0.0
    rows = np.flatnonzero(priced | (limits.excess > 0.0))
    if rows.size > ROWS_MAX:
        urgency = np.where(priced[rows], np.inf, limits.excess[rows])
        rows = np.sort(rows[np.argsort(-urgency, kind="stable")[:ROWS_MAX]])
    return rows


def _curvature(per_kw: Real, per_kvar: Real, responses: Sequence[Response], moving: Real) -> Real:
    """Return (rows, rows): fall of each excess with each multiplier; `moving` weighs P's part."""
    rows = per_kw.shape[0]
    total = np.zeros((rows, rows))
    for number, answer in enumerate(responses):
        if moving[number]:
            along = per_kw[:, number] + answer.edge * per_kvar[:, number]
            total += np.multiply.outer(along, along) * answer.along
        if answer.reactive:
            across = per_kvar[:, number]
            total += np.multiply.outer(across, across) * answer.reactive
    return total


class _Sleeper:
    """A device at a bound of P: for each row what its way does to it, and the price it has so far.

    It gives `along` for each unit of price beyond the gap, nothing before.
    """

    def __init__(self, slopes: list[float], told: Response) -> None:
        self.slopes = slopes
        self.along = told.along
        self.gap = told.gap
        self.price = 0.0

    @property
    def is_awake(self) -> bool:
        """True beyond the gap, on whichever side of 0 it is."""
        return self.price > self.gap if self.gap > 0.0 else self.price < self.gap

    def given(self) -> float:
        """Return by how much the device moves at its price."""
        return self.along * (self.price - self.gap) if self.is_awake else 0.0


def _descend(curvature: Real, excess: Real, least: Real, asleep: Sequence[_Sleeper]) -> Real:
    """Return d >= least at the minimum of the dual, row by row until nothing moves."""
    step = np.zeros(excess.size)
    slope = -excess
    own, bounds = curvature.diagonal().tolist(), least.tolist()
    settled = _SETTLED * float(np.abs(excess).max())
    for _ in range(_SWEEPS_MAX):
        largest = 0.0
        for row, curve in enumerate(own):
            old = float(step[row])
            by = max(_way(row, float(slope[row]), curve, asleep), bounds[row] - old)
            if by == 0.0:
                continue
            step[row] = old + by
            slope += curvature[row] * by
            for device in asleep:
                device.price += device.slopes[row] * by
            largest = max(largest, abs(by) * curve)
        if largest <= settled:
            break
    return step


def _way(row: int, slope: float, curve: float, asleep: Sequence[_Sleeper]) -> float:
    """Return how far one multiplier must move until its limit is kept, as devices wake up."""
    turns: list[tuple[float, float]] = []
    for device in asleep:
        rise = device.slopes[row]
        if rise == 0.0:
            continue
        slope += rise * device.given()
        steep = rise * rise * device.along
        if device.is_awake:
            curve += steep
            steep = -steep
        turns.append(((device.gap - device.price) / rise, steep))
    if slope == 0.0:
        return 0.0
    sign = -1.0 if slope > 0.0 else 1.0
    left, at = abs(slope), 0.0
    for distance, steep in sorted((sign * turn, steep) for turn, steep in turns):
        if distance <= 0.0:
            continue
        if curve * (distance - at) >= left:
            break
        left -= curve * (distance - at)
        at = distance
        curve += steep
    return sign * (at + left / curve) if curve > 0.0 else 0.0
