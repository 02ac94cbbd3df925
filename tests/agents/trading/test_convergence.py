"""How many rounds and messages an optimum takes: random markets on the usual topologies.

Rounds are counted to a gap of 1e-6 that an observer certifies in each round, of what follows from
prices or of what is planned; how much later the traders themselves know it is measured beside it.
"""

from pathlib import Path
from statistics import median

import numpy as np
import pytest
from msgspec.structs import replace
from tests.agents.trading.graphs import Graph, complete, draw, mesh, ring, star, tree
from tests.agents.trading.play import BAD, Play

from peercell.agents.trading.settings import Method
from peercell.broker.solving.instance import read_instance, to_market
from peercell.broker.solving.trade import SolveSettings, trade_out

GAP = 1e-6


def quotes_per_trader(play: Play) -> float:
    return play.simulation.sent_by_kind["CurveQuote"] / len(play.roles)


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
    graph: Graph, size: int, mixed: bool, rounds_max: int, seed: int
) -> None:
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


def test_the_papers_subgradient_needs_eight_times_the_rounds() -> None:
    """With the best constant step of a list, median of three rings with quadratic costs."""
    ratios = []
    for seed in range(1, 4):
        market = draw(ring(10, np.random.default_rng(seed)), seed, mixed=False)
        ours = Play(market).rounds_to(GAP)
        most = 8 * ours + 40
        theirs = [most]
        for step in (0.04, 0.08, 0.16):
            settings = SolveSettings(method=Method.SUBGRADIENT, step_eur_per_kwh2=step)
            play = Play(market, settings, endless=True)
            for count in range(most):
                if play.gap <= GAP:
                    theirs.append(count)
                    break
                play.run(1)
        ratios.append(min(theirs) / ours)
    assert median(ratios) >= 8.0


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
        (mesh, True, 100, 450),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_rounds_of_a_thousand(
    graph: Graph, mixed: bool, rounds_max: int, messages_max: float
) -> None:
    play = Play(draw(graph(1000, np.random.default_rng(0)), 0, mixed=mixed))
    assert play.rounds_to(GAP) <= rounds_max
    assert quotes_per_trader(play) <= messages_max


@pytest.mark.slow
def test_a_cell_of_a_hundred_needs_eight_rounds() -> None:
    for mixed in (False, True):
        market = draw(complete(100, np.random.default_rng(0)), 0, mixed=mixed, cell=True)
        assert Play(market).rounds_to(GAP) <= 8


@pytest.mark.slow
def test_a_group_without_elasticity_does_not_drift_for_ever() -> None:
    """Six traders at their limits share a price level that only shedding stops, and news is late.

    A trader that judged each of its moves alone never came to rest here, in 4,000 rounds.
    """
    data = (Path(__file__).parent / "drifting_market.json").read_bytes()
    market = to_market(read_instance(data))
    for seed in range(3):
        settings = SolveSettings(faults=replace(BAD, duplicate=0.0), seed=seed)
        assert Play(market, settings, endless=True).rounds_to(GAP, 3000) < 3000


def test_steep_lines_at_limits_do_not_throw_prices_round_in_circles_for_ever() -> None:
    """Three traders: before they grew less bold, all was as it had been after every 50 rounds."""
    data = (Path(__file__).parent / "circling_market.json").read_bytes()
    result = trade_out(to_market(read_instance(data)), SolveSettings(rounds_max=500))
    assert result.converged
