"""How many rounds and messages an optimum takes: random markets on the usual topologies.

Rounds are counted to a gap of 1e-6 that an observer certifies in each round; how much later the
traders themselves know it is measured beside it.
"""

import numpy as np
import pytest
from msgspec.structs import replace
from tests.agents.trading.markets import VOLL
from tests.agents.trading.play import BAD, Play

from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.links import Link
from peercell.agents.trading.settings import Method
from peercell.broker.instance import Market, market_cells
from peercell.broker.trade import SolveSettings

GAP = 1e-6
Edges = list[tuple[int, int]]


def ring(size: int, _: np.random.Generator) -> Edges:
    return [(k, (k + 1) % size) for k in range(size)]


def star(size: int, _: np.random.Generator) -> Edges:
    return [(0, k) for k in range(1, size)]


def tree(size: int, chance: np.random.Generator) -> Edges:
    return [(int(chance.integers(k)), k) for k in range(1, size)]


def complete(size: int, _: np.random.Generator) -> Edges:
    return [(a, b) for b in range(size) for a in range(b)]


def mesh(size: int, chance: np.random.Generator) -> Edges:
    """Connect near points of a square: a random tree and the shortest of the other pairs."""
    points = chance.uniform(size=(size, 2))
    far = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    order = np.argsort(far[np.triu_indices(size, 1)])
    one, other = np.triu_indices(size, 1)
    nearest = order[: int(2.45 * size)]
    edges = {(int(one[k]), int(other[k])) for k in nearest}
    for k in range(1, size):
        near = int(np.argmin(far[k, :k]))
        edges.add((near, k))
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


def quotes_per_trader(play: Play) -> float:
    return play.loop.sent_by_kind["CurveQuote"] / len(play.roles)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("graph", "size", "mixed", "rounds_max"),
    [
        (star, 100, False, 30),
        (star, 100, True, 30),
        (tree, 100, False, 30),
        (tree, 100, True, 35),
        (ring, 100, False, 55),
        (ring, 100, True, 55),
        (mesh, 100, False, 40),
        (mesh, 30, True, 100),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_rounds_to_the_optimum(
    graph: object, size: int, mixed: bool, rounds_max: int, seed: int
) -> None:
    assert callable(graph)
    edges = graph(size, np.random.default_rng(seed))
    play = Play(draw(edges, seed, mixed=mixed))
    assert play.rounds_to(GAP) <= rounds_max


@pytest.mark.parametrize("mixed", [False, True], ids=["quadratic", "mixed"])
@pytest.mark.parametrize("size", [5, 10, 30])
def test_a_cell_needs_eight_rounds(size: int, mixed: bool) -> None:
    market = draw(complete(size, np.random.default_rng(0)), size, mixed=mixed, cell=True)
    assert Play(market).rounds_to(GAP) <= 8


@pytest.mark.parametrize("seed", range(3))
def test_delay_and_loss_cost_at_most_ten_times_the_rounds(seed: int) -> None:
    for graph, size in ((ring, 30), (tree, 30), (star, 30)):
        market = draw(graph(size, np.random.default_rng(seed)), seed, mixed=seed > 0)
        clean = Play(market).rounds_to(GAP)
        bad = Play(market, SolveSettings(faults=replace(BAD, duplicate=0.0), seed=seed))
        assert bad.rounds_to(GAP) <= 10 * max(clean, 8)


@pytest.mark.parametrize("size", [10, 20])
def test_the_papers_subgradient_needs_eight_times_the_rounds(size: int) -> None:
    """With the best constant step of a list, on a ring with quadratic costs."""
    market = draw(ring(size, np.random.default_rng(1)), 1, mixed=False)
    ours = Play(market).rounds_to(GAP)
    theirs = []
    for step in (0.02, 0.04, 0.08, 0.16):
        settings = SolveSettings(method=Method.SUBGRADIENT, step_eur_per_kwh2=step)
        play = Play(market, settings)
        for count in range(8 * ours + 40):
            if play.gap <= GAP:
                theirs.append(count)
                break
            play.run(1)
    assert min(theirs, default=8 * ours) >= 8 * ours


def test_traders_know_soon_after_the_observer() -> None:
    market = draw(mesh(30, np.random.default_rng(2)), 2, mixed=False)
    observed = Play(market).rounds_to(GAP)
    play = Play(market, SolveSettings(tolerance=GAP))
    known = max(fact.round for fact in play.settle().values())
    assert observed <= known <= observed + 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graph", "mixed", "rounds_max", "messages_max"),
    [
        (star, False, 30, 30),
        (star, True, 30, 60),
        (tree, False, 30, 30),
        (tree, True, 45, 45),
        (ring, True, 55, 60),
        (mesh, False, 40, 200),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_rounds_of_a_thousand(
    graph: object, mixed: bool, rounds_max: int, messages_max: float
) -> None:
    assert callable(graph)
    play = Play(draw(graph(1000, np.random.default_rng(0)), 0, mixed=mixed))
    assert play.rounds_to(GAP) <= rounds_max
    assert quotes_per_trader(play) <= messages_max


@pytest.mark.slow
def test_a_cell_of_a_hundred_needs_eight_rounds() -> None:
    for mixed in (False, True):
        market = draw(complete(100, np.random.default_rng(0)), 0, mixed=mixed, cell=True)
        assert Play(market).rounds_to(GAP) <= 8
