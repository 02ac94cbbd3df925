"""How many rounds and messages trading takes, beside the paper's method, ADMM, FISTA and cvxpy.

Random markets; rounds are counted to a relative gap of 1e-6 that an observer certifies in each
round from the prices alone, for all methods alike. "known" is the round in which the traders
themselves know it, by their votes. Run from the checkout; prints a page of Markdown, and ends with
code 1 when a goal is missed:

    PYTHONPATH=src:. python -m bench.trading > docs/results/trading.md

With --quick it leaves out what is larger than 100 traders; with --seeds N it tries N seeds of a bad
network instead of 20.
"""

import sys
from collections.abc import Iterator
from statistics import median
from time import process_time
from typing import Protocol

import numpy as np
from bench.measure import Goals, table
from bench.trading_baselines import Admm, Fista, Prices
from tests.agents.trading.graphs import Graph, complete, draw, mesh, ring, star, tree
from tests.agents.trading.play import Play

from peercell.agents.trading.certificate import position
from peercell.agents.trading.optimum import solve_centrally
from peercell.agents.trading.settings import Method
from peercell.broker.instance import Market
from peercell.broker.loop import LinkFaults
from peercell.broker.trade import SolveSettings, trade_out

GAP = 1e-6
ROUNDS_MAX = 1500
SEEDS = 3
STEPS = (0.01, 0.02, 0.04, 0.08, 0.16)
PENALTIES = (1.0, 3.0, 10.0)
BAD = LinkFaults(drop=0.3, delay_s_min=0.0, delay_s_max=10.0)
COMMAND = "PYTHONPATH=src:. python -m bench.trading"


class PriceFinder(Protocol):
    """Anything that finds prices round by round."""

    def round(self) -> Prices:
        """Return the prices after one more exchange."""
        ...


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


def baseline(market: Market, method: PriceFinder, most: int = ROUNDS_MAX) -> int | None:
    judge = Play(market)
    return next((k for k in range(1, most) if gap_of(judge, method.round()) <= GAP), None)


def best(rounds: list[int | None]) -> int | None:
    return min((count for count in rounds if count is not None), default=None)


def text(rounds: int | None) -> str:
    return "-" if rounds is None else str(rounds)


def subgradient(step: float) -> SolveSettings:
    return SolveSettings(method=Method.SUBGRADIENT, step_eur_per_kwh2=step)


def convergence(goals: Goals, quick: bool) -> Iterator[str]:
    cases: list[tuple[Graph, int, str, int | None, float | None]] = [
        (star, 1000, "quadratic", 30, None),
        (star, 1000, "mixed", 30, None),
        (tree, 1000, "quadratic", 30, 30.0),
        (tree, 1000, "mixed", 30, 30.0),
        (ring, 1000, "quadratic", 55, None),
        (ring, 1000, "mixed", 55, None),
        (mesh, 1000, "quadratic", 40, 150.0),
        (mesh, 1000, "mixed", None, None),
        (mesh, 100, "quadratic", 40, None),
        (mesh, 100, "mixed", 100, None),
        (tree, 100, "mixed", None, None),
        (ring, 100, "mixed", None, None),
    ]
    rows = []
    for graph, size, kind, rounds_goal, message_goal in cases:
        if quick and size > 100:
            continue
        name = f"{graph.__name__} {size} {kind}"
        found, known, quotes, total = [], [], [], []
        for seed in range(SEEDS):
            market = market_of(graph, size, seed, kind)
            play = Play(market, SolveSettings(tolerance=GAP))
            found.append(play.rounds_to(GAP, ROUNDS_MAX))
            quotes.append(play.loop.sent_by_kind["CurveQuote"] / size)
            known.append(max(fact.round for fact in play.settle().values()))
            total.append(play.loop.counts["sent"] / size)
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
                f"{median(known):.0f}",
                f"{max(quotes):.0f}",
                "-" if message_goal is None else f"{message_goal:.0f}",
                f"{max(total):.0f}",
            ]
        )
    yield "## Rounds and messages to 1e-6"
    yield ""
    yield "Quotes are counted up to the certified round, `all` until every trade is confirmed."
    yield ""
    head = "market | rounds median / worst | goal | known | quotes a trader | goal | all"
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
        (ring, 30, "mixed"),
    ]
    rows = []
    for graph, size, kind in cases[:3] if quick else cases:
        found: list[list[int | None]] = []
        for seed in range(SEEDS):
            market = market_of(graph, size, seed, kind)
            found.append(
                [
                    rounds_of(market, SolveSettings()),
                    best([rounds_of(market, subgradient(step)) for step in STEPS]),
                    best([baseline(market, Admm(market, penalty)) for penalty in PENALTIES]),
                    baseline(market, Fista(market)),
                    rounds_of(market, SolveSettings(method=Method.RELAX)),
                ]
            )
        name = f"{graph.__name__} {size} {kind}"
        ratios = [(one[1] or ROUNDS_MAX) / (one[0] or ROUNDS_MAX) for one in found]
        if kind == "quadratic":
            goals.least(f"{name}, least ratio of subgradient to ours", min(ratios), 8.0)
        columns = [" ".join(text(one[k]) for one in found) for k in range(5)]
        rows.append([name, *columns[:2], " ".join(f"{r:.1f}" for r in ratios), *columns[2:]])
    yield "## Beside other methods, rounds to 1e-6"
    yield ""
    yield f"{SEEDS} markets a row. The paper's subgradient with the best constant step of {STEPS}"
    yield f"for each market, ADMM with its best penalty of {PENALTIES}; `-` is not within"
    yield f"{ROUNDS_MAX} rounds, and counts as {ROUNDS_MAX} in a ratio."
    yield ""
    yield from table("market | ours | subgradient | ratio | ADMM | FISTA | relax", rows)


def bad_network(goals: Goals, seeds: int) -> Iterator[str]:
    rows = []
    failures = 0
    for graph in (ring, star, tree, mesh):
        ratios = []
        for seed in range(seeds):
            kind = "mixed" if seed % 2 else "quadratic"
            market = market_of(graph, 10, seed, kind)
            clean = rounds_of(market, SolveSettings())
            found = rounds_of(market, SolveSettings(faults=BAD, seed=seed))
            if clean is None or found is None:
                failures += 1
            else:
                ratios.append(found / max(clean, 1))
        goals.most(f"{graph.__name__} 10, bad network against clean, worst", max(ratios), 10.0)
        above = sum(ratio > 10.0 for ratio in ratios) / len(ratios)
        tail = (median(ratios), float(np.percentile(ratios, 95)), max(ratios))
        rows.append([graph.__name__, *(f"{ratio:.1f}" for ratio in tail), f"{above:.1%}"])
    goals.most("failures on a bad network", failures, 0)
    yield f"## Delay of 0 to 10 rounds and 30 % loss, {4 * seeds} markets of ten traders"
    yield ""
    yield f"{failures} failures. Rounds to 1e-6 as multiples of those on a clean network:"
    yield ""
    yield from table("graph | median | 95th percentile | worst | above 10", rows)


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


def main() -> None:
    quick = "--quick" in sys.argv
    seeds = int(sys.argv[sys.argv.index("--seeds") + 1]) if "--seeds" in sys.argv else 20
    goals = Goals()
    print("# Trading: rounds, messages and agreement")
    print(f"\nMade by `{COMMAND}`.\n")
    for part in (
        convergence(goals, quick),
        cells(goals, quick),
        methods(goals, quick),
        bad_network(goals, seeds),
        central(goals, quick),
    ):
        for line in part:
            print(line, flush=True)
    print("## Goals missed\n" if goals.missed else "All goals are reached.")
    for missed in goals.missed:
        print(f"- {missed}")
    sys.exit(1 if goals.missed else 0)


if __name__ == "__main__":
    main()
