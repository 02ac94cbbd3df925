"""Push-sum members in one thread, tick by tick, over links that lose, double and delay."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from peercell.agents.push_sum import PushSum, _wrapped
from peercell.agents.push_sum_messages import PushSumMessage, Sum

Letter = tuple[str, str, PushSumMessage]


class Fate(Protocol):
    """What becomes of a message."""

    def __call__(self) -> tuple[int, ...]:
        """Return after how many ticks each copy of a message arrives; none when it is lost."""
        ...


def at_once() -> tuple[int, ...]:
    """Deliver once, within the tick."""
    return (0,)


def losing(rng: np.random.Generator, loss: float) -> Fate:
    """Deliver within the tick, or not at all."""
    return lambda: () if rng.random() < loss else (0,)


def delaying(rng: np.random.Generator, loss: float, ticks_max: int) -> Fate:
    """Deliver after some ticks, or not at all."""
    return lambda: () if rng.random() < loss else (int(rng.integers(0, ticks_max + 1)),)


def chaotic(rng: np.random.Generator) -> Fate:
    """Lose 30 %, double 10 %, delay by up to 6 ticks."""

    def fate() -> tuple[int, ...]:
        if rng.random() < 0.3:
            return ()
        copies = 2 if rng.random() < 0.1 else 1
        return tuple(int(ticks) for ticks in rng.integers(0, 7, copies))

    return fate


def mass_of(members: list[PushSum]) -> list[int]:
    """Return the sum of all masses, the weight last, in integer units."""
    return [sum(each) for each in zip(*(member._mass for member in members), strict=True)]


@dataclass
class Network:
    """Members, what is on the way between them, and what an all-seeing eye sees."""

    rng: np.random.Generator
    fate: Fate = at_once
    now: int = 0
    members: dict[str, PushSum] = field(default_factory=dict)
    inputs: dict[str, tuple[float, ...]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    mask: float = 0.0

    def __post_init__(self) -> None:
        self._due: dict[int, list[Letter]] = defaultdict(list)
        self._lives = 0
        self._stated: set[tuple[str, str, int, int, bytes]] = set()
        self.watched = False

    def start(self, name: str, inputs: tuple[float, ...], peers: tuple[str, ...] = ()) -> None:
        """Start a member, in place of an earlier one of that name."""
        self._lives += 1000
        member = self.members[name] = PushSum(inputs, self._lives, mask=self.mask)
        self.inputs[name] = inputs
        for peer in peers:
            self.open(name, peer)
        assert member.imbalance == 0

    def stop(self, name: str) -> None:
        """End a member without a word."""
        del self.members[name], self.inputs[name]

    def open(self, name: str, peer: str) -> None:
        """Let a member open a link."""
        greeting = self.members[name].open_link(peer)
        if greeting is not None:
            self.post(name, *greeting)

    def set_input(self, name: str, inputs: tuple[float, ...]) -> None:
        """Change a member's input."""
        self.members[name].set_input(inputs)
        self.inputs[name] = inputs

    def post(self, sender: str, to: str, message: PushSumMessage) -> None:
        """Put a message on its way."""
        self.counts["messages"] += 1
        if self.watched and isinstance(message, Sum):
            self._stated.add((sender, to, message.session, message.peer_session, message.given))
        for ticks in self.fate():
            self._due[self.now + ticks].append((sender, to, message))

    def tick(self) -> None:
        """Let each member push once, and what is due arrive with all answers to it."""
        for name, member in self.members.items():
            pushed = member.tick(self.rng)
            if pushed is not None:
                self.post(name, *pushed)
        arrived = self._due.pop(self.now, [])
        for sender, to, message in arrived:
            self._deliver(sender, to, message)
        while self._due.get(self.now):
            for sender, to, message in self._due.pop(self.now):
                self._deliver(sender, to, message)
        self.now += 1

    def _deliver(self, sender: str, to: str, message: PushSumMessage) -> None:
        member = self.members.get(to)
        if member is None:
            return
        answer = member.receive(sender, message)
        if answer is not None:
            self.post(to, *answer)
        if self.watched:
            self.check(sender, to)

    def check(self, sender: str, to: str) -> None:
        """Assert the ledger identity, and that all that was taken was once given in this pair."""
        member = self.members[to]
        assert member.imbalance == 0
        link = member._links[sender]
        if link.heard:
            given = member._packing.pack(*map(_wrapped, link.taken))
            assert (sender, to, link.theirs, link.own, given) in self._stated

    @property
    def mass_error(self) -> int:
        """By how many integer units the masses of all differ from the inputs of all."""
        members = list(self.members.values())
        inputs: list[int] = [sum(each) for each in zip(*(m._input for m in members), strict=True)]
        pairs = zip(mass_of(members), inputs, strict=True)
        return max((abs(mass - given) for mass, given in pairs), default=0)

    @property
    def ratio_error(self) -> float:
        """Largest difference of an estimate from the true mean, by the largest of an input."""
        inputs = np.array([self.inputs[name] for name in self.members])
        mean = inputs.mean(axis=0)
        spread = float(np.abs(inputs - mean).max()) or 1.0
        found = np.array(
            [member.estimate() or (np.inf,) * len(mean) for member in self.members.values()]
        )
        return float(np.abs(found - mean).max()) / spread


def started(
    links: dict[str, tuple[str, ...]],
    rng: np.random.Generator,
    fate: Fate = at_once,
    mask: float = 0.0,
) -> Network:
    """Return members on given links, each with one number between 0.9 and 1.1."""
    network = Network(rng, fate, mask=mask)
    for name in links:
        network.start(name, (float(rng.uniform(0.9, 1.1)),))
    for name, near in links.items():
        for peer in near:
            network.open(name, peer)
    return network


def pair(*inputs: float) -> tuple[PushSum, PushSum]:
    """Return two members that have just met."""
    one, other = (PushSum((number,), 1000) for number in inputs)
    greeting = one.open_link("b")
    assert greeting is not None
    answer = other.receive("a", greeting[1])
    assert answer is not None
    assert one.receive("b", answer[1]) is None
    return one, other


def pushed(member: PushSum) -> PushSumMessage:
    """Return what a member with one neighbour says next."""
    said = member.tick(np.random.default_rng(0))
    assert said is not None
    return said[1]


def talk(one: PushSum, other: PushSum) -> None:
    """Let two members give to each other, and acknowledge it."""
    for giver, name, taker, peer in ((one, "a", other, "b"), (other, "b", one, "a")):
        answer = taker.receive(name, pushed(giver))
        assert answer is not None
        giver.receive(peer, answer[1])
