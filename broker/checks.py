"""What no cell may ever do, whatever was broken: what can be told of running cells and simulations.

Each check yields what does not hold, in words, and nothing where all is well; `I1` and so on are
the names of the invariants in docs/reference/faults.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from math import fsum, hypot
from typing import NamedTuple

from peercell.agents.trading.contract_messages import Settlement
from peercell.agents.trading.messages import LinkTrade, TraderSettled
from peercell.broker.gate import SENDERS_MAX, Heard

# kWh, and EUR/kWh, by which the words of two ends may differ: none, but for the last bit.
SAME = 1e-12
# Share of the cost by which plans may be farther from the best ones than agreed: rounding.
ROUNDED = 1e-9
# Share of its rating by which an asset may be set beyond it: none, but for rounding.
BEYOND = 1e-6

Plan = tuple[tuple[float, ...], tuple[LinkTrade, ...]]
"""What a trader has settled: its prices and its trades."""


class SetPoint(NamedTuple):
    """What an asset is set to, kW and kvar, and what it can, kVA; None where that is not known."""

    asset: str
    p_kw: float
    q_kvar: float
    rating_kva: float | None


def confirmed(settled: Iterable[tuple[str, Settlement]]) -> dict[tuple[str, str], Plan]:
    """Return the plans that both ends of each trade have confirmed, by interval and trader."""
    return {
        (str(each.interval), member): (each.plan.price_eur_per_kwh, each.plan.trades)
        for member, each in settled
        if each.plan.certified and not each.plan.unconfirmed
    }


def trades_broken(plans: Mapping[tuple[str, str], Plan]) -> Iterator[str]:
    """Yield trades of two traders that do not cancel out (I3).

    Parameters
    ----------
    plans : what was settled, by interval or epoch and trader; both ends were confirmed
    """
    said: dict[tuple[str, str, str], Sequence[float]] = {}
    heard: dict[tuple[str, str, str], Sequence[float]] = {}
    there: defaultdict[str, set[str]] = defaultdict(set)
    for (when, name), (_, trades) in plans.items():
        there[when].add(name)
        for trade in trades:
            said[when, name, trade.peer] = trade.sold_kwh
            heard[when, trade.peer, name] = trade.bought_kwh
    for key in sorted(said.keys() | heard.keys()):
        when, seller, buyer = key
        if not {seller, buyer} <= there[when]:
            continue
        sold, bought = said.get(key, ()), heard.get(key, ())
        pairs = zip(sold or [0.0] * len(bought), bought or [0.0] * len(sold), strict=True)
        if any(abs(one - other) > SAME for one, other in pairs):
            yield f"{seller} sold {sold} kWh to {buyer} in {when}, which bought {bought}"


def optimum_broken(
    settled: Iterable[tuple[str, str, TraderSettled]], members: Set[str], tolerance: float
) -> Iterator[str]:
    """Yield plans that all have certified and that are farther from the best ones than agreed (I4).

    Where a trade is disputed or not confirmed the plan is not the one that was certified. The gaps
    of all members add up to what their plans cost more than a lower bound of any plan.

    Parameters
    ----------
    settled : interval or epoch, member and plan
    members : all who trade; what only some of them have certified, on an island, says nothing
    tolerance : share of the cost that they have agreed on
    """
    attempts: defaultdict[tuple[str, int], dict[str, TraderSettled]] = defaultdict(dict)
    for when, name, plan in settled:
        if plan.certified and not plan.unconfirmed and not plan.disputes:
            attempts[when, plan.attempt][name] = plan
    for (when, _), plans in attempts.items():
        if not plans.keys() >= members:
            continue
        gap_eur = fsum(plan.gap_eur for plan in plans.values())
        cost_eur = fsum(plan.cost_eur for plan in plans.values())
        rounding_eur = ROUNDED * (1.0 + fsum(abs(plan.cost_eur) for plan in plans.values()))
        if gap_eur > tolerance * cost_eur + rounding_eur:
            off = f"up to {gap_eur:g} EUR of {cost_eur:g} too dear"
            yield f"the plans of {when} are certified, and {off}"


def heard_broken(name: str, heard: Mapping[str, Heard]) -> Iterator[str]:
    """Yield senders whose numbers do not add up: some were heard twice, or forgotten (I6, I8)."""
    if len(heard) > SENDERS_MAX:
        yield f"{name} keeps count of {len(heard)} senders, more than it may"
    for src, each in heard.items():
        if each.top != each.earlier + each.applied + each.refused + each.missing:
            yield f"{name} has lost count of what {src} said: {each}"


def limits_broken(set_points: Iterable[SetPoint]) -> Iterator[str]:
    """Yield assets that are set beyond what they can do (I7)."""
    for asset, p_kw, q_kvar, rating_kva in set_points:
        power_kva = hypot(p_kw, q_kvar)
        if rating_kva is not None and power_kva > rating_kva * (1.0 + BEYOND):
            yield f"{asset} is set to {power_kva:g} kVA, and can {rating_kva:g}"
