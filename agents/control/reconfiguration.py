"""Which sections should be open so that a radial network loses least? Asked by its open points.

An agent sits at each open point. It asks the grid service what the losses would be if its point
were closed and another section of the loop opened instead, and tells the others the best of it. Of
all these exchanges the one that saves most is made, on paper, and gives the next version; when
none saves anything the switches are set, all in one order. So the network is radial and connected
in every version, nothing is switched to and fro, and no more than losses has to be known.

Nobody decides for others: whoever has the proposals of all for a version finds the same next one,
and a newer version is adopted from whoever tells of it. Who is silent only delays.
"""

from collections.abc import Sequence
from typing import Annotated, assert_never, cast, get_args

from msgspec import Meta, Struct

from peercell.agents.control.open_points import Section, SectionNames, loop, positions
from peercell.agents.control.reconfiguration_messages import (
    Configuration,
    OpenPointsMoved,
    OpenPointsRefused,
    OpenPointsSettled,
    Proposal,
    ReconfigurationEntry,
    ReconfigurationGossip,
)
from peercell.agents.gossip_map import GossipMap
from peercell.agents.grid_access import GridAccess
from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    GridReply,
    StateReport,
    SwitchingOrder,
    WhatIfQuery,
    WhatIfReport,
)
from peercell.agents.grid_parts import (
    CHANGES_MAX,
    ELEMENTS_MAX,
    Case,
    Outcome,
    Reading,
    Switching,
    View,
)
from peercell.agents.messages import Message
from peercell.agents.overlay import overlay
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.units import PeerName, PositiveDurationS

TICK = "tick"
# The grid service builds a network for each case; the first of a query is the present version.
_CASES = 32
_GRID_REPLIES: frozenset[type] = frozenset(get_args(GridReply))
_BROKEN = View(violations=True)


class OpenPointSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent of one open point.

    Parameters
    ----------
    grid : peer that is the grid service
    members : all agents of open points, this one as well
    sections : of the network; all that can be closed is radial and connected without `opened`
    opened : the open point of each member, in the order of the members
    gain_kw_min : losses that an exchange must save; larger ends earlier
    tick_s : time between two rounds of gossip; larger is slower and costs less
    fan_out : neighbours told in a tick; more is faster and costs messages
    """

    name: PeerName
    grid: PeerName
    members: Annotated[tuple[PeerName, ...], Meta(min_length=1, max_length=CHANGES_MAX)]
    sections: Annotated[tuple[Section, ...], Meta(max_length=ELEMENTS_MAX)]
    opened: SectionNames
    gain_kw_min: Annotated[float, Meta(ge=1e-9, le=1e6)] = 1e-3
    tick_s: PositiveDurationS = 1.0
    fan_out: Annotated[int, Meta(ge=1, le=16)] = 2


class OpenPoint:
    """The agent of one open point, which moves with it.

    Attributes
    ----------
    version : how many exchanges there have been
    opened : the open point of each member after them
    settled : nobody gains by another exchange, as far as this member knows
    switched : and the switches stand accordingly
    compared : power flows that it has had solved
    """

    def __init__(self, settings: OpenPointSettings) -> None:
        self.settings = settings
        self.version = 0
        self.opened = settings.opened
        self.settled = self.switched = False
        self.compared = 0
        self._me = settings.members.index(settings.name)
        self._map = GossipMap[ReconfigurationEntry](0)
        self._access = GridAccess(settings.grid)
        self._unasked: tuple[str, ...] = ()
        self._asked: tuple[str, ...] = ()
        self._best = Proposal("", 0)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started():
                return self._start(now_s)
            case TimerFired():
                return self._tick()
            case Received(sender=sender, message=message):
                return self._receive(sender, message)
            case PeerUp() | PeerDown() | Commanded():
                return []
            case _:
                assert_never(event)

    def _start(self, now_s: float) -> list[Action]:
        settings = self.settings
        self._map = GossipMap[ReconfigurationEntry](int(now_s * 1e3) + 1)
        self._map.connect(overlay(settings.members)[settings.name])
        begin: list[Action] = list(self._access.ask(GridHello(0)))
        return [*begin, *self._consider(), SetTimer(TICK, settings.tick_s)]

    def _tick(self) -> list[Action]:
        told = (
            Send(peer, ReconfigurationGossip(*self._map.parcel_for(peer)))
            for peer in self._map.turn(self.settings.fan_out)
        )
        return [*self._access.repeat(), *told, SetTimer(TICK, self.settings.tick_s)]

    def _receive(self, sender: str, message: Message) -> list[Action]:
        if sender == self.settings.grid and type(message) in _GRID_REPLIES:
            return self._hear_grid(cast("GridReply", message))
        if sender not in self.settings.members or not isinstance(message, ReconfigurationGossip):
            return []
        self._map.hear(sender, message.parcel, message.entries)
        newest = self._map.get(Configuration, "")
        if newest is not None and newest.epoch > self.version:
            return self._adopt(newest)
        return self._decide()

    def _consider(self) -> list[Action]:
        """Begin to ask what each exchange of the own open point would come to."""
        mine = self.opened[self._me]
        self._best = Proposal(self.settings.name, self.version)
        others = loop(self.settings.sections, self.opened, mine)
        self._unasked = tuple(section.name for section in others if section.switches)
        return self._ask()

    def _ask(self) -> list[Action]:
        """Ask for the next losses; state the best exchange when all are known."""
        if not self._unasked:
            self._map.put(self._best)
            return self._decide()
        self._asked, self._unasked = self._unasked[: _CASES - 1], self._unasked[_CASES - 1 :]
        exchanged = (self._with_open(name) for name in self._asked)
        cases = (self._case(self.opened), *map(self._case, exchanged))
        return list(self._access.ask(WhatIfQuery(0, cases, _BROKEN)))

    def _with_open(self, name: str) -> tuple[str, ...]:
        """Return where the network is open if this section is in place of the own open point."""
        return (*self.opened[: self._me], name, *self.opened[self._me + 1 :])

    def _case(self, opened: Sequence[str]) -> Case:
        """Return a configuration as the change from the one that the network began with."""
        moved = {*self.settings.opened, *opened}
        sections = [section for section in self.settings.sections if section.name in moved]
        return Case(switching=Switching(positions(sections, opened)))

    def _hear_grid(self, reply: GridReply) -> list[Action]:
        request = self._access.hear(reply)
        if request is not None and isinstance(reply, GridRefusal):
            return [Record(OpenPointsRefused(f"{reply.what}: {reply.why}"))]
        if isinstance(request, WhatIfQuery) and isinstance(reply, WhatIfReport):
            self.compared += len(reply.outcomes)
            self._weigh(reply.outcomes)
            return self._ask()
        if isinstance(request, SwitchingOrder) and isinstance(reply, StateReport):
            self.switched = True
            return [Record(OpenPointsSettled(self.version, self.opened))]
        return []

    def _weigh(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what exchanges would come to; none may cut off a bus or break a limit."""
        now = outcomes[0].reading
        if now is None:
            return
        for name, outcome in zip(self._asked, outcomes[1:], strict=True):
            then = outcome.reading
            if then is None or not _no_worse(then, now):
                continue
            gain_kw = now.losses_kw - then.losses_kw
            if gain_kw > self._best.gain_kw:
                self._best = Proposal(
                    self.settings.name, self.version, name, gain_kw, then.losses_kw
                )

    def _decide(self) -> list[Action]:
        """Go on to the next version, or settle, when all have proposed for this one."""
        said = [told for told in self._map.of(Proposal) if told.epoch == self.version]
        if self.settled or len(said) < len(self.settings.members):
            return []
        best = max(said, key=lambda told: told.gain_kw)
        if best.gain_kw < self.settings.gain_kw_min:
            self.settled = True
            order = Switching(positions(self.settings.sections, self.opened))
            return list(self._access.ask(SwitchingOrder(0, order)))
        members = self.settings.members
        opened = tuple(
            best.opens if member == best.owner else at
            for member, at in zip(members, self.opened, strict=True)
        )
        chosen = Configuration("", self.version + 1, opened, best.losses_kw)
        self._map.put(chosen)
        return self._adopt(chosen)

    def _adopt(self, newest: Configuration) -> list[Action]:
        self.version, self.opened = newest.epoch, newest.opened
        moved = Record(OpenPointsMoved(self.version, self.opened, newest.losses_kw))
        return [moved, *self._consider()]


def _no_worse(then: Reading, now: Reading) -> bool:
    """Return whether all buses keep their source, and no more limits are broken than now."""
    return len(then.dead) <= len(now.dead) and len(then.violations) <= len(now.violations)
