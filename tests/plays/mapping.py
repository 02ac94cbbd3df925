"""The gossip map on the stage: each member states one voltage and tells one neighbour a second."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct
from tests.plays.stage import Stage, number

from peercell.agents.gossip_map import GossipMap, Parcel
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    Received,
    Record,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.units import Counter

Volts = Annotated[float, Meta(ge=0.0, le=1e6)]


class Voltage(Struct, frozen=True, array_like=True):
    """What its owner measured, and when."""

    owner: str
    epoch: Counter
    v: Volts


class Told(Message, frozen=True):
    """What a member tells a neighbour."""

    parcel: Parcel
    entries: Annotated[tuple[Voltage, ...], Meta(max_length=100)]


class Learnt(Message, frozen=True):
    """Fact: what was news."""

    owner: str
    epoch: Counter
    v: Volts


class Measured(Message, frozen=True):
    """Command: state this voltage."""

    epoch: Counter
    v: Volts


class Refused(Message, frozen=True):
    """Fact: what was measured is not newer than what is known."""

    epoch: Counter


class Teller:
    """A member that tells one neighbour in each second what that one may lack."""

    def __init__(self, name: str, partners: tuple[str, ...]) -> None:
        self.name = name
        self.partners = partners
        self.map = GossipMap[Voltage](1)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started():
                self.map = GossipMap[Voltage](int(now_s * 1e3))
                self.map.connect(self.partners)
                return [SetTimer("tick", 1.0)]
            case TimerFired(name="tick"):
                told = [(peer, self.map.parcel_for(peer)) for peer in self.map.turn(1)]
                sends = [Send(peer, Told(parcel, entries)) for peer, (parcel, entries) in told]
                return [*sends, SetTimer("tick", 1.0)]
            case Received(sender=sender, message=Told() as told):
                news = self.map.hear(sender, told.parcel, told.entries)
                return [Record(Learnt(each.owner, each.epoch, each.v)) for each in news]
            case Commanded(request=Measured(epoch=epoch, v=v)):
                done = self.map.put(Voltage(self.name, epoch, v))
                return [] if done else [Record(Refused(epoch))]
            case _:
                return []


class Mapping:
    """Members who know each other and state a voltage each."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()

    def role(self, name: str) -> Role:
        """See Cast.role."""
        return Teller(name, tuple(peer for peer in self.names if peer != name))

    def text(self, thing: Message) -> str:
        """See Cast.text."""
        match thing:
            case Told(parcel=parcel, entries=entries):
                values = [f"{each.owner}={number(each.v)}@{each.epoch}" for each in entries]
                heard = f"have your #{parcel.heard}" if parcel.heard else ""
                return " ".join(filter(None, [f"#{parcel.seq}", *values, heard]))
            case Learnt(owner=owner, epoch=epoch, v=v):
                return f"learns {owner}={number(v)}@{epoch}"
            case Refused(epoch=epoch):
                return f"keeps what it has: {epoch} is not newer"
            case _:
                return ""

    def do(self, stage: Stage, verb: str, words: Sequence[str]) -> list[str]:
        """See Cast.do: `members a b c`, `measure a 231 @1`, `show`."""
        match verb, words:
            case "members", names:
                self.names = tuple(names)
            case "measure", [name, v, epoch]:
                measured = Measured(int(epoch.removeprefix("@")), float(v))
                return stage.give(name, Commanded(1, measured))
            case "show", []:
                return [self._shown(name, role) for name, role in stage.world.roles.items()]
            case _:
                raise KeyError(verb)
        return []

    def _shown(self, name: str, role: Role) -> str:
        assert isinstance(role, Teller)
        known = [f"{each.owner}={number(each.v)}@{each.epoch}" for each in role.map.of(Voltage)]
        return f"{name} knows {' '.join(known) or 'nothing'}"
