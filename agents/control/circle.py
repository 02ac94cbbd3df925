"""What every voltage agent does whatever its algorithm: meet, measure, tell, hear, close gaps.

A new algorithm is a `Law`; it holds a `Circle`, and leaves all events to it:

    class VoltageLaw:
        def __init__(self, settings: VoltageSettings) -> None:
            self.circle = Circle(settings)

        def step(self, event: Event, now_s: float) -> list[Action]:
            return self.circle.step(event, now_s, self)
"""

from typing import Protocol, assert_never, cast, get_args

from peercell.agents.control.paths import Track
from peercell.agents.control.places import Places
from peercell.agents.control.station import Station
from peercell.agents.control.voltage_messages import PathEntry, VoltageFact, VoltageGossip
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.gossip_map import GossipMap
from peercell.agents.grid_messages import GridReply
from peercell.agents.messages import Message
from peercell.agents.overlay import Neighbourhood
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Send,
    SetTimer,
    Started,
    TimerFired,
)

TICK = "tick"
_GRID_REPLIES: frozenset[type] = frozenset(get_args(GridReply))


class Law(Protocol):
    """One algorithm: what an agent says of itself, and what its devices do about what it hears."""

    def begin(self, now_s: float) -> None:
        """Begin a life, after the circle has."""
        ...

    def turn(self, ended: int, now_s: float) -> list[Action]:
        """Begin the epoch of the circle, when that of this number has ended."""
        ...

    def speak(self) -> bool:
        """State what is seen, once an epoch after its guard; False if that is not yet possible."""
        ...

    def tick(self, now_s: float) -> list[Action]:
        """Do what is to be done each tick, before it is told on what is new."""
        ...

    def hear(
        self, sender: str, message: Message, news: list[VoltageFact], now_s: float
    ) -> list[Action]:
        """Take in what a member says, and what of its gossip is news."""
        ...

    def look(self, now_s: float) -> list[Action]:
        """Take in that the grid, or the plan of a device, is not what it was."""
        ...

    @property
    def quiet(self) -> bytes:
        """A bit for each member that is known to have nothing to say in this epoch."""
        ...


class Circle:
    """One agent among the others: its place, its neighbours, and what all have stated.

    Attributes
    ----------
    number : of each member in the roster, by name
    me : the own number
    station : the own meter and devices
    track : the own way to the grid above
    places : where all members are, as far as they are known
    map : what all have stated
    epoch : the present one, < 0 before the first tick
    stamped : the newest epoch in which it has spoken
    """

    def __init__(self, settings: VoltageSettings) -> None:
        self.settings = settings
        members = sorted(settings.members)
        self.number = {name: number for number, name in enumerate(members)}
        self.me = self.number[settings.name]
        self.station = Station(settings.grid, settings.place, settings.renew_s)
        self.track = Track(settings.path)
        self.places = Places()
        self.map = GossipMap[VoltageFact](0)
        self.epoch = self.stamped = -1
        self._neighbourhood = Neighbourhood(settings.name, members)

    @property
    def links(self) -> tuple[str, ...]:
        """With whom it gossips now."""
        return self.map.links

    @property
    def knows_all(self) -> bool:
        """True when the places of all members are known."""
        return len(self.places.tracks) == len(self.number)

    def step(self, event: Event, now_s: float, law: Law) -> list[Action]:
        """Return what an agent of a law does about an event; see `Role.step`."""
        match event:
            case Started():
                return self._start(now_s, law)
            case TimerFired():
                return self._tick(now_s, law)
            case Received(sender=sender, message=message):
                return self._receive(sender, message, now_s, law)
            case PeerUp(peer=peer):
                return self._meet(peer)
            case PeerDown(peer=peer):
                self._neighbourhood.lose(peer)
                self.map.keep(self._neighbourhood.links)
            case Commanded():
                pass
            case _:
                assert_never(event)
        return []

    def _start(self, now_s: float, law: Law) -> list[Action]:
        """Begin a life; its session is the host's time, so it comes after all earlier ones."""
        session = session_at(now_s)
        self.map = GossipMap[VoltageFact](session)
        self.map.connect(self._neighbourhood.links)
        own = self.settings.announcement(session)
        self.map.put(own)
        self.places.take(self.me, own)
        law.begin(now_s)
        return [*self.station.start(), self._next_tick()]

    def _meet(self, peer: str) -> list[Action]:
        if peer == self.settings.grid:
            return self.station.start()
        self._neighbourhood.regain(peer)
        self.map.keep(self._neighbourhood.links)
        return []

    def _receive(self, sender: str, message: Message, now_s: float, law: Law) -> list[Action]:
        if sender == self.settings.grid and type(message) in _GRID_REPLIES:
            told = self.station.hear(cast("GridReply", message))
            return told + law.look(now_s)
        if sender not in self.number:
            return []
        news: list[VoltageFact] = []
        if isinstance(message, VoltageGossip):
            news = self.map.hear(sender, message.parcel, message.entries)
            for entry in news:
                if isinstance(entry, PathEntry) and entry.owner in self.number:
                    self.places.take(self.number[entry.owner], entry)
        return law.hear(sender, message, news, now_s)

    def _tick(self, now_s: float, law: Law) -> list[Action]:
        rhythm = self.settings.rhythm
        actions = self.station.repeat()
        ended, self.epoch = self.epoch, rhythm.epoch(now_s)
        if ended != self.epoch:
            actions += law.turn(ended, now_s)
        may_speak = self.stamped < self.epoch and not rhythm.is_guarded(now_s)
        if may_speak and self.station.sees and law.speak():
            self.stamped = self.epoch
        actions += law.tick(now_s)
        quiet = law.quiet
        for peer in self.map.turn(self.settings.fan_out):
            parcel, entries = self.map.parcel_for(peer)
            actions.append(Send(peer, VoltageGossip(parcel, entries, self.epoch, quiet)))
        return [*actions, self._next_tick()]

    def _next_tick(self) -> SetTimer:
        return SetTimer(TICK, self.settings.rhythm.tick_s)


def session_at(now_s: float) -> int:
    """Return the number of a life that begins at a host time."""
    return int(now_s * 1e3) + 1
