"""By how much shall the multipliers of the broken limits move? One small projected Newton step.

Whoever has the same numbers computes the same bits: sums run in a fixed order and nothing here
leaves it to a library in which order to add.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peercell.agents.control.device import Response

Real = npt.NDArray[np.float64]

ROWS_MAX = 40
"""Limits that move at once: those with a multiplier, then the worst broken ones."""

# Added to the diagonal of the curvature: a share of itself, and of what is yet to wake up.
_DAMPING, _SLEEPING = 1e-3, 0.02
_SWEEPS_MAX = 300
_SETTLED = 1e-9


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


def next_multipliers(limits: Limits, responses: Sequence[Response]) -> Real:
    """Return the multipliers (rows,) after one step.

    The step minimises d'H d / 2 - d' excess over the active limits with multipliers + d >= 0,
    where H is the answer of all excesses to all multipliers through the devices.

    Parameters
    ----------
    limits : as measured under the present multipliers
    responses : of each device to the present prices

    Source: Newton's method on the dual of section 3.2 of docs/explanation/control.md; projected
    Gauss-Seidel for the complementarity problem in it (Cottle, Pang and Stone 1992, chapter 5).
    """
    found = limits.multipliers.copy()
    active = _active(limits)
    if not active.size:
        return found
    per_kw, per_kvar = limits.per_kw[active], limits.per_kvar[active]
    excess = limits.excess[active].copy()
    start = found[active]
    moving = np.array([float(answer.gap == 0.0) for answer in responses])
    worst = int(np.argmax(excess))
    for raised, number in _waking(per_kw[worst], per_kvar[worst], responses, excess[worst]):
        excess -= raised * _curvature(per_kw, per_kvar, responses, moving)[:, worst]
        start[worst] += raised
        moving[number] = 1.0
    curvature = _curvature(per_kw, per_kvar, responses, moving)
    own = curvature.diagonal().copy()
    possible = _own_curvature(per_kw, per_kvar, responses)
    damped = own + _DAMPING * own + _SLEEPING * np.maximum(0.0, possible - own)
    np.fill_diagonal(curvature, damped)
    found[active] = start + _projected_step(curvature, excess, -start)
    return found


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


def _own_curvature(per_kw: Real, per_kvar: Real, responses: Sequence[Response]) -> Real:
    """Return the diagonal of the curvature if every device moved."""
    total = np.zeros(per_kw.shape[0])
    for number, answer in enumerate(responses):
        along = per_kw[:, number] + answer.edge * per_kvar[:, number]
        total += along * along * answer.along + per_kvar[:, number] ** 2 * answer.reactive
    return total


def _waking(
    per_kw: Real, per_kvar: Real, responses: Sequence[Response], excess: float
) -> Iterator[tuple[float, int]]:
    """Yield the devices that wake up as the price of one limit rises until it is kept.

    Where all reactive power is used and no active power is offered yet, the curvature is next to
    nothing and a Newton step would be huge. Each comes with the price above that of the one before.
    """
    slope = 0.0
    asleep: list[tuple[float, int, float]] = []
    for number, answer in enumerate(responses):
        along = float(per_kw[number]) + answer.edge * float(per_kvar[number])
        share = along * along * answer.along
        slope += float(per_kvar[number]) ** 2 * answer.reactive
        if answer.gap == 0.0:
            slope += share
        elif along * answer.gap > 0.0:
            asleep.append((answer.gap / along, number, share))
    price = 0.0
    for threshold, number, share in sorted(asleep):
        excess -= slope * (threshold - price)
        if excess <= 0.0:
            break
        yield threshold - price, number
        price = threshold
        slope += share


def _projected_step(curvature: Real, excess: Real, least: Real) -> Real:
    """Return d >= least that minimises d' curvature d / 2 - d' excess."""
    size = excess.size
    step = np.zeros(size)
    slope = -excess
    own = curvature.diagonal().tolist()
    bounds = least.tolist()
    scale = _SETTLED * float(np.abs(excess).max())
    for _ in range(_SWEEPS_MAX):
        largest = 0.0
        for row in range(size):
            if own[row] <= 0.0:
                continue
            old = float(step[row])
            new = max(old - float(slope[row]) / own[row], bounds[row])
            if new != old:
                step[row] = new
                slope += curvature[row] * (new - old)
                largest = max(largest, abs(new - old) * own[row])
        if largest <= scale:
            break
    return step
