"""How many rounds and messages trading takes, beside the paper's method, ADMM, FISTA and cvxpy.

Markets are drawn at random; rounds are counted to a relative gap of 1e-6 that an observer certifies
in each round: from the traders' prices or from what they plan to trade; beside other methods and
on a bad network from the prices alone, for all alike. "Known" is the round in which the traders
themselves know it, by their votes. Counts are the same on every machine; only the column of time is
not. Run from the checkout; prints a page of Markdown, and ends with code 1 when a goal is missed:

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.trading > docs/results/trading.md

With --quick it takes nothing larger than 100 traders and few seeds: a smoke test.
"""

import sys
from collections.abc import Iterator
from statistics import median
from time import process_time
from typing import Protocol

import numpy as np
from bench.measure import Goals, table
from bench.trading_baselines import Admm, Fista
from bench.trading_rejoin import rejoin
from bench.trading_rounds import (
    GAP,
    ROUNDS_MAX,
    Prices,
    gap_of,
    market_of,
    progress,
    rounds_by_prices,
    rounds_of,
)
from tests.agents.trading.graphs import Graph, complete, mesh, ring, star, tree
from tests.agents.trading.play import Play

from peercell.agents.trading.optimum import solve_centrally
from peercell.agents.trading.settings import Method
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.instance import Market
from peercell.broker.solving.trade import SolveSettings, trade_out

OTHERS_MAX = 400
SEEDS = 3
STEPS = (0.02, 0.04, 0.08, 0.16)
PENALTIES = (1.0, 3.0, 10.0)
BAD = LinkFaults(drop=0.3, delay_s_min=0.0, delay_s_max=10.0)
COMMAND = "OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.trading"


class PriceFinder(Protocol):
    """Anything that finds prices round by round."""

    def round(self) -> Prices:
        """Return the prices after one more exchange."""
        ...


def baseline(market: Market, method: PriceFinder, most: int = ROUNDS_MAX) -> int | None:
    judge = Play(market)
    return next((k for k in range(1, most) if gap_of(judge, method.round()) <= GAP), None)


def best(rounds: list[int | None]) -> int | None:
    return min((count for count in rounds if count is not None), default=None)


def text(rounds: int | None) -> str:
    return "-" if rounds is None else str(rounds)


def subgradient(step: float) -> SolveSettings:
    return SolveSettings(method=Method.SUBGRADIENT, step_eur_per_kwh2=step)


# Graph, size, kind, most rounds, most quotes a trader.
GOALS: list[tuple[Graph, int, str, int | None, float | None]] = [
    (star, 1000, "quadratic", 30, None),
    (star, 1000, "mixed", 30, None),
    (tree, 1000, "quadratic", 30, 30.0),
    (tree, 1000, "mixed", 30, 30.0),
    (ring, 1000, "quadratic", 55, None),
    (ring, 1000, "mixed", 55, None),
    (mesh, 1000, "quadratic", 40, 150.0),
    (mesh, 1000, "mixed", 100, None),
    (mesh, 1000, "mixed in cells", 100, None),
    (mesh, 100, "quadratic", 40, None),
    (mesh, 100, "mixed", 100, None),
    (mesh, 100, "mixed in cells", 100, None),
    (tree, 100, "mixed", None, None),
    (ring, 100, "mixed", None, None),
]


def convergence(goals: Goals, quick: bool) -> Iterator[str]:
    rows = []
    for graph, size, kind, rounds_goal, message_goal in GOALS:
        if quick and size > 100:
            continue
        name = f"{graph.__name__} {size} {kind}"
        progress(name)
        found, priced, known, quotes, total = [], [], [], [], []
        for seed in range(SEEDS):
            market = market_of(graph, size, seed, kind)
            play = Play(market, SolveSettings(tolerance=GAP))
            found.append(play.rounds_to(GAP, ROUNDS_MAX))
            quotes.append(play.simulation.sent_by_kind["CurveQuote"] / size)
            later = rounds_by_prices(play)
            priced.append(ROUNDS_MAX if later is None else found[-1] + later)
            known.append(max(fact.round for fact in play.settle().values()))
            total.append(play.simulation.sent / size)
        worst = max(found)
        if rounds_goal is not None:
            goals.most(f"{name}, rounds", worst, rounds_goal)
        if message_goal is not None:
            goals.most(f"{name}, quotes a trader", max(quotes), message_goal)
        rows.append(
            [
                name,
                f"{median(found):.0f} / {worst}",
                text(rounds_goal),
                f"{median(priced):.0f} / {max(priced)}",
                f"{median(known):.0f}",
                f"{max(quotes):.0f}",
                "-" if message_goal is None else f"{message_goal:.0f}",
                f"{max(total):.0f}",
            ]
        )
    yield "## Rounds and messages to 1e-6"
    yield ""
    yield f"Markets of seeds 0 to {SEEDS - 1}. Rounds are those until a plan is certified that the"
    yield "traders could settle at that moment: what follows from their prices, or what both ends"
    yield "of each link plan, as at the gate. `by prices`: until the former is certified; `known`:"
    yield "until the traders know that, by their votes. Quotes are counted up to the certified"
    yield "round, `all` counts every message until each trade is confirmed; both of the worst seed."
    yield "`in cells`: traders of whom each has a link to each clear at once."
    yield ""
    rounds = "rounds median / worst | goal | by prices | known"
    head = f"market | {rounds} | quotes a trader | goal | all"
    yield from table(head, rows)


def cells(goals: Goals, quick: bool) -> Iterator[str]:
    rows = []
    for size in (10, 30) if quick else (10, 30, 100):
        for kind in ("quadratic", "mixed"):
            found = [
                Play(market_of(complete, size, seed, kind, cell=True)).rounds_to(GAP)
                for seed in range(5 if size < 100 else 2)
            ]
            goals.most(f"one cell of {size} {kind}, rounds", max(found), 8)
            bilateral = None
            if size <= 30:
                bilateral = rounds_of(market_of(complete, size, 0, kind), SolveSettings())
            rows.append([f"{size} {kind}", f"{median(found):.0f} / {max(found)}", text(bilateral)])
    yield "## A complete graph as one cell (goal 8 rounds)"
    yield ""
    yield from table("traders | rounds median / worst | the same as bilateral links", rows)


def methods(goals: Goals, quick: bool) -> Iterator[str]:
    cases: list[tuple[Graph, int, str]] = [
        (ring, 10, "quadratic"),
        (mesh, 10, "quadratic"),
        (mesh, 30, "quadratic"),
        (tree, 30, "quadratic"),
        (mesh, 30, "mixed"),
    ]
    rows = []
    for graph, size, kind in cases[:3] if quick else cases:
        progress(f"methods on {graph.__name__} {size} {kind}")
        found: list[list[int | None]] = []
        for seed in range(5 if size <= 10 else SEEDS):
            market = market_of(graph, size, seed, kind)
            found.append(
                [
                    rounds_of(market, SolveSettings()),
                    best([rounds_of(market, subgradient(step), OTHERS_MAX) for step in STEPS]),
                    best([baseline(market, Admm(market, cost), OTHERS_MAX) for cost in PENALTIES]),
                    baseline(market, Fista(market), OTHERS_MAX),
                    rounds_of(market, SolveSettings(method=Method.RELAX), OTHERS_MAX),
                ]
            )
        name = f"{graph.__name__} {size} {kind}"
        ratios = [(one[1] or OTHERS_MAX) / (one[0] or OTHERS_MAX) for one in found]
        if kind == "quadratic":
            goals.least(f"{name}, subgradient to ours, median", median(ratios), 8.0)
        columns = [" ".join(text(one[k]) for one in found) for k in range(5)]
        rows.append([name, *columns[:2], " ".join(f"{r:.1f}" for r in ratios), *columns[2:]])
    yield "## Beside other methods, rounds to 1e-6"
    yield ""
    yield "One number a seed, from 0 on, by prices. The paper's subgradient takes the best"
    yield f"constant step of {STEPS} EUR/kWh^2 for each market, ADMM the best penalty of"
    yield f"{PENALTIES}; `-` is not within {OTHERS_MAX} rounds, and counts as {OTHERS_MAX} in a"
    yield "ratio. The goal is a median ratio of 8 on quadratic markets."
    yield ""
    yield from table("market | ours | subgradient | ratio | ADMM | FISTA | relax", rows)


def bad_network(goals: Goals, seeds: int) -> Iterator[str]:
    rows = []
    failures = 0
    for graph in (ring, star, tree, mesh):
        progress(f"bad network, {graph.__name__}")
        pairs = []
        for seed in range(seeds):
            market = market_of(graph, 10, seed, "mixed" if seed % 2 else "quadratic")
            clean = rounds_of(market, SolveSettings())
            found = rounds_of(market, SolveSettings(faults=BAD, seed=seed), 10 * ROUNDS_MAX)
            if clean is None or found is None:
                failures += 1
            else:
                pairs.append((found, max(clean, 1)))
        ratios = [found / clean for found, clean in pairs]
        mean = sum(found for found, _ in pairs) / sum(clean for _, clean in pairs)
        goals.most(
            f"{graph.__name__} 10, rounds of a bad network by those of a clean one", mean, 10
        )
        high = [clean for found, clean in pairs if found > 10 * clean]
        spread = (mean, median(ratios), float(np.percentile(ratios, 95)), max(ratios))
        rows.append(
            [
                graph.__name__,
                *(f"{ratio:.1f}" for ratio in spread),
                f"{len(high)} ({max(high, default=0)})",
            ]
        )
    goals.most("failures on a bad network", failures, 0)
    yield f"## Delay of 0 to 10 rounds and 30 % loss, {4 * seeds} markets of ten traders"
    yield ""
    yield f"Seeds 0 to {seeds - 1} of each graph, every other one mixed; {failures} failures."
    yield "Rounds to 1e-6, by prices, over those of the same market on a clean network; `all` is"
    yield "the sum of rounds over that of rounds. The last column counts markets above ten times,"
    yield "and how many rounds the slowest of them takes on a clean network."
    yield ""
    yield from table("graph | all | median | 95th percentile | worst | above 10", rows)


def central(goals: Goals, quick: bool) -> Iterator[str]:
    rows = []
    cases: list[tuple[Graph, int, str]] = [
        (mesh, 30, "mixed"),
        (mesh, 100, "quadratic"),
        (tree, 100, "mixed"),
        (mesh, 1000, "quadratic"),
        (tree, 1000, "mixed"),
    ]
    for graph, size, kind in cases:
        if quick and size > 100:
            continue
        progress(f"central, {graph.__name__} {size} {kind}")
        market = market_of(graph, size, 0, kind)
        solve_centrally(market.offers, market.links, market.voll_eur_per_kwh)
        start = process_time()
        optimum = solve_centrally(market.offers, market.links, market.voll_eur_per_kwh)
        theirs_s = process_time() - start
        start = process_time()
        result = trade_out(market, SolveSettings(tolerance=GAP))
        ours_s = process_time() - start
        apart = abs(result.cost_eur - optimum.cost_eur) / optimum.cost_eur
        name = f"{graph.__name__} {size} {kind}"
        goals.most(f"{name}, cost beside cvxpy", apart, 1e-6)
        if not result.converged:
            goals.missed.append(f"{name}: the traders did not agree")
        rows.append([name, f"{apart:.0e}", f"{ours_s / theirs_s:.1f}"])
    yield "## Beside the central optimum (cvxpy with Clarabel)"
    yield ""
    yield "Time is CPU time of all traders in one process, until every trade is confirmed, by that"
    yield "of building and solving the central model once it has been imported and run before."
    yield ""
    yield from table("market | relative difference of cost | time against cvxpy", rows)


def page(goals: Goals, quick: bool) -> Iterator[str]:
    """Yield the page of results."""
    yield "# Trading: rounds, messages and agreement"
    yield ""
    yield f"Made by `{COMMAND}`."
    yield "A market is `quadratic` (one generator of quadratic cost each) or `mixed` (quadratic,"
    yield "tightly bounded, steps, sun with a backup; links with capacities); a mesh has 4.9 links"
    yield "a trader. `bench/trading.py` says how each number is counted."
    yield ""
    yield from convergence(goals, quick)
    yield from cells(goals, quick)
    yield from methods(goals, quick)
    yield from bad_network(goals, 5 if quick else 250)
    yield from rejoin(goals, 2 if quick else 10)
    yield from central(goals, quick)
    yield "## Goals"
    yield ""
    yield from [f"- missed: {line}" for line in goals.missed] or ["All goals are reached."]


def main() -> int:
    """Print the page; return 1 when a goal was missed."""
    quick = "--quick" in sys.argv[1:]
    goals = Goals()
    for line in page(goals, quick):
        print(line, flush=True)
    return 1 if goals.missed and not quick else 0


if __name__ == "__main__":
    sys.exit(main())
