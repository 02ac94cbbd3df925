"""The markets that trading is measured on, and how rounds are counted."""

import sys
from itertools import combinations

import networkx as nx
import numpy as np
from msgspec.structs import replace
from tests.agents.trading.graphs import Graph, draw
from tests.agents.trading.play import Play

from peercell.agents.trading.certificate import position
from peercell.broker.solving.instance import Market, market_cells
from peercell.broker.solving.trade import SolveSettings

Prices = dict[str, float]

GAP = 1e-6
ROUNDS_MAX = 1500


def market_of(graph: Graph, size: int, seed: int, kind: str, *, cell: bool = False) -> Market:
    edges = graph(size, np.random.default_rng(seed))
    market = draw(edges, seed, mixed=kind.startswith("mixed"), cell=cell)
    return in_cells(market) if kind.endswith("in cells") else market


def in_cells(market: Market) -> Market:
    """Return a market whose traders clear with all who know each other at once.

    The largest group in which everyone has a link to everyone is a cell, then the largest among the
    links that are left; links of no group of three stay bilateral.
    """
    left = nx.Graph((link.seller, link.buyer) for link in market.links)
    groups: list[tuple[str, ...]] = []
    while True:
        group = max((sorted(group) for group in nx.find_cliques(left)), key=_size_then_name)
        if len(group) < 3:
            return replace(market, cells=tuple(market_cells(market.links, tuple(groups))))
        groups.append(tuple(group))
        left.remove_edges_from(combinations(group, 2))


def _size_then_name(group: list[str]) -> tuple[int, list[str]]:
    return len(group), group


def gap_of(play: Play, prices: Prices) -> float:
    """Return the relative gap where what is traded follows from the prices of both ends."""
    frozen = {name: (price,) for name, price in prices.items()}
    plans = [
        position(play.supplies[name], play.links[name], frozen[name], frozen) for name in frozen
    ]
    return sum(plan.gap_eur for plan in plans) / sum(plan.cost_eur for plan in plans)


def rounds_of(market: Market, settings: SolveSettings, most: int = ROUNDS_MAX) -> int | None:
    return rounds_by_prices(Play(market, settings, endless=True), most)


def rounds_by_prices(play: Play, most: int = ROUNDS_MAX) -> int | None:
    """Return the rounds until what follows from the prices alone has a small gap."""
    for count in range(most):
        if play.gap_by_prices <= GAP:
            return count
        play.run(1)
    return None


def progress(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
