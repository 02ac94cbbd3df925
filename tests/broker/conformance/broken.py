"""Roles with one flaw each, that the conformance kit must find."""

from typing import Annotated

import numpy as np
from docs.howto.my_agents import INJECTION_KW, Balance, Meter, Metered
from msgspec import Meta

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Event,
    PeerDown,
    Received,
    Record,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)

Count = Annotated[int, Meta(ge=0, le=2**53)]


class Loose(Message, frozen=True):
    """A message whose number has no bounds."""

    p_kw: float


class Got(Message, frozen=True):
    """I have what you said."""


class Counted(Message, frozen=True):
    """Fact: how many ticks there were."""

    ticks: Count


class Dicey(Meter):
    """Asks global chance."""

    def tell(self) -> list[Action]:
        """Tell one of the others, whom chance says."""
        return [Send(self.others[int(np.random.random() * 2)], Metered(INJECTION_KW[self.name]))]


class Unordered(Meter):
    """Keeps its partners in a set, whose order depends on the hash seed."""

    def tell(self) -> list[Action]:
        """Tell the others in the order of a set."""
        return [Send(peer, Metered(INJECTION_KW[self.name])) for peer in set(self.others)]


class Adder(Meter):
    """Adds up what it hears: a message that comes twice counts twice."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.total_kw = INJECTION_KW[name]

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        del now_s
        match event:
            case Started():
                return self.tell()
            case Received(message=Metered(p_kw=p_kw)):
                self.total_kw += p_kw
                return [Record(Balance(self.total_kw))]
            case _:
                return []


class NotANumber(Meter):
    """Says NaN."""

    def tell(self) -> list[Action]:
        """Tell what is no number."""
        return [Send(peer, Metered(float("nan"))) for peer in self.others]


class Unbounded(Meter):
    """Says what may be infinite."""

    def tell(self) -> list[Action]:
        """Tell a number without bounds beside the right one."""
        return [*super().tell(), *(Send(peer, Loose(1.0)) for peer in self.others)]


class Hoarder(Meter):
    """Keeps every event."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.events: list[tuple[float, Event]] = []

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        self.events.append((now_s, event))
        return super().step(event, now_s)


class Spinner(Meter):
    """Sets a timer to no time at all whenever it has run out."""

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        spins = isinstance(event, Started | TimerFired)
        return [*super().step(event, now_s), *([SetTimer("spin", 0.0)] if spins else [])]


class Clockmaker(Meter):
    """Sets another timer at each event."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.count = 0

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        self.count += 1
        return [*super().step(event, now_s), SetTimer(f"timer {self.count}", 1e4)]


class Fragile(Meter):
    """Fails when somebody goes down whom it does not know."""

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        if isinstance(event, PeerDown):
            del self.known_kw[event.peer]
        return super().step(event, now_s)


class Mute(Meter):
    """Says what it has to say once."""

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return [] if isinstance(event, TimerFired) else super().step(event, now_s)


class Impatient(Meter):
    """Repeats itself until it has an answer, but twice only, and to one life of a peer."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.unheard = dict.fromkeys(self.others, 2)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        actions = super().step(event, now_s)
        match event:
            case Received(sender=sender, message=Got()):
                self.unheard.pop(sender, None)
            case Received(sender=sender):
                actions.append(Send(sender, Got()))
            case _:
                pass
        return actions

    def tell(self) -> list[Action]:
        """Tell those who have not answered."""
        self.unheard = {peer: left - 1 for peer, left in self.unheard.items() if left}
        return [Send(peer, Metered(INJECTION_KW[self.name])) for peer in self.unheard]


class Gullible(Meter):
    """Changes its mind once, and believes what came last rather than what was said last."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.said = 0

    def tell(self) -> list[Action]:
        """Tell a first guess, and from then on twice the truth."""
        self.said += 1
        p_kw = 0.0 if self.said == 1 else INJECTION_KW[self.name]
        return [Send(peer, Metered(p_kw)) for peer in self.others if self.said < 3]


class Restless(Meter):
    """Records something else each second."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.count = 0

    def tell(self) -> list[Action]:
        """Tell the others, and count it."""
        self.count += 1
        return [*super().tell(), Record(Counted(self.count))]


class Wordy(Meter):
    """Sends what is no message."""

    def tell(self) -> list[Action]:
        """Tell the others, and nobody."""
        return [*super().tell(), SetTimer("late", float("inf"))]


class Endless(Meter):
    """Does not return when it hears something."""

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        while isinstance(event, Received):
            now_s += 1.0
        return super().step(event, now_s)


class Silent(Meter):
    """Records nothing."""

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return [each for each in super().step(event, now_s) if not isinstance(each, Record)]


def lost_example() -> dict[str, Role]:
    """Fail."""
    return {"a": Meter("a"), "d": Meter("d")}


def no_example() -> dict[str, Role]:
    """Return nobody."""
    return {}


def no_role() -> dict[str, object]:
    """Return what has no step."""
    return {"a": 1}
