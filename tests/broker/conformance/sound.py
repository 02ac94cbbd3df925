"""The smallest role that keeps to the contract, and the words in which it speaks."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Event,
    Received,
    Record,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)

Kilowatt = Annotated[float, Meta(ge=-1e6, le=1e6)]
OWN_KW: Mapping[str, float] = {"a": 3.0, "b": -5.0, "c": 11.0}


class Metered(Message, frozen=True):
    """What I feed in."""

    p_kw: Kilowatt


class Total(Message, frozen=True):
    """Fact: what all feed in that I know of."""

    p_kw: Kilowatt


class Meter:
    """Tells all others each second what it feeds in, and records what all feed in together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.others = tuple(peer for peer in OWN_KW if peer != name)
        self.known = {name: OWN_KW[name]}

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        del now_s
        match event:
            case Started() | TimerFired(name="tell"):
                return [*self.tell(), SetTimer("tell", 1.0)]
            case Received(sender=sender, message=Metered(p_kw=p_kw)) if sender in self.others:
                before, self.known[sender] = self.known.get(sender), p_kw
                return [] if before == p_kw else [Record(Total(sum(self.known.values())))]
            case _:
                return []

    def tell(self) -> list[Action]:
        """Return what it says each second."""
        return [Send(peer, Metered(OWN_KW[self.name])) for peer in self.others]

    @classmethod
    def example(cls) -> dict[str, Role]:
        """Return three meters that know each other."""
        return {name: cls(name) for name in OWN_KW}
