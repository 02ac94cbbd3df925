"""A grid service without physics: it keeps rights, numbers and set-points; voltages are made up."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    GridReply,
    GridRequest,
    GridWelcome,
    SetPoints,
    StateQuery,
    StateReport,
    Subscription,
    TimeOrder,
)
from peercell.agents.grid_parts import (
    AssetFacts,
    BrokenLimit,
    BusFacts,
    LimitKind,
    Reading,
    RefusalCode,
    RefusalFacts,
    Stamp,
)
from peercell.agents.protocol import Action, Event, Received, Send

VOLTAGE_PU = 1.01


@dataclass
class FakeGrid:
    """Answers at once; `owners` gives each peer's assets, all at a bus of the peer's name.

    An overload is reported while more than `limit_kw` is fed in altogether.
    """

    owners: dict[str, tuple[str, ...]]
    operators: tuple[str, ...] = ()
    limit_kw: float = 1e9
    powers: dict[str, tuple[float, float]] = field(default_factory=dict)
    at: datetime | None = None
    rev: int = 0
    refusals: list[GridRefusal] = field(default_factory=list)
    writes: list[tuple[float, str, SetPoints]] = field(default_factory=list)
    orders: list[tuple[float, TimeOrder]] = field(default_factory=list)
    subscribers: dict[str, int] = field(default_factory=dict)
    newest: dict[tuple[str, str], int] = field(default_factory=dict)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        if not isinstance(event, Received):
            return []
        sender, request = event.sender, cast("GridRequest", event.message)
        before = self._reading()
        reply = self._reply(sender, request, now_s)
        if isinstance(reply, GridRefusal):
            self.refusals.append(reply)
        pushes = []
        if self._reading().violations != before.violations:
            pushes = [
                Send(peer, StateReport(seq, self._stamp(), self._reading()))
                for peer, seq in self.subscribers.items()
            ]
        return [Send(sender, reply), *pushes]

    def _stamp(self) -> Stamp:
        return Stamp(self.rev, 0, self.at)

    def _reading(self, buses: int = 0) -> Reading:
        fed_kw = sum(max(p_kw, 0.0) for p_kw, _ in self.powers.values())
        broken = (BrokenLimit(LimitKind.OVERLOAD, "line-1", fed_kw, self.limit_kw),)
        return Reading(
            0.0,
            -sum(p_kw for p_kw, _ in self.powers.values()),
            0.0,
            VOLTAGE_PU,
            VOLTAGE_PU,
            None,
            6,
            voltages_pu=(VOLTAGE_PU,) * buses,
            violations=broken if fed_kw > self.limit_kw else (),
        )

    def _reply(self, sender: str, request: GridRequest, now_s: float) -> GridReply:
        match request:
            case GridHello():
                return self._welcome(sender, request.seq)
            case SetPoints():
                return self._set(sender, request, now_s)
            case TimeOrder():
                return self._move(sender, request, now_s)
            case Subscription():
                self.subscribers[sender] = request.seq
                return StateReport(request.seq, self._stamp(), self._reading())
            case StateQuery(view=view):
                return StateReport(request.seq, self._stamp(), self._reading(len(view.buses)))
            case _:
                raise AssertionError(f"nobody in these tests sends {request}")

    def _set(self, sender: str, request: SetPoints, now_s: float) -> GridReply:
        points = request.set_points
        if not {point.asset for point in points} <= {*self.owners[sender]}:
            return GridRefusal(request.seq, self._stamp(), RefusalCode.NOT_OWNER, "not yours")
        known = max(self.newest.get((sender, point.asset), 0) for point in points)
        if request.seq < known:
            facts = RefusalFacts(seq_newest=known)
            return GridRefusal(
                request.seq, self._stamp(), RefusalCode.STALE_SEQ, "late", facts=facts
            )
        self.writes.append((now_s, sender, request))
        for point in points:
            self.newest[sender, point.asset] = request.seq
            self.powers[point.asset] = point.p_kw or 0.0, point.q_kvar or 0.0
        self.rev += 1
        return StateReport(request.seq, self._stamp())

    def _move(self, sender: str, request: TimeOrder, now_s: float) -> GridReply:
        if sender not in self.operators:
            return GridRefusal(request.seq, self._stamp(), RefusalCode.NOT_AUTHORISED, "no")
        if self.at is not None and request.at < self.at:
            return GridRefusal(request.seq, self._stamp(), RefusalCode.TIME_PAST, "past")
        self.orders.append((now_s, request))
        self.at = request.at
        self.rev += 1
        return StateReport(request.seq, self._stamp())

    def _welcome(self, sender: str, seq: int) -> GridWelcome:
        assets = tuple(
            AssetFacts(asset, sender, "load", *self.powers.get(asset, (0.0, 0.0)))
            for asset in self.owners.get(sender, ())
        )
        newest = max((n for (peer, _), n in self.newest.items() if peer == sender), default=0)
        return GridWelcome(
            seq,
            self._stamp(),
            "village",
            "0" * 64,
            newest,
            assets,
            (BusFacts(sender, 0.4, 0.9, 1.1),) if assets else (),
            (),
            sees_all=sender in self.operators,
            operates=sender in self.operators,
        )
