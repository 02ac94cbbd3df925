"""The versioned map: the newest value reaches everyone, whatever the links do to it."""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil, log2

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from peercell.agents.gossip_map import GossipMap, Parcel
from peercell.agents.overlay import overlay


class Reading(Struct, frozen=True, array_like=True, tag="N"):
    """A value of the one kind."""

    owner: str
    epoch: int
    voltage_pu: float


class Path(Struct, frozen=True, array_like=True, tag="P"):
    """A value of the other kind, of any length."""

    owner: str
    epoch: int
    branches: tuple[int, ...]


Value = Reading | Path
Sent = tuple[int, int, Parcel, tuple[Value, ...]]


@dataclass
class Crowd:
    """Members who tell each other things over links that lose, double and delay."""

    size: int
    links: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bytes_max: int = 2048
    maps: list[GossipMap[Value]] = field(init=False)
    wire: list[Sent] = field(default_factory=list)
    lives: Counter[int] = field(default_factory=Counter)
    bytes_sent: int = 0

    def __post_init__(self) -> None:
        self.names = [f"m{k}" for k in range(self.size)]
        self.links = self.links or overlay(self.names)
        self.maps = [self.born(k) for k in range(self.size)]

    def born(self, k: int) -> GossipMap[Value]:
        """Return the empty map of a member that starts."""
        self.lives[k] += 1
        made: GossipMap[Value] = GossipMap(self.lives[k], self.bytes_max)
        made.connect(self.links[self.names[k]])
        return made

    def tell(self, k: int, other: int) -> None:
        """Put what a member tells another on the wire."""
        self.maps[k].connect((self.names[other],))
        parcel, entries = self.maps[k].parcel_for(self.names[other])
        self.bytes_sent += len(msgspec.msgpack.encode((parcel, entries)))
        self.wire.append((k, other, parcel, entries))

    def arrive(self, index: int) -> list[Value]:
        """Deliver one of the messages on the wire, perhaps again; return the news in it."""
        k, other, parcel, entries = self.wire[index % len(self.wire)]
        return self.maps[other].hear(self.names[k], parcel, entries)

    def tick(self, chance: np.random.Generator, loss: float, fan_out: int = 2) -> None:
        """Let all members tell their next neighbours, and what is not lost arrive."""
        first = len(self.wire)
        for k in range(self.size):
            for peer in self.maps[k].turn(fan_out):
                self.tell(k, self.names.index(peer))
        arrived = range(first, len(self.wire))
        for index in arrived:
            if chance.random() >= loss:
                self.arrive(index)
        del self.wire[first:]

    def heal(self) -> None:
        """Let all talk with all for a while over links that lose nothing."""
        for name, known in zip(self.names, self.maps, strict=True):
            known.connect(set(self.names) - {name})
        for _ in range(60):
            self.tick(np.random.default_rng(0), 0.0)

    def know(self, epoch: int) -> bool:
        """Return whether everyone has every reading of an epoch."""
        return all(
            len(found := known.of(Reading)) == self.size and all(r.epoch == epoch for r in found)
            for known in self.maps
        )


steps = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 99), st.integers(0, 99)), max_size=120)


@given(st.integers(2, 4), steps)
def test_any_history_ends_in_the_newest_values(
    size: int, history: list[tuple[int, int, int]]
) -> None:
    """Values stated, told, lost, doubled and out of order, and members that lose their memory."""
    crowd = Crowd(size)
    stated: dict[str, Reading] = {}
    for epoch, (what, one, other) in enumerate(history):
        k = one % size
        match what:
            case 0:
                name = crowd.names[k]
                stated[name] = Reading(name, epoch, float(other))
                assert crowd.maps[k].put(stated[name])
            case 1:
                crowd.maps[k] = crowd.born(k)
                for entry in stated.values():
                    crowd.maps[k].put(entry)
            case 2:
                crowd.maps[k].disconnect(crowd.names[other % size])
            case 3 if k != other % size:
                crowd.tell(k, other % size)
            case _ if crowd.wire:
                crowd.arrive(other)
            case _:
                pass
    crowd.heal()
    for known in crowd.maps:
        assert {r.owner: r for r in known.of(Reading)} == stated
    assert all(not known.parcel_for(peer)[1] for known in crowd.maps for peer in known.links)


def test_the_newest_epoch_wins_and_an_equal_one_changes_nothing() -> None:
    known: GossipMap[Value] = GossipMap(1)
    assert known.put(Reading("a", 3, 1.0))
    assert not known.put(Reading("a", 3, 2.0))
    assert not known.put(Reading("a", 2, 3.0))
    assert known.get(Reading, "a") == Reading("a", 3, 1.0)
    assert known.get(Path, "a") is None
    assert known.put(Path("a", 1, (1, 2)))
    assert len(known) == 2
    known.forget("a")
    assert len(known) == 0


def test_what_is_acknowledged_is_told_no_more() -> None:
    crowd = Crowd(2)
    crowd.maps[0].put(Reading("m0", 1, 1.0))
    for index, expected in enumerate((1, 1)):
        crowd.tell(0, 1)
        assert len(crowd.wire[index][3]) == expected
    crowd.arrive(0)
    crowd.tell(1, 0)
    assert not crowd.wire[2][3], "who told it knows it"
    crowd.arrive(2)
    crowd.tell(0, 1)
    assert not crowd.wire[3][3]
    crowd.maps[0].put(Reading("m0", 2, 1.1))
    crowd.tell(0, 1)
    assert crowd.wire[4][3] == (Reading("m0", 2, 1.1),)


def test_an_acknowledgement_of_an_older_value_leaves_the_newer_one_to_be_told() -> None:
    crowd = Crowd(2)
    crowd.maps[0].put(Reading("m0", 1, 1.0))
    crowd.tell(0, 1)
    crowd.maps[0].put(Reading("m0", 2, 2.0))
    crowd.arrive(0)
    crowd.tell(1, 0)
    crowd.arrive(1)
    crowd.tell(0, 1)
    assert crowd.wire[2][3] == (Reading("m0", 2, 2.0),)


def test_who_comes_back_without_memory_is_told_everything() -> None:
    crowd = Crowd(3)
    chance = np.random.default_rng(1)
    for k, name in enumerate(crowd.names):
        crowd.maps[k].put(Reading(name, 1, 1.0))
        crowd.maps[k].put(Path(name, 1, tuple(range(k))))
    for _ in range(10):
        crowd.tick(chance, 0.0)
    crowd.maps[1] = crowd.born(1)
    for _ in range(10):
        crowd.tick(chance, 0.0)
    assert len(crowd.maps[1]) == 6


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_parcels_are_bounded_and_yet_everything_gets_through(lengths: list[int]) -> None:
    crowd = Crowd(2, bytes_max=100)
    for epoch, length in enumerate(lengths):
        crowd.maps[0].put(Path(f"p{epoch}", 1, tuple(range(length))))
    chance = np.random.default_rng(2)
    for _ in range(2 * len(lengths) + 2):
        first = len(crowd.wire)
        crowd.tell(0, 1)
        entries = crowd.wire[first][3]
        assert len(entries) <= 1 or sum(len(msgspec.msgpack.encode(e)) for e in entries) <= 100
        crowd.arrive(first)
        crowd.tell(1, 0)
        if chance.random() >= 0.3:
            crowd.arrive(-1)
    assert len(crowd.maps[1]) == len(lengths)


@pytest.mark.parametrize(
    ("size", "loss", "ticks_max"),
    [(13, 0.0, 5), (13, 0.3, 9), (39, 0.3, 11), (118, 0.0, 9), (118, 0.3, 13)],
)
def test_all_know_all_in_the_logarithm_of_their_number(
    size: int, loss: float, ticks_max: int
) -> None:
    """Every member states a new value at once, on links at six neighbours, fan-out 2."""
    names = [f"m{k}" for k in range(size)]
    for seed in range(3):
        crowd = Crowd(size, overlay(names, rings=3), bytes_max=65_536)
        chance = np.random.default_rng(seed)
        for epoch in (1, 2):
            for k, name in enumerate(crowd.names):
                crowd.maps[k].put(Reading(name, epoch, 1.0))
            ticks = 0
            while not crowd.know(epoch):
                crowd.tick(chance, loss)
                ticks += 1
            assert ticks <= ticks_max


def test_epochs_of_readings_cost_at_most_half_of_telling_all_of_them_each_tick() -> None:
    """118 members, 30 % loss, a new reading of each every 16 ticks."""
    size, ticks = 118, ceil(2 * log2(118)) + 2
    crowd = Crowd(size, bytes_max=65_536)
    chance = np.random.default_rng(3)
    for epoch in range(1, 4):
        for k, name in enumerate(crowd.names):
            crowd.maps[k].put(Reading(name, epoch, 1.0))
        for _ in range(ticks):
            crowd.tick(chance, 0.3)
        assert crowd.know(epoch)
    sent_bytes = crowd.bytes_sent / (3 * ticks * size * 2)
    all_bytes = size * len(msgspec.msgpack.encode(Reading("m100", 1, 1.0)))
    assert sent_bytes <= 0.5 * all_bytes


def test_an_acknowledgement_tells_the_newest_numbers_only() -> None:
    """What is further back than the window is told again; nothing is taken as heard that is not."""
    crowd = Crowd(2)
    for epoch in range(1, 101):
        crowd.maps[0].put(Reading("m0", epoch, 1.0))
        crowd.tell(0, 1)
    for index in (0, 99, 50, 98):
        crowd.arrive(index)
    parcel, _ = crowd.maps[1].parcel_for("m0")
    assert (parcel.heard, parcel.also_heard) == (100, 1)
