"""Two roles of one's own, for the page own-agent.md: the first has a flaw, the second has none."""

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
INJECTION_KW = {"a": 3.0, "b": -5.0, "c": 11.0}


class Metered(Message, frozen=True):
    """What I feed in."""

    p_kw: Kilowatt


class Balance(Message, frozen=True):
    """Fact: what all feed in together, as far as I know."""

    p_kw: Kilowatt


class HastyMeter:
    """Says once what it feeds in, and adds up what it hears."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.total_kw = INJECTION_KW[name]

    def step(self, event: Event, now_s: float) -> list[Action]:
        """Return what the meter does about an event."""
        del now_s
        match event:
            case Started():
                others = [peer for peer in INJECTION_KW if peer != self.name]
                return [Send(peer, Metered(INJECTION_KW[self.name])) for peer in others]
            case Received(message=Metered(p_kw=p_kw)):
                self.total_kw += p_kw
                return [Record(Balance(self.total_kw))]
            case _:
                return []

    @classmethod
    def example(cls) -> dict[str, Role]:
        """Return three meters that know each other."""
        return {name: cls(name) for name in INJECTION_KW}


class Meter:
    """Says each second what it feeds in, and keeps the newest word of each peer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.others = tuple(peer for peer in INJECTION_KW if peer != name)
        self.known_kw = {name: INJECTION_KW[name]}

    def step(self, event: Event, now_s: float) -> list[Action]:
        """Return what the meter does about an event."""
        del now_s
        match event:
            case Started() | TimerFired(name="tell"):
                return [*self.tell(), SetTimer("tell", 1.0)]
            case Received(sender=sender, message=Metered(p_kw=p_kw)) if sender in self.others:
                before, self.known_kw[sender] = self.known_kw.get(sender), p_kw
                return [] if before == p_kw else [Record(Balance(sum(self.known_kw.values())))]
            case _:
                return []

    def tell(self) -> list[Action]:
        """Return what it says each second."""
        return [Send(peer, Metered(INJECTION_KW[self.name])) for peer in self.others]

    @classmethod
    def example(cls) -> dict[str, Role]:
        """Return three meters that know each other."""
        return {name: cls(name) for name in INJECTION_KW}
