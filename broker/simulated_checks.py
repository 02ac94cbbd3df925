"""What no simulation may ever do, whatever was broken: checked at the end of every one.

Each check yields what does not hold; those that running cells have as well are in `checks`.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from peercell.agents.push_sum import PushSum
from peercell.agents.trading.messages import TraderSettled
from peercell.agents.trading.settings import TOLERANCE
from peercell.agents.trading.trader import MicrogridTrader
from peercell.broker.checks import (
    Plan,
    SetPoint,
    confirmed,
    heard_broken,
    limits_broken,
    optimum_broken,
    trades_broken,
)
from peercell.broker.outcomes.results import Run
from peercell.broker.security.matrix import kinds_for
from peercell.grid.model import Cell

if TYPE_CHECKING:
    from peercell.broker.simulation import Simulation

NAMED_MAX = 5


@runtime_checkable
class Gossiper(Protocol):
    """A role that keeps a mass."""

    sums: PushSum


@runtime_checkable
class Setter(Protocol):
    """A role that sets the assets of a grid: kW and kvar of each."""

    set_points: Mapping[str, tuple[float, float]]


class InvariantError(AssertionError):
    """A run has done what no run may do: a defect of peercell."""


def check(cell: "Simulation", run: Run | None = None, grid: Cell | None = None) -> None:
    """Check a simulated cell, what the run in it has settled, and what its grid is set to.

    Raises
    ------
    InvariantError : it names what does not hold.
    """
    broken = [
        *mass_broken(cell),
        *settled_broken(cell),
        *market_broken(cell),
        *matrix_broken(cell),
        *accounts_broken(cell),
    ]
    if grid is not None:
        broken += limits_broken(set_points(cell, grid))
    if run is not None:
        settled = [(member, each) for (_, member), each in run.settlements.items()]
        broken += trades_broken(confirmed(settled))
        plans = ((str(each.interval), member, each.plan) for member, each in settled)
        broken += optimum_broken(plans, frozenset(run.note.members), TOLERANCE)
    if broken:
        raise InvariantError("; ".join(broken[:NAMED_MAX]))


def set_points(cell: "Simulation", grid: Cell) -> Iterator[SetPoint]:
    """Yield what the grid services of a simulated cell have set the assets of their grid to."""
    ratings_kva = {asset.id: asset.rating_kva for asset in grid.assets}
    for _, role in _roles(cell):
        if isinstance(role, Setter):
            for asset, (p_kw, q_kvar) in role.set_points.items():
                yield SetPoint(asset, p_kw, q_kvar, ratings_kva[asset])


def _roles(cell: "Simulation") -> Iterator[tuple[str, object]]:
    return ((peer.name, peer.role) for peer in cell.peers if peer.role is not None)


def mass_broken(cell: "Simulation") -> Iterator[str]:
    """Yield members of a gossip that have lost or made mass, and links that have (I1)."""
    members = {name: role.sums for name, role in _roles(cell) if isinstance(role, Gossiper)}
    for name, sums in members.items():
        if sums.imbalance:
            yield f"{name} has lost or made {sums.imbalance} units of mass"
    links = ((name, peer) for name, sums in members.items() for peer in sums.links)
    for name, peer in links:
        if peer not in members:
            continue
        here, there = members[name].account(peer), members[peer].account(name)
        if here is None or there is None or here.sessions != there.sessions[::-1]:
            continue
        if here.heard == there.seq and here.taken != there.given:
            yield f"{name} has taken a mass from {peer} which that did not give"


def settled_broken(cell: "Simulation") -> Iterator[str]:
    """Yield traders that settled one epoch in two ways, and trades that only one end has (I2, I3).

    A trader that has settled has said so: in a later life it must not say anything else.
    """
    plans: dict[tuple[str, str], Plan] = {}
    for _, name, fact in cell.facts_of(TraderSettled):
        if not fact.certified or fact.unconfirmed:
            continue
        key, plan = (str(fact.epoch), name), (fact.price_eur_per_kwh, fact.trades)
        if plans.setdefault(key, plan) != plan:
            yield f"{name} has settled epoch {fact.epoch} in two ways"
    yield from trades_broken(plans)


def market_broken(cell: "Simulation") -> Iterator[str]:
    """Yield plans of traders that are farther from the best ones than agreed (I4)."""
    roles = (role for _, role in _roles(cell))
    markets = {
        role.settings.roster: role.settings for role in roles if isinstance(role, MicrogridTrader)
    }
    for market in markets.values():
        settled = ((str(each.epoch), name, each) for _, name, each in cell.facts_of(TraderSettled))
        yield from optimum_broken(settled, frozenset(market.roster), market.tolerance)


def matrix_broken(cell: "Simulation") -> Iterator[str]:
    """Yield peers that have said what their role may not say (I5).

    Nobody hears words in the name of another, so nothing else is ever applied.
    """
    for peer in cell.peers:
        if peer.role_name:
            kinds = (cell.kinds[kind] for kind in peer.kinds)
            for kind in sorted(peer.kinds - kinds_for(peer.role_name, kinds)):
                yield f"{peer.name} said {kind}, which a {peer.role_name} may not say"


def accounts_broken(cell: "Simulation") -> Iterator[str]:
    """Yield where messages are unaccounted for or heard twice, or more wait than may (I6, I8)."""
    accounts = cell.accounts
    if accounts.unaccounted:
        yield f"{accounts.unaccounted} messages are unaccounted for: {accounts}"
    if accounts.in_flight < 0:
        yield f"{accounts.in_flight} messages are in flight"
    if accounts.applied > accounts.sent:
        yield f"{accounts.applied} messages were applied, of {accounts.sent}"
    for peer in cell.peers:
        yield from heard_broken(peer.name, peer.gate.heard)
        if peer.is_crowded:
            yield f"more waits for {peer.name} than may"
