"""Do small markets come to rest, whatever they are? Thousands at random, with and without boldness.

Two to seven traders with bilateral links, blocks of all kinds and loads, most of them with links at
their capacities and units at their limits, where no elasticity holds prices. Prints a page of
Markdown, and ends with code 1 when a market does not come to rest before the gate:

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.rest > docs/results/rest.md
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np
from bench.measure import Goals, made_by, table
from bench.pool import measure
from tests.agents.trading.markets import market_of

from peercell.agents.trading import response
from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.links import Link
from peercell.broker.solving.instance import Market
from peercell.broker.solving.trade import SolveSettings, trade_out

COMMAND = "env OPENBLAS_NUM_THREADS=1 python -m bench.rest"
SEEDS, TOGETHER, WORKERS = 9_000, 500, 2
SETTINGS = SolveSettings(tolerance=1e-10, rounds_max=1_500)

Blocks = tuple[Block, ...]


def number(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 3)


def any_blocks(rng: np.random.Generator) -> Blocks:
    """Return up to three of sun, steps and bounded generators."""
    made = []
    for kind in rng.integers(3, size=int(rng.integers(0, 4))):
        price = 0.0 if kind == 0 else number(rng, 5.0, 60.0)
        slope = number(rng, 1.0, 6.0) if kind == 2 else 0.0
        made.append(Block(price, slope, number(rng, 0.5, 9.0 if kind == 0 else 5.0)))
    return tuple(made)


def rising_blocks(rng: np.random.Generator) -> Blocks:
    """Return a curve of up to three blocks, flat or not, short or long, each dearer than before."""
    made, price = [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        price = round(price + number(rng, 0.0, 30.0) * int(rng.random() < 0.8), 3)
        slope = number(rng, 0.0, 2.0) * int(rng.random() < 0.6)
        width = number(rng, 0.0, 30.0 if rng.random() < 0.5 else 3.0)
        made.append(Block(price, slope, width))
        price = round(price + slope * width, 3)
    return tuple(made)


KINDS: dict[str, Callable[[np.random.Generator], Blocks]] = {
    "any blocks": any_blocks,
    "rising blocks": rising_blocks,
}


def market(kind: str, seed: int) -> Market:
    """Return a tree of traders with some links more; some of them have the same units."""
    rng = np.random.default_rng(seed)
    names = [f"t{k}" for k in range(int(rng.integers(2, 8)))]
    same = KINDS[kind](rng)
    offers = {
        name: Offer(number(rng, 1.0, 10.0), same if rng.random() < 0.3 else KINDS[kind](rng))
        for name in names
    }
    pairs = {(names[int(rng.integers(k))], names[k]) for k in range(1, len(names))}
    for _ in range(int(rng.integers(0, 4))):
        here, there = sorted(int(place) for place in rng.integers(len(names), size=2))
        pairs |= {(names[here], names[there])} if here < there else set()
    links = []
    for one, other in sorted(pairs):
        fee, slope, most = number(rng, 0.1, 3.0), number(rng, 0.2, 1.0), number(rng, 0.0, 6.0)
        links += [Link(one, other, fee, slope, most), Link(other, one, fee, slope, most)]
    return market_of(offers, tuple(links))


def rounds(kind: str, first: int, bold_min: float) -> list[int | None]:
    """Return the rounds of some markets; None for those that do not come to rest."""
    response.BOLD_MIN = bold_min  # in a process of its own; each job says it anew
    results = [trade_out(market(kind, first + k), SETTINGS) for k in range(TOGETHER)]
    return [result.rounds if result.converged else None for result in results]


def page(goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    yield "# Do small markets come to rest?"
    yield ""
    yield from made_by(COMMAND, ("numpy", "msgspec"))
    yield "Markets of 2 to 7 traders at random, most of them at limits of units and links:"
    yield "`any blocks` are sun, steps and bounded generators, `rising blocks` curves of up to"
    yield "three parts. Rounds until all know that the relative gap is at most"
    yield f"{SETTINGS.tolerance:g}, of those that come to rest within {SETTINGS.rounds_max:,}."
    yield "`always bold` is the same without `Boldness` (agents/trading/response.py)."
    yield ""
    ways = {"": response.BOLD_MIN, ", always bold": 1.0}
    cases = {(kind, way): bold for kind in KINDS for way, bold in ways.items()}
    jobs = {
        case: [(rounds, (case[0], first, bold)) for first in range(0, SEEDS, TOGETHER)]
        for case, bold in cases.items()
    }
    found = measure([job for each in jobs.values() for job in each], WORKERS)
    rows = []
    for (kind, way), asked in jobs.items():
        told = [each for job in asked for each in found[job]]
        rested = [each for each in told if each is not None]
        never = len(told) - len(rested)
        middle, late = np.percentile(rested, (50, 99))
        rows.append(
            [
                kind + way,
                f"{len(told):,}",
                f"{never}",
                f"{middle:.0f}",
                f"{late:.0f}",
                f"{max(rested)}",
            ]
        )
        if not way:
            goals.most(f"markets of {kind} that do not come to rest", never, 0)
    yield from table("market | how many | never | rounds, median | 99 % | worst", rows)
    yield from goals.table()


def main() -> int:
    goals = Goals()
    for line in page(goals):
        print(line, flush=True)
    return 1 if goals.missed else 0


if __name__ == "__main__":
    sys.exit(main())
