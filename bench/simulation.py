"""What simulation costs: peers times rounds a CPU second, beside a plain Mesa model.

Members of a gossip average a number, a tick a second, each with some neighbours. In simulation
each message is encoded, numbered, checked by the gate of its receiver, accounted for and traced;
the plain model calls the receiver. Run from the checkout; prints a page of Markdown, and ends with
code 1 when a goal is missed:

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.simulation > docs/results/simulation.md
"""

import gc
import sys
from collections.abc import Iterator
from math import log
from time import process_time

import numpy as np
from bench.measure import Goals, made_by, table
from mesa import Agent, Model
from tests.broker.fault_seeds import QUICK, Gossiper

from peercell.agents.overlay import overlay
from peercell.agents.push_sum import PushSum
from peercell.broker.checks import check
from peercell.broker.simulation import Simulation

COMMAND = "OPENBLAS_NUM_THREADS=1 python -m bench.simulation"
SIZES = (100, 1_000, 10_000)
ROUNDS, WARM_UP = 40, 10
RINGS = 2
EXPONENT_MAX = 1.1
RATIO_MAX = 5.0


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
    cell = Simulation(QUICK, 1)
    near = overlay(names_of(count), RINGS)
    for k, name in enumerate(names_of(count)):
        cell.start(name, Gossiper(float(k), near[name], np.random.default_rng(k)))
    return cell


def rate(model: Model) -> float:
    """Return rounds a CPU second, once all links are open."""
    for _ in range(WARM_UP):
        model.step()
    gc.collect()
    begun_s = process_time()
    for _ in range(ROUNDS):
        model.step()
    return ROUNDS / (process_time() - begun_s)


def page(goals: Goals) -> Iterator[str]:
    yield "# What simulation costs"
    yield ""
    yield "Members of a gossip average a number, a tick a second, with the same messages in all"
    yield "columns. In simulation each message is encoded, numbered, checked by the gate of its"
    yield "receiver, accounted for and traced; the plain Mesa model calls the receiver. Numbers are"
    yield "peers times rounds a CPU second."
    yield ""
    yield from made_by(COMMAND, ("mesa", "msgspec"))
    rows, cost_s = [], []
    for count in SIZES:
        cell = simulated(count)
        ours = rate(cell)
        check(cell)
        plain = rate(Plain(count))
        cost_s.append(1.0 / ours)
        rows.append(
            [f"{count:,}", f"{count * ours:,.0f}", f"{count * plain:,.0f}", f"{plain / ours:.2f}"]
        )
        goals.most(f"CPU beside a plain Mesa model, {count:,} members", plain / ours, RATIO_MAX)
    exponent = log(cost_s[-1] / cost_s[0]) / log(SIZES[-1] / SIZES[0])
    goals.most("exponent of the cost of a round, 100 to 10,000 members", exponent, EXPONENT_MAX)
    yield from table("members | simulation | plain Mesa model | CPU ratio", rows)
    yield ""
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
