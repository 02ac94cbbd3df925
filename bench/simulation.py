"""What simulation costs: peers times rounds a CPU second, beside a plain Mesa model and mango.

Members of a gossip average a number, a tick a second, each with some neighbours. In simulation
each message is encoded, numbered, checked by the gate of its receiver, accounted for and traced;
the plain model calls the receiver, mango hands the object over. Traders of a market converge, up
to ten thousand in one process. Each cell is measured in a fresh process. Run from the checkout;
prints a page of Markdown, and ends with code 1 when a goal is missed. mango is measured if
`pip install mango-agents==2.4.0` has been done:

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.simulation > docs/results/simulation.md
"""

import gc
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from time import process_time

import numpy as np
from bench.measure import Goals, made_by, table
from bench.pool import alone
from bench.trading_rounds import GAP, market_of, progress
from mesa import Agent, Model
from tests.agents.trading.graphs import tree

from peercell.agents.overlay import overlay
from peercell.agents.protocol import Action, Event, Received, Send, SetTimer, Started, TimerFired
from peercell.agents.push_sum import PushSum
from peercell.agents.push_sum_messages import Heard, Sum
from peercell.broker.simulated_checks import check
from peercell.broker.simulated_time import uncollected
from peercell.broker.simulation import Simulation
from peercell.broker.solving.trade import SolveSettings, TradeResult, trade_out

COMMAND = "env OPENBLAS_NUM_THREADS=1 python -m bench.simulation"
SIZES = (100, 1_000, 10_000)
# Peers times rounds of a measurement, whatever the size, so that all last about as long.
WORK = 100_000
WARM_UP, MANGO_WORK = 10, 20_000
PASSES = 5
TRADERS = {100: 8, 300: 3, 1_000: 1, 3_000: 1, 10_000: 1}
"""Sizes of markets, and how often each is traded out."""
RINGS = 2
EXPONENT_MAX = 1.1
RATIO_MAX = 5.0
MANGO = "mango-agents"

GOSSIP = (
    "## Gossip",
    "",
    "Members of a gossip average a number, a tick a second, with the same two messages a member",
    "and round, which arrive at once, in all columns. In simulation each message is encoded,",
    "numbered, checked by the gate of its receiver, accounted for and traced; the plain Mesa model",
    "calls the receiver; the simulation world of mango hands the object over, unrecorded. Numbers",
    f"are peers times rounds a CPU second, the best of {PASSES} passes, each in a fresh process.",
)
TRADING = (
    "## Trading",
    "",
    "Traders of a market on a tree, with quadratic generators, trade in one process until all know",
    f"by their votes that the relative gap is at most {GAP:g}, and each trade is confirmed. CPU",
    "time is the least of some runs. Rounds grow as the depth of the tree and the time of a vote",
)


class Member(Agent):
    """A member in a plain Mesa model: it calls its neighbours."""

    def __init__(self, model: Model, name: str, number: float) -> None:
        super().__init__(model)
        self.name = name
        self.sums = PushSum((number,), 1)

    def step(self) -> None:
        """Push once."""
        if (told := self.sums.tick(self.model.rng)) is not None:
            self.model.carry(self.name, *told)


@dataclass(slots=True)
class Pusher:
    """The same as a role: it sends to its neighbours."""

    number: float
    near: Sequence[str]
    rng: np.random.Generator
    sums: PushSum = field(init=False)

    def step(self, event: Event, _now_s: float) -> list[Action]:
        """Push once a second."""
        match event:
            case Started():
                self.sums = PushSum((self.number,), 1)
                greetings = [self.sums.open_link(peer) for peer in self.near]
                return [*(Send(*each) for each in greetings if each), SetTimer("tick", 1.0)]
            case TimerFired():
                told = self.sums.tick(self.rng)
                return [*([Send(*told)] if told else []), SetTimer("tick", 1.0)]
            case Received(sender=sender, message=Sum() | Heard() as message):
                answer = self.sums.receive(sender, message)
                return [Send(*answer)] if answer else []
            case _:
                return []


class Plain(Model):
    """A model that does the same with nothing in between."""

    def __init__(self, count: int) -> None:
        super().__init__(rng=1)
        self.members = {name: Member(self, name, k) for k, name in enumerate(names_of(count))}
        for name, near in overlay(names_of(count), RINGS).items():
            for peer in near:
                if (greeting := self.members[name].sums.open_link(peer)) is not None:
                    self.carry(name, *greeting)

    def carry(self, sender: str, to: str, message: object) -> None:
        """Let a member hear another, and that one its answer."""
        answer = self.members[to].sums.receive(sender, message)
        if answer is not None:
            self.carry(to, *answer)

    def step(self) -> None:
        """Let each member push once."""
        self.agents.do("step")


def names_of(count: int) -> tuple[str, ...]:
    return tuple(f"m{k}" for k in range(count))


def simulated(count: int) -> Simulation:
    cell = Simulation(seed=1)
    near, rng = overlay(names_of(count), RINGS), np.random.default_rng(1)
    for k, name in enumerate(names_of(count)):
        cell.start(name, Pusher(float(k), near[name], rng))
    return cell


def rate(model: Model, rounds: int) -> float:
    """Return rounds a CPU second, once all links are open."""
    for _ in range(WARM_UP):
        model.step()
    begun_s = process_time()
    for _ in range(rounds):
        model.step()
    return rounds / (process_time() - begun_s)


def in_simulation(count: int) -> float:
    """Return rounds a CPU second of a gossip of some members."""
    cell = simulated(count)
    with uncollected():
        found = rate(cell, WORK // count)
    check(cell)
    return found


def in_plain_model(count: int) -> float:
    """Return rounds a CPU second of the same in a plain Mesa model."""
    with uncollected():
        return rate(Plain(count), WORK // count)


def in_mango(count: int) -> float:
    """Return rounds a CPU second of the same in mango's simulation world."""
    near = overlay(names_of(count), RINGS)
    mango = import_module("bench.simulation_mango")
    with uncollected():
        found: float = mango.mango_rate(near, 2, max(2, MANGO_WORK // count))
    return found


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Return with which power of the size a cost grows, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def gossip(goals: Goals) -> Iterator[str]:
    """Yield what members of a gossip cost; the best of passes that take turns."""
    ours, plain = dict.fromkeys(SIZES, 0.0), dict.fromkeys(SIZES, 0.0)
    mango: dict[int, float] = {}
    for _ in range(PASSES):
        for count in SIZES:
            progress(f"gossip of {count}")
            ours[count] = max(ours[count], alone(in_simulation, count))
            plain[count] = max(plain[count], alone(in_plain_model, count))
            if find_spec("mango") is not None:
                mango[count] = max(mango.get(count, 0.0), alone(in_mango, count))
    rows = [
        [
            f"{count:,}",
            f"{count * ours[count]:,.0f}",
            f"{count * plain[count]:,.0f}",
            f"{plain[count] / ours[count]:.2f}",
            f"{count * mango[count]:,.0f}" if mango else "not installed",
            f"{ours[count] / mango[count]:.1f}" if mango else "-",
        ]
        for count in SIZES
    ]
    for count in SIZES:
        ratio = plain[count] / ours[count]
        goals.most(f"CPU beside a plain Mesa model, {count:,} members", ratio, RATIO_MAX)
    grown, theirs = (
        exponent(SIZES, [1.0 / rates[count] for count in SIZES]) for rates in (ours, plain)
    )
    goals.most("exponent of the cost of a round, 100 to 10,000 members", grown, EXPONENT_MAX)
    yield from GOSSIP
    yield f"The cost of a round grows with the exponent {grown:.3f} in simulation and {theirs:.3f}"
    yield "in the plain model, in which nothing but memory knows how many there are: 100 members"
    yield f"fit into a cache, 10,000 do not. The column of mango needs `pip install {MANGO}`,"
    yield "which nothing else here does."
    yield ""
    head = "members | simulation | plain Mesa model | CPU ratio to it | mango | times mango's speed"
    yield from table(head, rows)


def traded(size: int) -> tuple[TradeResult, float]:
    """Return how a market ends, and the CPU time that it takes at best, s."""
    market, best_s = market_of(tree, size, 0, "quadratic"), float("inf")
    for _ in range(TRADERS[size]):
        gc.collect()
        begun_s = process_time()
        result = trade_out(market, SolveSettings(tolerance=GAP))
        best_s = min(best_s, process_time() - begun_s)
    return result, best_s


def trading(goals: Goals) -> Iterator[str]:
    """Yield what it costs until all traders of a market know that they are done."""
    best: dict[int, tuple[float, TradeResult]] = {}
    for _ in range(PASSES):
        for size in TRADERS:
            progress(f"market of {size}")
            result, taken_s = alone(traded, size)
            if size not in best or taken_s < best[size][0]:
                best[size] = (taken_s, result)
    rows, cost_s = [], []
    for size, (taken_s, result) in best.items():
        cost_s.append(taken_s / result.rounds)
        rows.append(
            [
                f"{size:,}",
                f"{result.rounds}",
                f"{result.messages / size:.0f}",
                f"{result.relative_gap:.0e}",
                f"{taken_s:.1f}",
                f"{size * result.rounds / taken_s:,.0f}",
            ]
        )
        if not result.converged:
            goals.missed.append(f"{size} traders did not converge")
    grown = exponent(list(TRADERS), cost_s)
    goals.most("exponent of the cost of a round, 100 to 10,000 traders", grown, EXPONENT_MAX)
    goals.most("gap of 10,000 traders", result.relative_gap, GAP)
    yield from TRADING
    yield f"do; the cost of a round grows with the exponent {grown:.3f}."
    yield ""
    head = "traders | rounds | messages a trader | gap | CPU s | peers times rounds a CPU second"
    yield from table(head, rows)


def page(goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    yield "# What simulation costs"
    yield ""
    measured = ("mesa", "msgspec") if find_spec("mango") is None else ("mesa", "msgspec", MANGO)
    yield from made_by(COMMAND, measured)
    yield from gossip(goals)
    yield from trading(goals)
    yield from goals.table()


def main() -> int:
    goals = Goals()
    for line in page(goals):
        print(line)
    for missed in goals.missed:
        print(missed, file=sys.stderr)
    return 1 if goals.missed else 0


if __name__ == "__main__":
    sys.exit(main())
