"""Our own roles as the conformance kit sees them."""

from typing import Annotated

import numpy as np
from msgspec import Meta
from msgspec.structs import replace
from tests.agents.network_for_tests import identity
from tests.plays.averaging import Averager
from tests.plays.controlling import Controlling
from tests.plays.membership import Word
from tests.plays.trading import Trading

from peercell.agents.control.voltage_messages import VoltageControlled
from peercell.agents.example import Example
from peercell.agents.membership import Member, MembershipSettings
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Event,
    PeerDown,
    PeerUp,
    Record,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.links import Link
from peercell.agents.trading.messages import TraderSettled
from peercell.agents.trading.trader import MicrogridTrader
from peercell.agents.units import PeerName
from peercell.grid.control_device import DeviceEntry

RING = ("a", "b", "c")


def push_sum() -> dict[str, Role]:
    """Return three members that find the mean of 2, 4 and 9."""
    inputs = dict(zip(RING, (2.0, 4.0, 9.0), strict=True))
    return {
        name: Averager(own, tuple(peer for peer in RING if peer != name))
        for name, own in inputs.items()
    }


def traders() -> Example:
    """Return three traders in a ring; what counts is what they settle."""
    market = Trading()
    costs = {"a": (4.0, 10.0, 2.0), "b": (6.0, 30.0, 3.0), "c": (3.0, 20.0, 4.0)}
    for name, (load, price, slope) in costs.items():
        market.offers[name] = Offer(load, (Block(price, slope),))
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        pair = (Link(one, other, 1.0, 0.5), Link(other, one, 1.0, 0.5))
        market.links[f"{one}|{other}"] = pair
    told = {name: replace(market.settings(name), tolerance=1e-10) for name in RING}
    return Example({name: MicrogridTrader(each) for name, each in told.items()}, _settled)


def _settled(fact: Message) -> object:
    if not isinstance(fact, TraderSettled):
        return None
    return fact.price_eur_per_kwh, fact.generation_kwh, fact.cost_eur, fact.certified


class Present(Message, frozen=True):
    """Fact: who is up, in the eyes of a role."""

    peers: Annotated[tuple[PeerName, ...], Meta(max_length=10)]


class Witness:
    """Talks with its partners each second and records who of them is up."""

    def __init__(self, partners: tuple[str, ...]) -> None:
        self.partners = partners
        self.up: frozenset[str] = frozenset()

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        del now_s
        match event:
            case Started() | TimerFired():
                return [*(Send(peer, Word()) for peer in self.partners), SetTimer("talk", 1.0)]
            case PeerUp(peer=peer):
                self.up |= {peer}
            case PeerDown(peer=peer):
                self.up -= {peer}
            case _:
                return []
        return [Record(Present(tuple(sorted(self.up))))]


class Reborn:
    """A member whose incarnation is the time of its start, as its host would have it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.member: Role = self._member(0)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        if isinstance(event, Started):
            self.member = self._member(int(now_s * 1e3))
        return self.member.step(event, now_s)

    def _member(self, incarnation: int) -> Role:
        role = Witness(tuple(peer for peer in RING if peer != self.name))
        chance = np.random.default_rng([incarnation, *self.name.encode()])
        settings = MembershipSettings(seeds=("a",))
        return Member(role, identity(self.name, incarnation), (), chance, settings)


def members() -> Example:
    """Return three members that know one of them; what counts is who is up at last."""
    made = {name: Reborn(name) for name in RING}
    return Example(made, lambda fact: fact.peers if isinstance(fact, Present) else None)


def voltage() -> Example:
    """Return two voltage agents at a feeder; what counts is what they want of their inverters."""
    feeder = Controlling()
    feeder.roofs += [DeviceEntry(f"pv-{bus}", bus, planned_kw=17.0) for bus in ("1", "2")]
    return Example({name: feeder.role(name) for name in ("grid", "b.1", "b.2")}, _wanted)


def _wanted(fact: Message) -> object:
    if not isinstance(fact, VoltageControlled):
        return None
    return round(fact.p_kw, 1), round(fact.q_kvar, 1)
