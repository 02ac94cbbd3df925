"""Random markets on the usual topologies: rings, stars, trees, meshes and complete graphs."""

from collections.abc import Callable

import numpy as np
from tests.agents.trading.markets import VOLL

from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.links import Link
from peercell.broker.solving.instance import Market, market_cells

Edges = list[tuple[int, int]]
Graph = Callable[[int, np.random.Generator], Edges]


def ring(size: int, _: np.random.Generator) -> Edges:
    """Return a closed line."""
    return [(k, (k + 1) % size) for k in range(size)]


def star(size: int, _: np.random.Generator) -> Edges:
    """Return one hub and its spokes."""
    return [(0, k) for k in range(1, size)]


def tree(size: int, chance: np.random.Generator) -> Edges:
    """Return a tree in which each trader hangs on an earlier one."""
    return [(int(chance.integers(k)), k) for k in range(1, size)]


def complete(size: int, _: np.random.Generator) -> Edges:
    """Return all pairs."""
    return [(a, b) for b in range(size) for a in range(b)]


def mesh(size: int, chance: np.random.Generator) -> Edges:
    """Return links between near points of a square, 4.9 a trader: a tree and the shortest pairs."""
    points = chance.uniform(size=(size, 2))
    far = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    order = np.argsort(far[np.triu_indices(size, 1)])
    one, other = np.triu_indices(size, 1)
    edges = {(int(np.argmin(far[k, :k])), k) for k in range(1, size)}
    for k in order:
        if len(edges) >= int(2.45 * size):
            break
        edges.add((int(one[k]), int(other[k])))
    return sorted(edges)


def offer(chance: np.random.Generator, *, mixed: bool) -> Offer:
    """Draw a quadratic generator, or one of four kinds with steps, limits and sun."""
    load = float(chance.uniform(2, 12))
    cost, slope = float(chance.uniform(5, 25)), float(chance.uniform(1, 6))
    kind = int(chance.integers(4)) if mixed else 0
    if kind == 0:
        return Offer(load, (Block(cost, slope),))
    if kind == 1:
        return Offer(load, (Block(cost, slope, float(chance.uniform(0.3, 1)) * load),))
    if kind == 2:
        prices = sorted(chance.uniform(5, 60, 4).tolist())
        return Offer(load, tuple(Block(p, 0.0, float(chance.uniform(0.5, 4))) for p in prices))
    sun = Block(0.0, 0.0, float(chance.uniform(0, 2)) * load)
    return Offer(load, (sun, Block(float(chance.uniform(20, 40)), slope)))


def draw(edges: Edges, seed: int, *, mixed: bool, cell: bool = False) -> Market:
    """Draw the numbers of a market on a graph; a mixed one has link capacities as well."""
    chance = np.random.default_rng(seed)
    size = max(max(edge) for edge in edges) + 1
    offers = {f"t{k}": offer(chance, mixed=mixed) for k in range(size)}
    links: list[Link] = []
    for a, b in edges:
        fee, slope = float(chance.uniform(0.5, 3)), float(chance.uniform(0.1, 1))
        most = float(chance.uniform(0.5, 4)) if mixed else 1e9
        links.append(Link(f"t{a}", f"t{b}", fee, slope, most))
        links.append(Link(f"t{b}", f"t{a}", fee, slope, most))
    groups = (tuple(offers),) if cell else ()
    return Market(offers, tuple(links), tuple(market_cells(tuple(links), groups)), VOLL)
