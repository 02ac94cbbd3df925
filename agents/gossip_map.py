"""Does everyone know the newest value of everyone? A map that spreads over links that lose.

Each value has one owner, who alone states it, and an epoch: the newest epoch wins, so loss,
duplication, delay and order change nothing but the time. A link is told what changed, and again
what its other end has neither acknowledged nor said itself; when nothing changes, nothing is sent.

How a role uses it, its messages being its own (they carry a `Parcel` and a tuple of its entries):

    self._map = GossipMap[NodeEntry | DeviceEntry | PathEntry | PriceEntry](session)
    self._map.connect(overlay(members)[me])
    ...
    self._map.put(NodeEntry(me, epoch, voltage_pu))            # what one states oneself
    for peer in self._map.turn(fan_out=2):                     # each tick
        parcel, entries = self._map.parcel_for(peer)
        sends.append(Send(peer, VoltageGossip(parcel, entries, ...)))
    news = self._map.hear(sender, message.parcel, message.entries)

Entries are structs with `owner` and `epoch`; the type of an entry is its kind, so an owner has one
value of each kind. What is replicated rather than owned (the newest multipliers) is an entry under
one fixed owner: whoever computes epoch e states the same bits. An entry that seldom changes has as
epoch the session of its owner, or the version of the topology.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Generic, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from peercell.agents.units import Counter

# Parcels before the newest one whose fate an acknowledgement tells.
WINDOW = 32
# Parcels without an answer of which is remembered what was in them.
OPEN_PARCELS = 64

_encode = msgspec.msgpack.Encoder().encode


class Entry(Protocol):
    """What a map holds: a frozen struct with these two fields and whatever it states."""

    @property
    def owner(self) -> str:
        """Who states it."""
        ...

    @property
    def epoch(self) -> int:
        """When; the newest wins."""
        ...


E = TypeVar("E", bound=Entry)
K = TypeVar("K", bound=Entry)
Key = tuple[type, str]


class Parcel(Struct, frozen=True, array_like=True, gc=False):
    """What a message says about the link beside its entries.

    Parameters
    ----------
    session : of the sender; a higher one is a later life, which knows nothing of an earlier one
    seq : counts the parcels of this session from 1, those on other links as well
    heard_session : of the receiver, as far as the sender knows; 0 for unknown
    heard : newest parcel that the sender has from the receiver's session
    also_heard : bit k says that it has parcel `heard - 1 - k` as well
    """

    session: Counter
    seq: Counter
    heard_session: Counter
    heard: Counter
    also_heard: Annotated[int, Meta(ge=0, lt=2**WINDOW)]


class _Link:
    """What one end of a link knows of the other."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.session = 0
        self.heard = 0
        self.also_heard = 0
        # Never told since it changed; told but not acknowledged, the longest ago first.
        self.fresh: dict[Key, None] = dict.fromkeys(keys)
        self.unsure: dict[Key, None] = {}
        self.sent: dict[int, dict[Key, int]] = {}

    def change(self, key: Key) -> None:
        """Note that the other end lacks the newest value."""
        self.unsure.pop(key, None)
        self.fresh[key] = None

    def knows(self, key: Key) -> None:
        """Note that the other end has the newest value."""
        self.fresh.pop(key, None)
        self.unsure.pop(key, None)

    def receive(self, seq: int) -> None:
        """Note that a parcel has arrived."""
        if seq > self.heard:
            newer_by = min(seq - self.heard, WINDOW + 1)
            known = self.also_heard << 1 | 1 if self.heard else 0
            self.also_heard = known << (newer_by - 1) & (2**WINDOW - 1)
            self.heard = seq
        elif 0 < self.heard - seq <= WINDOW:
            self.also_heard |= 1 << (self.heard - seq - 1)

    def acknowledged(self, heard: int, also_heard: int) -> list[dict[Key, int]]:
        """Return what was in the parcels that the other end says to have."""
        ago = [seq for seq in self.sent if seq < heard and also_heard >> (heard - seq - 1) & 1]
        return [self.sent.pop(seq) for seq in (heard, *ago) if seq in self.sent]


class GossipMap(Generic[E]):
    """One member's copy of the map, and what its neighbours still lack of it.

    Parameters
    ----------
    session : > 0, higher in each life of the member, such as the time of its start
    bytes_max : most that the entries of one parcel take on the wire; a larger one goes alone
    """

    def __init__(self, session: int, bytes_max: int = 2048) -> None:
        self._session = session
        self._bytes_max = bytes_max
        self._entries: dict[Key, E] = {}
        self._bytes: dict[Key, int] = {}
        self._links: dict[str, _Link] = {}
        self._seq = 0
        self._turn = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def links(self) -> tuple[str, ...]:
        """The neighbours."""
        return tuple(self._links)

    def connect(self, peers: Iterable[str]) -> None:
        """Gossip with these from now on as well; those that one hears are added by themselves."""
        for peer in peers:
            if peer not in self._links:
                self._links[peer] = _Link(self._entries)

    def disconnect(self, peer: str) -> None:
        """Gossip no more with a neighbour that is down or gone; its values stay."""
        self._links.pop(peer, None)

    def keep(self, peers: Sequence[str]) -> None:
        """Gossip with these alone, beside those that one hears from now on."""
        for peer in set(self._links) - set(peers):
            self.disconnect(peer)
        self.connect(peers)

    def put(self, entry: E) -> bool:
        """State a value; return False, changing nothing, unless its epoch is newer than known.

        A member that comes back may be refused what an earlier life has said in a later epoch.
        """
        return self._merge(entry, None)

    def get(self, kind: type[K], owner: str) -> K | None:
        """Return the newest value of a kind that an owner has stated, or None."""
        found = self._entries.get((kind, owner))
        return found if isinstance(found, kind) else None

    def of(self, kind: type[K]) -> list[K]:
        """Return the newest values of a kind, in the order of their owners."""
        found = [entry for entry in self._entries.values() if isinstance(entry, kind)]
        return sorted(found, key=lambda entry: entry.owner)

    def forget(self, owner: str) -> None:
        """Drop all that an owner has stated, when it has left the cell for good."""
        for key in [key for key in self._entries if key[1] == owner]:
            del self._entries[key]
            del self._bytes[key]
            for link in self._links.values():
                link.knows(key)

    def turn(self, fan_out: int = 2) -> list[str]:
        """Return whom to tell in this tick: the next neighbours, one after the other."""
        peers = list(self._links)
        count = min(fan_out, len(peers))
        self._turn += count
        return [peers[(self._turn - k) % len(peers)] for k in range(count, 0, -1)]

    def parcel_for(self, peer: str) -> tuple[Parcel, tuple[E, ...]]:
        """Return what to tell a neighbour: first what it was never told, then what may be lost."""
        link = self._links[peer]
        chosen: dict[Key, int] = {}
        room = self._bytes_max
        for key in (*link.fresh, *link.unsure):
            room -= self._bytes[key]
            if room < 0 and chosen:
                break
            chosen[key] = self._entries[key].epoch
        # One count for all links, so that a link that is made anew repeats no number.
        self._seq += 1
        if chosen:
            link.sent[self._seq] = chosen
            if len(link.sent) > OPEN_PARCELS:
                del link.sent[next(iter(link.sent))]
        for key in chosen:
            link.knows(key)
            link.unsure[key] = None
        parcel = Parcel(self._session, self._seq, link.session, link.heard, link.also_heard)
        return parcel, tuple(self._entries[key] for key in chosen)

    def hear(self, peer: str, parcel: Parcel, entries: Sequence[E]) -> list[E]:
        """Take in what a neighbour tells; return what is news."""
        self.connect((peer,))
        link = self._links[peer]
        if parcel.session < link.session:
            return []
        if parcel.session > link.session:
            if link.session:
                link = self._links[peer] = _Link(self._entries)
            link.session = parcel.session
        link.receive(parcel.seq)
        if parcel.heard_session == self._session:
            for arrived in link.acknowledged(parcel.heard, parcel.also_heard):
                for key, epoch in arrived.items():
                    if key in self._entries and self._entries[key].epoch == epoch:
                        link.knows(key)
        return [entry for entry in entries if self._merge(entry, link)]

    def _merge(self, entry: E, teller: _Link | None) -> bool:
        """Keep an entry if it is the newest; return whether it is news."""
        key = (type(entry), entry.owner)
        known = self._entries.get(key)
        if known is not None and entry.epoch <= known.epoch:
            if teller is not None and entry.epoch == known.epoch:
                teller.knows(key)
            return False
        self._entries[key] = entry
        self._bytes[key] = len(_encode(entry))
        for link in self._links.values():
            if link is teller:
                link.knows(key)
            else:
                link.change(key)
        return True
