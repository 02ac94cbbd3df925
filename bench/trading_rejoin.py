"""How soon traders that come back from a crash trade again, with and without saying hello."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
from bench.measure import Goals, table
from bench.trading_rounds import GAP, ROUNDS_MAX, market_of, progress
from msgspec.structs import replace
from tests.agents.trading.graphs import mesh, ring, tree
from tests.agents.trading.play import Play

from peercell.agents.protocol import Action, Event, Role, Send
from peercell.agents.trading.messages import Hello
from peercell.agents.trading.trader import MicrogridTrader, Phase
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.instance import Market
from peercell.broker.solving.trade import SolveSettings


class Quiet:
    """A trader that says no hello."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return [
            action
            for action in self.role.step(event, now_s)
            if not (isinstance(action, Send) and isinstance(action.message, Hello))
        ]


@dataclass(frozen=True)
class Return:
    """How some traders come back from a crash that took all they knew."""

    words: str
    hello: bool
    listen_rounds: int


RETURNS = (
    Return("listen and say hello", hello=True, listen_rounds=30),
    Return("listen", hello=False, listen_rounds=30),
    Return("neither", hello=False, listen_rounds=0),
)
AWAY_ROUNDS = 30


def come_back(market: Market, how: Return, drop: float, seed: int) -> tuple[int, int, float] | None:
    """Return rounds until all trade again and until 1e-6, and messages a trader until then."""
    faults = LinkFaults(drop=drop)
    play = Play(market, SolveSettings(faults=faults, seed=seed), endless=True)
    play.rounds_to(GAP, ROUNDS_MAX)
    play.run(AWAY_ROUNDS)
    gone = [str(name) for name in np.random.default_rng(seed).permutation(list(play.roles))[:3]]
    for name in gone:
        play.simulation.crash(name, play.simulation.now_s)
    play.run(AWAY_ROUNDS)
    for name in gone:
        role = MicrogridTrader(replace(play.settings_of(name), listen_rounds=how.listen_rounds))
        play.roles[name] = role
        play.simulation.start(name, role if how.hello else Quiet(role), play.simulation.now_s)
    before = play.simulation.sent
    trading = None
    for count in range(ROUNDS_MAX):
        play.run(1)
        if trading is None and all(play.roles[name].phase is Phase.TRADING for name in gone):
            trading = count + 1
        if trading is not None and play.gap <= GAP:
            return trading, count + 1, (play.simulation.sent - before) / len(play.roles)
    return None


def rejoin(goals: Goals, seeds: int) -> Iterator[str]:
    rows = []
    for graph in (ring, tree, mesh):
        progress(f"rejoin, {graph.__name__}")
        for drop in (0.0, 0.3):
            for how in RETURNS:
                found = []
                for seed in range(seeds):
                    market = market_of(graph, 30, seed, "mixed" if seed % 2 else "quadratic")
                    back = come_back(market, how, drop, seed)
                    if back is None:
                        goals.missed.append(f"{graph.__name__} 30, {how.words}: no end")
                    else:
                        found.append(back)
                trading, good, said = (list(column) for column in zip(*found, strict=True))
                if how.hello and drop == 0.0:
                    goals.most(f"{graph.__name__} 30, rounds to trade again", max(trading), 5)
                rows.append(
                    [
                        f"{graph.__name__} 30",
                        f"{drop:.0%}",
                        how.words,
                        f"{median(trading):.0f} / {max(trading)}",
                        f"{median(good):.0f} / {max(good)}",
                        f"{median(said):.1f}",
                    ]
                )
    yield "## Coming back from a crash"
    yield ""
    yield f"Three of thirty traders lose all they knew and come back after {AWAY_ROUNDS} rounds;"
    yield f"seeds 0 to {seeds - 1}, every other one mixed. Rounds, median / worst, until all three"
    yield "trade again (goal with hello and without loss: 5) and until the gap is 1e-6 again, and"
    yield "messages of each trader until then. Who says no hello hears its neighbours when they"
    yield "next repeat themselves; who does not listen either starts at its stand-alone price."
    yield ""
    yield from table("market | loss | those who come back | trading | 1e-6 | messages", rows)
