"""What one level of the network must know of the next: a price downwards, and a sum upwards.

In the linear model a low-voltage feeder below bus b acts on everything outside of it as if all its
devices stood at b, and all its limits of voltage were limits at b: what two paths share ends at b.
So upwards a feeder is one place with all its answers and the sum of its multipliers, and downwards
the level above is one pair of prices for all. Nothing of the feeder itself leaves it.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from peercell.agents.control.paths import Track
from peercell.agents.control.pricing import OVER, UNDER, View
from peercell.agents.control.voltage_messages import Answer, LevelPrice, Levels, LimitPrice, State

_SIGN = {OVER: 1.0, UNDER: -1.0}


class OtherLevel(Struct, frozen=True):
    """What a member tells in its own level about another one.

    Parameters
    ----------
    levels : prices there, or what its limits add to prices here
    answers : of its devices, as if they stood at the member's place
    off_kw, off_kvar : what primary control takes off them
    """

    levels: Levels
    answers: tuple[Answer, ...] = ()
    off_kw: float = 0.0
    off_kvar: float = 0.0


def level_prices(view: View) -> tuple[LevelPrice, ...]:
    """Return what other levels add to the prices of a view."""
    return tuple(
        LevelPrice(said.member, told.price_kw, told.price_kvar, told.multiplier)
        for said in view.statements
        if (told := said.state.levels) is not None
    )


def level_price_at(
    track: Track, member: int, levels: Sequence[LevelPrice], tracks: Mapping[int, Track]
) -> tuple[float, float]:
    """Return what other levels add to the price of a kW and of a kvar at a member's place.

    The limits of a level below cost nothing within it: there its own prices hold.
    """
    price_kw = price_kvar = 0.0
    for level in levels:
        price_kw += level.price_kw
        price_kvar += level.price_kvar
        if level.multiplier and level.member != member and level.member in tracks:
            per_kw, per_kvar = tracks[level.member].shared(track)
            price_kw += level.multiplier * per_kw
            price_kvar += level.multiplier * per_kvar
    return price_kw, price_kvar


def multiplier_of(prices: Iterable[LimitPrice], levels: Iterable[LevelPrice] = ()) -> float:
    """Return what the limits of a level add to the price of its voltage elsewhere."""
    total = 0.0
    for price in prices:
        total += _SIGN.get(price.kind, 0.0) * price.multiplier
    for level in levels:
        total += level.multiplier
    return total


def from_below(states: Iterable[State], multiplier: float) -> OtherLevel:
    """Return a level as the one above sees it: what moves, what sleeps at either end, what is off.

    Of devices that sleep, the first one to wake up speaks for all.
    """
    off_kw = off_kvar = 0.0
    moving, high, low = list[Answer](), list[Answer](), list[Answer]()
    for state in states:
        off_kw += state.off_kw
        off_kvar += state.off_kvar
        for answer in state.answers:
            (high if answer.gap > 0.0 else low if answer.gap < 0.0 else moving).append(answer)
    found = [
        _one_of(moving, 0.0),
        _one_of(high, min((answer.gap for answer in high), default=0.0)),
        _one_of(low, max((answer.gap for answer in low), default=0.0)),
    ]
    answers = tuple(answer for answer in found if answer is not None)
    return OtherLevel(Levels(multiplier=multiplier), answers, off_kw, off_kvar)


def _one_of(answers: Sequence[Answer], gap: float) -> Answer | None:
    """Return one answer with the same fall of P and Q, in both their prices, as some together.

    Their matrices (1, edge)ᵀ along (1, edge) + diag(0, reactive) add up to one of that form; what
    sleeps all moves along one edge.
    """
    kw = mixed = bent = kvar = 0.0
    for answer in answers:
        kw += answer.along
        mixed += answer.along * answer.edge
        bent += answer.along * answer.edge * answer.edge
        kvar += answer.reactive
    if kw <= 0.0:
        return Answer(0.0, 0.0, kvar, gap) if kvar > 0.0 else None
    edge = mixed / kw
    if gap == 0.0:
        kvar += max(bent - mixed * edge, 0.0)
    return Answer(kw, edge, kvar, gap)
