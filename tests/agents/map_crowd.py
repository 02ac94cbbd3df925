"""Members that share a map over links that lose, double and delay, in one thread."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import numpy as np
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
        self.links = self.links or overlay(f"m{k}" for k in range(self.size))
        self.names = list(self.links)
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
