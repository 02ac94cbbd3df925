"""From what everybody has told in an epoch to the multipliers of the next: the same for all."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct

from peercell.agents.control.device import Response
from peercell.agents.control.multipliers import Limits, Step, next_multipliers, row_sum_steps
from peercell.agents.control.paths import Path, Track
from peercell.agents.control.voltage_messages import GAIN_MAX, LimitPrice, State, Trial

OVER, UNDER, LOADING = range(3)
_SIGN = {OVER: 1.0, UNDER: -1.0}
# From one step at most this factor of the gain is learnt, since loads and the sun move as well; and
# an overshoot by less than the second tells nothing: a linear model is off by as much at full sun.
# It is also how fast a gain is forgotten.
_LEARNT_MAX, _USUAL = 2.0, 1.25
# An excess below this says nothing about the gain.
_TELLING_PU = 1e-4
# A model wrong by as much as a gain can mend overshoots by little more than this times the excess,
# twice as far where devices came to the end of their range before. What overshoots further is news,
# such as a new plan or the sun behind a cloud, unless it only undoes the step before.
_OVERSHOOT_MAX = 2.0 * (GAIN_MAX - 1.0)


class Band(Struct, frozen=True, kw_only=True):
    """Where voltages are to stay.

    Parameters
    ----------
    v_min_pu, v_max_pu : limits, pu
    margin_pu : pu that control stays inside of them; larger costs curtailment, bears noise
    """

    v_min_pu: float
    v_max_pu: float
    margin_pu: float

    def excess(self, kind: int, v_pu: float) -> float:
        """Return how far a voltage is beyond one of the limits, < 0 within."""
        if kind == OVER:
            return v_pu - (self.v_max_pu - self.margin_pu)
        return self.v_min_pu + self.margin_pu - v_pu


class Statement(Struct, frozen=True):
    """What a member has told in an epoch, and where it is."""

    member: int
    state: State
    path: Path


class View(Struct, frozen=True):
    """All that the next prices follow from: equal views lead to equal bits.

    Parameters
    ----------
    statements : of the members, in the order of the roster
    prices : under which they were made
    band : where voltages are to stay
    trial : what the step to these prices was to do
    """

    statements: tuple[Statement, ...]
    prices: tuple[LimitPrice, ...]
    band: Band
    trial: Trial = Trial()


def price_at(
    track: Track, prices: Sequence[LimitPrice], tracks: Mapping[int, Track]
) -> tuple[float, float]:
    """Return the price of a kW and of a kvar at a place: what they do to each limit times its cost.

    Parameters
    ----------
    track : of the place
    prices : of the limits
    tracks : of their members; a limit whose place is not known yet counts for nothing
    """
    price_kw = price_kvar = 0.0
    for limit in prices:
        owner = tracks.get(limit.member)
        if owner is None:
            continue
        per_kw, per_kvar = _slopes(limit.kind, owner, track, limit.per_kw)
        price_kw += limit.multiplier * per_kw
        price_kvar += limit.multiplier * per_kvar
    return price_kw, price_kvar


@lru_cache(maxsize=8)
def next_prices(view: View) -> tuple[tuple[LimitPrice, ...], Trial]:
    """Return the multipliers above 0 for the next epoch, and what they are to do.

    Kept for the last few views: peers that share a process often have the same one.
    """
    rows, limits, responses = _limits(view)
    gain = _gain(view.trial, rows, limits.excess)
    step = next_multipliers(limits, responses)
    moves = (step.multipliers - limits.multipliers) / gain
    trial = _trial(view.trial, gain, rows, limits, step)
    return _priced(rows, limits.multipliers + moves), trial


@lru_cache(maxsize=8)
def lonely_steps(view: View) -> Mapping[tuple[int, int], float]:
    """Return for each limit the new multiplier if every member moves its own by itself.

    Steps that are safe together: see `row_sum_steps`.
    """
    rows, limits, responses = _limits(view)
    steps = row_sum_steps(limits, responses) / view.trial.gain
    moved = np.maximum(limits.multipliers + steps * limits.excess, 0.0)
    return {(row.member, row.kind): float(m) for row, m in zip(rows, moved, strict=True)}


def _limits(view: View) -> tuple[list[LimitPrice], Limits, list[Response]]:
    """Return the limits of a view with excess and slopes, and all devices."""
    tracks = {s.member: Track(s.path) for s in view.statements}
    known = {(price.member, price.kind): price.multiplier for price in view.prices}
    answering = [s for s in view.statements if s.state.answers]
    rows: list[LimitPrice] = []
    excess: list[float] = []
    for said in view.statements:
        for kind, amount in _excesses(said, view.band, answering, tracks):
            own = said.state.own
            multiplier = known.get((said.member, kind), 0.0) if own is None else own[kind]
            if multiplier > 0.0 or amount > 0.0:
                steep = said.state.loading.per_kw if said.state.loading is not None else 0.0
                rows.append(LimitPrice(said.member, kind, multiplier, steep))
                excess.append(amount)
    slopes = np.array(
        [
            [_slopes(row.kind, tracks[row.member], tracks[s.member], row.per_kw) for s in answering]
            for row in rows
        ]
    ).reshape(len(rows), len(answering), 2)
    counts = [len(said.state.answers) for said in answering]
    limits = Limits(
        excess=np.array(excess),
        multipliers=np.array([row.multiplier for row in rows]),
        per_kw=np.repeat(slopes[..., 0], counts, axis=1),
        per_kvar=np.repeat(slopes[..., 1], counts, axis=1),
    )
    told = [answer for said in answering for answer in said.state.answers]
    return rows, limits, [Response(a.along, a.edge, a.reactive, a.gap) for a in told]


def _gain(trial: Trial, rows: Sequence[LimitPrice], excess: np.ndarray) -> float:
    """Return by what the next step is to be divided, now that it is seen what the last one did.

    The secant of the limit that was to tell: of its excess nothing would be left by the model.
    Without this, agents that take R and X for half of what they are overshoot for ever. Where the
    multiplier had to stop at 0, or nobody answered, something is left in any case: that is no
    reason to forget, while an overshoot tells as much as elsewhere.
    """
    for row, amount in zip(rows, excess.tolist(), strict=True):
        told = (row.member, row.kind) == (trial.member, trial.kind)
        if not told or abs(trial.excess) < _TELLING_PU:
            continue
        undone = trial.before != 0.0 and 0.0 < amount / trial.before <= _USUAL
        if amount / trial.excess < -_OVERSHOOT_MAX and not undone:
            return trial.gain
        learnt = min(max(1.0 - amount / trial.excess, 1.0 / _USUAL), _LEARNT_MAX)
        if 1.0 < learnt < _USUAL or (learnt <= 1.0 and not trial.reaches):
            return trial.gain
        return float(min(max(trial.gain * learnt, 1.0), GAIN_MAX))
    return trial.gain


def _trial(
    last: Trial, gain: float, rows: Sequence[LimitPrice], limits: Limits, step: Step
) -> Trial:
    """Return what is to be learnt from a step: of the limit whose move is worth most."""
    worth = (step.multipliers - limits.multipliers) * limits.excess
    if not worth.size or float(worth.max()) <= 0.0:
        return Trial(gain)
    most = int(worth.argmax())
    member, kind = rows[most].member, rows[most].kind
    return Trial(
        gain=gain,
        member=member,
        kind=kind,
        excess=float(limits.excess[most]),
        reaches=bool(step.reaches[most]),
        before=last.excess if (member, kind) == (last.member, last.kind) else 0.0,
    )


def _excesses(
    said: Statement, band: Band, answering: Sequence[Statement], tracks: Mapping[int, Track]
) -> list[tuple[int, float]]:
    """Return by how much each limit of a member would be broken without primary control."""
    shift = 0.0
    for other in answering:
        state = other.state
        if state.off_kw or state.off_kvar:
            per_kw, per_kvar = tracks[said.member].shared(tracks[other.member])
            shift += per_kw * state.off_kw + per_kvar * state.off_kvar
    v_pu = said.state.v_pu + shift
    found = [(OVER, band.excess(OVER, v_pu)), (UNDER, band.excess(UNDER, v_pu))]
    if (watched := said.state.loading) is not None:
        branch = tracks[said.member].branches[-1]
        off_kw = [s.state.off_kw for s in answering if tracks[s.member].passes(branch)]
        added = 0.0
        for amount in off_kw:
            added += watched.per_kw * amount
        found.append((LOADING, watched.excess + added))
    return found


def _slopes(kind: int, owner: Track, place: Track, per_kw: float) -> tuple[float, float]:
    """Return by how much a kW and a kvar at a place add to the excess of a limit.

    Whoever watches a branch sits behind it. Reactive power has no slope there: a loading is curved
    in Q, and the loop would oscillate.
    """
    if kind == LOADING:
        return (per_kw if place.passes(owner.branches[-1]) else 0.0), 0.0
    rise_kw, rise_kvar = owner.shared(place)
    return _SIGN[kind] * rise_kw, _SIGN[kind] * rise_kvar


def _priced(rows: Sequence[LimitPrice], multipliers: np.ndarray) -> tuple[LimitPrice, ...]:
    return tuple(
        LimitPrice(row.member, row.kind, value, row.per_kw)
        for row, value in zip(rows, multipliers.tolist(), strict=True)
        if value > 0.0
    )
