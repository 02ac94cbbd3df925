"""Push-sum on the stage: each member pushes once a second, and `show` tells what it believes."""

import struct
from collections.abc import Sequence

import numpy as np
from tests.plays.stage import Stage, number

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Record,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.push_sum import UNIT, PushSum
from peercell.agents.push_sum_messages import Heard, Sum
from peercell.agents.units import NetEnergyKwh


class Mean(Message, frozen=True):
    """Fact: what a member takes the mean for, to six digits."""

    mean: NetEnergyKwh


class Averager:
    """A member of push-sum that pushes every second."""

    def __init__(self, own: float, partners: tuple[str, ...]) -> None:
        self.own = own
        self.partners = partners
        self.sums = PushSum((own,), 1)
        self._told: float | None = None
        self._rng = np.random.default_rng(0)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        said: tuple[str, Message] | None = None
        match event:
            case Started():
                self.sums = PushSum((self.own,), int(now_s * 1e3))
                greetings = [self.sums.open_link(peer) for peer in self.partners]
                return [*(Send(*told) for told in greetings if told), SetTimer("tick", 1.0)]
            case TimerFired(name="tick"):
                said = self.sums.tick(self._rng)
            case Received(sender=sender, message=Sum() | Heard() as message):
                said = self.sums.receive(sender, message)
            case PeerUp(peer=peer) if peer in self.partners:
                said = self.sums.open_link(peer)
            case PeerDown(peer=peer):
                self.sums.close_link(peer)
            case _:
                pass
        again = [SetTimer("tick", 1.0)] if isinstance(event, TimerFired) else []
        return [*self._facts(), *([Send(*said)] if said else []), *again]

    def _facts(self) -> list[Action]:
        found = self.sums.estimate()
        mean = None if found is None else round(found[0], 6)
        if mean is None or mean == self._told:
            return []
        self._told = mean
        return [Record(Mean(mean))]


class Averaging:
    """Members that find the mean of their numbers, each of them linked with all others."""

    def __init__(self) -> None:
        self.inputs: dict[str, float] = {}

    def role(self, name: str) -> Role:
        """See Cast.role."""
        others = tuple(peer for peer in self.inputs if peer != name)
        return Averager(self.inputs[name], others)

    def text(self, thing: Message) -> str:
        """See Cast.text."""
        match thing:
            case Sum(seq=seq, given=given):
                total, weight = (
                    number(each * UNIT) for each in struct.unpack(f"<{len(given) // 8}q", given)
                )
                return f"#{seq} given so far: {total} with weight {weight}"
            case Heard(seq=0):
                return "hello"
            case Heard(seq=seq):
                return f"heard #{seq}"
            case _:
                return ""

    def do(self, stage: Stage, verb: str, words: Sequence[str]) -> list[str]:
        """See Cast.do: `member a 2`, `change a 5`, `show`."""
        match verb, words:
            case "member", [name, value]:
                self.inputs[name] = float(value)
            case "change", [name, value]:
                self.inputs[name] = float(value)
                self._member(stage, name).sums.set_input((float(value),))
            case "show", []:
                return [self._shown(stage, name) for name in stage.world.roles]
            case _:
                raise KeyError(verb)
        return []

    def _member(self, stage: Stage, name: str) -> Averager:
        role = stage.world.roles[name]
        assert isinstance(role, Averager)
        return role

    def _shown(self, stage: Stage, name: str) -> str:
        sums = self._member(stage, name).sums
        found = sums.estimate()
        mean = "unknown" if found is None else number(found[0])
        held, weight = (each * UNIT for each in sums._mass)
        return f"{name} mean {mean}, holds {number(held)} with weight {number(weight)}"
