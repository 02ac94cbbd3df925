"""Roles for real processes: they send, count, fail and hang as their settings say."""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Record,
    Remember,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
)

Number = Annotated[int, Meta(ge=0, le=2**53)]


class Beat(Message, frozen=True):
    """One of many."""

    number: Number


class CountsQuery(Message, frozen=True):
    """A request: whom have you heard how often."""


class Counts(Message, frozen=True):
    """How many beats came from whom, and which peers are up."""

    heard: Annotated[dict[str, Number], Meta(max_length=256)]
    up: Annotated[dict[str, Number], Meta(max_length=256)]


class Break(Message, frozen=True):
    """A request: fail."""


BeatMessage = Beat | CountsQuery | Counts | Break


class BeatSettings(Struct, frozen=True):
    """To whom to send a beat, and how often."""

    partners: tuple[str, ...] = ()
    every_s: float = 0.05
    fails_on_start: bool = False


class Heart:
    """Sends a numbered beat to each partner every so often and counts what it hears.

    It never uses a number again, also after it was killed.
    """

    def __init__(self, settings: BeatSettings, generator: np.random.Generator) -> None:
        self.settings = settings
        self.generator = generator
        self.number = 0
        self.heard: dict[str, int] = {}
        self.up: dict[str, int] = {}

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started() if self.settings.fails_on_start:
                raise RuntimeError("this peer is broken")
            case Started(memory=memory):
                self.number = int(memory.get("number", b"0"))
                return self._beat()
            case TimerFired():
                return self._beat()
            case Received(sender=sender):
                self.heard[sender] = self.heard.get(sender, 0) + 1
            case PeerUp(peer=peer, incarnation=incarnation):
                self.up[peer] = incarnation
            case PeerDown(peer=peer):
                self.up.pop(peer, None)
            case Commanded(request=Break()):
                raise RuntimeError(f"told to break at {now_s:.0f}")
            case Commanded(request_id=request_id):
                # A copy: what actions hold must not change once they are handed over.
                return [Reply(request_id, Counts(dict(self.heard), dict(self.up)))]
        return []

    def _beat(self) -> list[Action]:
        self.number += 1
        beat = Beat(self.number)
        wait_s = self.settings.every_s * float(self.generator.uniform(0.9, 1.1))
        actions: list[Action] = [Send(partner, beat) for partner in self.settings.partners]
        actions.insert(0, Remember("number", str(self.number).encode()))
        actions.append(SetTimer("beat", wait_s))
        return [*actions, Record(beat)] if self.number % 10 == 0 else actions


def heart(peer: str, settings: bytes, generator: np.random.Generator) -> Heart:
    """Return a heart; the factory that plans name."""
    return Heart(msgspec.json.decode(settings, type=BeatSettings), generator)
