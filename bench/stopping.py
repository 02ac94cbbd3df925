"""When may traders stop? The vote on allowances beside push-sum of (gap, cost).

Both are run on the same markets and the same overlay, with two messages a trader and round. Run
from the checkout; prints a page of Markdown:

    PYTHONPATH=src:. python -m bench.stopping > docs/results/stopping.md
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
from bench.measure import table
from tests.agents.push_sum_network import Network, losing
from tests.agents.trading.play import Play
from tests.agents.trading.test_convergence import Edges, draw, mesh, ring, star, tree

from peercell.agents.overlay import overlay
from peercell.agents.push_sum import INPUT_MAX
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.certificate import position
from peercell.agents.trading.links import links_by_peer
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.instance import Market
from peercell.broker.solving.trade import SolveSettings

COMMAND = "PYTHONPATH=src:. python -m bench.stopping"
TOLERANCE = 1e-6
SEEDS = 3
ROUNDS_MAX = 400
Graph = Callable[[int, np.random.Generator], Edges]
CASES: tuple[tuple[Graph, int, bool], ...] = (
    (star, 100, False),
    (tree, 100, False),
    (tree, 100, True),
    (ring, 100, False),
    (mesh, 100, False),
)


@dataclass
class Found:
    """Rounds of one market, counted from its beginning."""

    observed: int
    voted: int
    estimated: int
    mistaken: int
    frozen: int


def shares(play: Play) -> dict[str, tuple[float, float]]:
    """Return gap and cost of each trader if all froze their prices now, as push-sum takes them."""
    market, frozen = play.market, {name: (price,) for name, price in play.prices.items()}
    plans = {
        name: position(
            (Supply(offer, market.voll_eur_per_kwh),),
            links_by_peer(name, market.links),
            frozen[name],
            frozen,
        )
        for name, offer in market.offers.items()
    }
    return {
        name: (min(plan.gap_eur, INPUT_MAX), min(plan.cost_eur, INPUT_MAX))
        for name, plan in plans.items()
    }


def ratios(network: Network) -> np.ndarray:
    """Return what each trader takes the relative gap for."""
    found = np.array([member.estimate() for member in network.members.values()])
    return found[:, 0] / np.maximum(found[:, 1], 1e-12)


def network_of(given: dict[str, tuple[float, float]], loss: float, seed: int) -> Network:
    """Return push-sum members with gap and cost as inputs, on the traders' overlay."""
    rng = np.random.default_rng(seed)
    network = Network(rng, losing(rng, loss))
    links = overlay(given)
    for name, inputs in given.items():
        network.start(name, inputs, links[name])
    return network


def live(market: Market, settings: SolveSettings, loss: float) -> tuple[int, int, int, int]:
    """Return what push-sum finds while trading goes on.

    Rounds until the true gap is small enough, until all estimates say so, the most members that
    said so before it was true, and the rounds that frozen gaps take to be found small by all.
    """
    play = Play(market, settings, endless=True)
    network = network_of(shares(play), loss, settings.seed)
    observed = mistaken = after = 0
    for count in range(1, ROUNDS_MAX):
        play.run(1)
        given = shares(play)
        for name, inputs in given.items():
            network.set_input(name, inputs)
        for _ in range(2):
            network.tick()
        small = int((ratios(network) <= TOLERANCE).sum())
        if not observed and play.gap_by_prices <= TOLERANCE:
            observed, after = count, frozen(given, loss, settings.seed)
        if not observed:
            mistaken = max(mistaken, small)
        elif small == len(given):
            return observed, count, mistaken, after
    raise AssertionError(f"no end within {ROUNDS_MAX} rounds")


def frozen(given: dict[str, tuple[float, float]], loss: float, seed: int) -> int:
    """Return after how many rounds all find the ratio of frozen sums small enough."""
    network = network_of(given, loss, seed)
    for count in range(1, ROUNDS_MAX):
        for _ in range(2):
            network.tick()
        if ratios(network).max() <= TOLERANCE:
            return count
    raise AssertionError(f"no end within {ROUNDS_MAX} rounds")


def measured(case: tuple[Graph, int, bool], loss: float, seed: int) -> Found:
    """Return what both ways find in one market."""
    graph, size, mixed = case
    market = draw(graph(size, np.random.default_rng(seed)), seed, mixed=mixed)
    settings = SolveSettings(tolerance=TOLERANCE, seed=seed, faults=LinkFaults(drop=loss))
    settled = Play(market, settings).settle()
    gap = sum(fact.gap_eur for fact in settled.values())
    assert gap <= TOLERANCE * sum(fact.cost_eur for fact in settled.values())
    observed, estimated, mistaken, after = live(market, settings, loss)
    voted = max(fact.round for fact in settled.values())
    return Found(observed, voted, estimated, mistaken, observed + after)


def page() -> Iterator[str]:
    """Yield the page of results."""
    yield "# When traders may stop: votes beside push-sum"
    yield ""
    yield f"Made by `{COMMAND}`."
    yield f"Rounds from the beginning to a relative gap of {TOLERANCE:g}, medians of {SEEDS} seeds;"
    yield "two messages a trader and round in either way, on the same overlay."
    yield ""
    yield "- *true*: an observer of all prices sees it;"
    yield "- *vote*: all traders have frozen, certified and voted, and know it: a proof;"
    yield "- *push-sum*: all estimates of the present (gap, cost) say so; before it was true, as"
    yield "  many traders as given were sure of it already;"
    yield "- *frozen*: had all frozen their prices at the true moment, all estimates would say so."
    yield "  Nobody can know that moment, and agreeing that all are content would come on top."
    yield ""
    rows = []
    for case in CASES:
        for loss in (0.0, 0.3):
            runs = [measured(case, loss, seed) for seed in range(SEEDS)]
            graph, size, mixed = case
            numbers = [
                f"{median(getattr(run, name) for run in runs):.0f}"
                for name in ("observed", "voted", "estimated", "mistaken", "frozen")
            ]
            kind = "mixed" if mixed else "quadratic"
            rows.append([f"{graph.__name__} of {size}, {kind}", f"{loss:.0%}", *numbers])
    yield from table("market | loss | true | vote | push-sum | sure too early | frozen", rows)


def main() -> None:
    """Print the page."""
    for line in page():
        print(line, flush=True)


if __name__ == "__main__":
    main()
