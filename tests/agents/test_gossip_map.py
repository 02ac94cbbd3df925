"""The versioned map: the newest value reaches everyone, whatever the links do to it."""

from math import ceil, log2
from statistics import median

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.map_crowd import Crowd, Path, Reading, Value

from peercell.agents.gossip_map import GossipMap
from peercell.agents.overlay import overlay

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
    ("size", "loss", "ticks_usual", "ticks_max"),
    [(13, 0.0, 5, 6), (13, 0.3, 8, 11), (39, 0.3, 11, 14), (118, 0.0, 9, 10), (118, 0.3, 13, 16)],
)
def test_all_know_all_in_the_logarithm_of_their_number(
    size: int, loss: float, ticks_usual: int, ticks_max: int
) -> None:
    """Every member states a new value at once, on links at six neighbours, fan-out 2."""
    links = overlay([f"m{k}" for k in range(size)], rings=3)
    taken = []
    for seed in range(3):
        crowd = Crowd(size, links, bytes_max=65_536)
        chance = np.random.default_rng(seed)
        for epoch in (1, 2, 3):
            for k, name in enumerate(crowd.names):
                crowd.maps[k].put(Reading(name, epoch, 1.0))
            ticks = 0
            while not crowd.know(epoch):
                crowd.tick(chance, loss)
                ticks += 1
            taken.append(ticks)
    assert median(taken) <= ticks_usual
    assert max(taken) <= ticks_max


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


def test_only_the_links_that_are_kept_are_told() -> None:
    own = GossipMap[Value](1)
    own.connect(["a", "b"])
    own.keep(["b", "c"])
    assert own.links == ("b", "c")
