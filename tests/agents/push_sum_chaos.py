"""A random life of a push-sum network: crashes, restarts, joins, leaves, suspicions, new inputs."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from tests.agents.push_sum_network import Network, at_once, chaotic

# Chance of a rare event in a tick; suspicions and new inputs are four times as frequent.
RATE = 0.02
# Who has fewer links asks somebody for one more.
LINKS_MIN = 3


@dataclass
class Chaos:
    """One schedule, drawn from a seed: 12 to 40 members with two sums each, 30 % loss and more.

    Inputs lie between -`scale` and `scale`; large ones let the counters wrap around.

    `watched` asserts the ledger identity of the receiver after every delivery, and that what it
    has taken was once given in the same pair of sessions. `mask` is that of all members.
    """

    seed: int
    scale: float = 3.0
    watched: bool = False
    mask: float = 0.0
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.network = Network(self.rng, chaotic(self.rng), mask=self.mask)
        self.network.watched = self.watched
        self._plans: dict[int, list[Callable[[], None]]] = defaultdict(list)
        self._born = 0
        for _ in range(int(self.rng.integers(12, 41))):
            self._join()

    def run(self, wild: int, calm: int) -> None:
        """Let ticks pass, first with events and faults, then without either."""
        rates: dict[Callable[[], None], float] = dict.fromkeys(
            (self._crash, self._restart, self._join, self._leave), RATE
        )
        rates |= {self._suspect: 4.0 * RATE, self._change: 4.0 * RATE}
        for _ in range(wild):
            for event, rate in rates.items():
                if self.rng.random() < rate:
                    event()
                    self.network.counts[event.__name__.strip("_")] += 1
            self._tick()
        self.network.fate = at_once
        for _ in range(calm):
            self._tick()

    def _tick(self) -> None:
        for plan in self._plans.pop(self.network.now, []):
            plan()
        for name, member in list(self.network.members.items()):
            if len(member.links) < LINKS_MIN:
                (peer,) = self._some(1)
                if peer != name:
                    self.network.open(name, peer)
        self.network.tick()

    def _later(self, ticks_max: int, plan: Callable[[], None]) -> None:
        self._plans[self.network.now + int(self.rng.integers(0, ticks_max + 1))].append(plan)

    def _drawn_inputs(self) -> tuple[float, ...]:
        return tuple(float(each) for each in self.rng.uniform(-self.scale, self.scale, 2))

    def _some(self, count: int) -> list[str]:
        names = list(self.network.members)
        return [names[k] for k in self.rng.permutation(len(names))[:count]]

    def _join(self) -> None:
        self._born += 1
        self.network.start(f"m{self._born}", self._drawn_inputs(), tuple(self._some(5)))

    def _crash(self, plan: Callable[[str], None] | None = None) -> None:
        """End a member; its neighbours notice within 20 ticks, or by its silence alone."""
        if len(self.network.members) < 6:
            return
        (name,) = self._some(1)
        self.network.stop(name)
        for peer in list(self.network.members):
            if name in self.network.members[peer].links and self.rng.random() < 0.8:
                self._later(20, partial(self._close, peer, name))
        if plan is not None:
            self._later(20, partial(plan, name))

    def _close(self, name: str, peer: str) -> None:
        if name in self.network.members:
            self.network.members[name].close_link(peer)

    def _restart(self) -> None:
        """End a member and start it again, perhaps before anybody has noticed."""

        def again(name: str) -> None:
            peers = [peer for peer in self._some(6) if peer != name]
            self.network.start(name, self._drawn_inputs(), tuple(peers))

        self._crash(again)

    def _leave(self) -> None:
        """End a member whose neighbours are told at once."""
        if len(self.network.members) < 6:
            return
        (name,) = self._some(1)
        self.network.stop(name)
        for member in self.network.members.values():
            member.close_link(name)

    def _suspect(self) -> None:
        """Let a member give up a neighbour that lives, and take it up again within 20 ticks."""
        (name,) = self._some(1)
        peers = self.network.members[name].links
        if peers:
            peer = peers[int(self.rng.integers(len(peers)))]
            self._close(name, peer)
            self._later(20, partial(self._reopen, name, peer))

    def _reopen(self, name: str, peer: str) -> None:
        if name in self.network.members and peer in self.network.members:
            self.network.open(name, peer)

    def _change(self) -> None:
        (name,) = self._some(1)
        self.network.set_input(name, self._drawn_inputs())
