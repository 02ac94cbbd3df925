"""What no run may ever do, whatever was broken: checked at the end of every simulation."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from peercell.agents.trading.messages import LinkTrade, TraderSettled
from peercell.broker.outcomes.results import Run

if TYPE_CHECKING:
    from peercell.broker.simulation import Simulation

# kWh, and EUR/kWh, by which the words of two ends may differ: none, but for the last bit.
SAME = 1e-12
NAMED_MAX = 5

Plan = tuple[tuple[float, ...], tuple[LinkTrade, ...]]
"""What a trader has settled: its prices and its trades."""


class InvariantError(AssertionError):
    """A run has done what no run may do: a defect of peercell."""


def check(cell: "Simulation", run: Run | None = None) -> None:
    """Check a simulated cell, and what the run in it has settled.

    Raises
    ------
    InvariantError : it names what does not hold.
    """
    broken = [*accounts_broken(cell), *settled_broken(cell)]
    if run is not None:
        broken += trades_broken(
            {
                (str(interval), member): (each.plan.price_eur_per_kwh, each.plan.trades)
                for (interval, member), each in run.settlements.items()
                if each.plan.certified and not each.plan.unconfirmed
            }
        )
    if broken:
        raise InvariantError("; ".join(broken[:NAMED_MAX]))


def accounts_broken(cell: "Simulation") -> Iterator[str]:
    """Yield where messages are unaccounted for, or more wait than may (I6, I8)."""
    accounts = cell.accounts
    if accounts.unaccounted:
        yield f"{accounts.unaccounted} messages are unaccounted for: {accounts}"
    if accounts.in_flight < 0:
        yield f"{accounts.in_flight} messages are in flight"
    if accounts.applied > accounts.sent:
        yield f"{accounts.applied} messages were applied, of {accounts.sent}"


def settled_broken(cell: "Simulation") -> Iterator[str]:
    """Yield traders that settled one epoch in two ways, and trades that only one end has (I3)."""
    plans: dict[tuple[str, str], Plan] = {}
    for _, name, fact in cell.facts_of(TraderSettled):
        if not fact.certified or fact.unconfirmed:
            continue
        key, plan = (str(fact.epoch), name), (fact.price_eur_per_kwh, fact.trades)
        if plans.setdefault(key, plan) != plan:
            yield f"{name} has settled epoch {fact.epoch} in two ways"
    yield from trades_broken(plans)


def trades_broken(plans: dict[tuple[str, str], Plan]) -> Iterator[str]:
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
