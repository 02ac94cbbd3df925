"""The markets that trading is measured on, and how rounds are counted."""

import sys

import numpy as np
from tests.agents.trading.graphs import Graph, draw
from tests.agents.trading.play import Play

from peercell.agents.trading.certificate import position
from peercell.broker.instance import Market
from peercell.broker.trade import SolveSettings

Prices = dict[str, float]

GAP = 1e-6
ROUNDS_MAX = 1500


def market_of(graph: Graph, size: int, seed: int, kind: str, *, cell: bool = False) -> Market:
    edges = graph(size, np.random.default_rng(seed))
    return draw(edges, seed, mixed=kind == "mixed", cell=cell)


def gap_of(play: Play, prices: Prices) -> float:
    frozen = {name: (price,) for name, price in prices.items()}
    plans = [
        position(play.supplies[name], play.links[name], frozen[name], frozen) for name in frozen
    ]
    return sum(plan.gap_eur for plan in plans) / sum(plan.cost_eur for plan in plans)


def rounds_of(market: Market, settings: SolveSettings, most: int = ROUNDS_MAX) -> int | None:
    play = Play(market, settings, endless=True)
    for count in range(most):
        if play.gap <= GAP:
            return count
        play.run(1)
    return None


def progress(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
