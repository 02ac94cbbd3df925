"""What the best plan would cost if one desk knew everything: the reference for the traders.

No role imports it: `solve_centrally` is for comparison.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from peercell.agents.convex import minimise, modelling
from peercell.agents.trading.blocks import Offer, Supply
from peercell.agents.trading.links import Link
from peercell.agents.units import UNLIMITED_KWH

Array = NDArray[np.float64]
_DIGITS = 1e-10
_TASK = "the central optimum"


class Optimum(Struct, frozen=True):
    """The cheapest plan of one period.

    Prices are the duals of the traders' balances, EUR/kWh; they are not unique where a step of
    supply ends exactly at the load.
    """

    cost_eur: float
    prices_eur_per_kwh: dict[str, float]
    flows_kwh: tuple[float, ...]


def solve_centrally(
    offers: Mapping[str, Offer], links: Sequence[Link], voll_eur_per_kwh: float
) -> Optimum:
    """Return the optimum of one period; flows are in the order of the links.

    Minimise sum of block costs + VOLL * unserved + sum of transfer costs, subject to
    blocks + unserved - spilled + bought - sold = load for each trader.

    Raises
    ------
    MissingExtraError : cvxpy is not installed.
    SolverError : the solver found no optimum.
    """
    cvxpy = modelling(_TASK)
    index = {name: i for i, name in enumerate(offers)}
    supplies = [Supply(offer, voll_eur_per_kwh) for offer in offers.values()]
    blocks = _columns(block for supply in supplies for block in supply.curve)
    tariffs = _columns(
        (link.fee_eur_per_kwh, link.slope_eur_per_kwh2, link.capacity_kwh) for link in links
    )
    made = cvxpy.Variable(len(blocks), nonneg=True)
    flow = cvxpy.Variable(len(links), nonneg=True)
    unserved = cvxpy.Variable(len(offers), nonneg=True)
    spilled = cvxpy.Variable(len(offers), nonneg=True)
    owners = [i for i, supply in enumerate(supplies) for _ in supply.curve]
    net = unserved - spilled + _sums(owners, len(offers)) @ made
    net += _sums([index[link.buyer] for link in links], len(offers)) @ flow
    net -= _sums([index[link.seller] for link in links], len(offers)) @ flow
    balance = net == np.array([supply.load_kwh for supply in supplies])
    cost = voll_eur_per_kwh * cvxpy.sum(unserved)
    limits = []
    for energy, terms in ((made, blocks), (flow, tariffs)):
        cost += terms[:, 0] @ energy
        cost += 0.5 * cvxpy.sum_squares(cvxpy.multiply(np.sqrt(terms[:, 1]), energy))
        # A limit of 1e9 that never binds is left out: it would only spoil the solver's scaling.
        bounded = np.flatnonzero(terms[:, 2] < UNLIMITED_KWH)
        limits.append(energy[bounded] <= terms[bounded, 2])
    least_eur = minimise(cost, [balance, *limits], _DIGITS, _TASK)
    prices = np.clip(-np.asarray(balance.dual_value), 0.0, voll_eur_per_kwh)
    return Optimum(
        least_eur + sum(offer.fixed_cost_eur for offer in offers.values()),
        dict(zip(offers, prices.tolist(), strict=True)),
        tuple(np.asarray(flow.value, dtype=np.float64).tolist()),
    )


def _columns(rows: Iterable[tuple[float, float, float]]) -> Array:
    """Return rows of three as a matrix, also when there are none."""
    return np.array(list(rows), dtype=np.float64).reshape(-1, 3)


def _sums(owners: list[int], size: int) -> Any:
    """Return the sparse matrix that adds entries up by owner."""
    sparse = import_module("scipy.sparse")
    entries = (np.ones(len(owners)), (owners, range(len(owners))))
    return sparse.csr_array(entries, shape=(size, len(owners)))
