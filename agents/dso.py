"""What a DSO does: it moves the cell through time, and watches its limits.

When the delivery of an interval begins it orders the grid service to that time and renews its
subscription to broken limits, so that a service that was restarted tells it again. Near the end of
the interval it writes down how the cell stands.
"""

from typing import Annotated, assert_never, cast, get_args

from msgspec import Meta, Struct

from peercell.agents.dso_messages import CellObserved, DsoStatus, DsoStatusQuery, LimitsChanged
from peercell.agents.grid_access import GridAccess
from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    GridReply,
    GridWelcome,
    StateQuery,
    StateReport,
    Subscription,
    TimeOrder,
)
from peercell.agents.grid_parts import DeadBand, Name, View
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Record,
    Reply,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.trading.calendar import MarketCalendar, MarketPhase, Moment
from peercell.agents.units import PeerName, PositiveDurationS

CALENDAR, RETRY = "calendar", "retry"
_REPLIES: frozenset[type] = frozenset(get_args(GridReply))


class DsoSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One distribution system operator; the grid service must know it as an operator.

    Parameters
    ----------
    grid : peer that is the grid service
    calendar : of the market
    microgrids : of the cell, whose exchange is written down at the end of each interval
    retry_s : s after which an unanswered request is sent again; larger saves messages
    """

    name: PeerName
    grid: PeerName
    calendar: MarketCalendar
    microgrids: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()
    retry_s: PositiveDurationS = 1.0


class Dso:
    """Operates the network of one cell; see `Role`."""

    def __init__(self, settings: DsoSettings) -> None:
        self.settings = settings
        self._access = GridAccess(settings.grid)
        self._moment = Moment(MarketPhase.AHEAD, None, None)
        self._observed: int | None = None
        self._newest: StateReport | None = None
        self._broken: frozenset[tuple[str, str]] = frozenset()
        self._changes = 0
        self._refusals = 0
        self._retrying = False

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started():
                actions = [*self._access.ask(GridHello(0)), *self._advance(now_s)]
            case TimerFired(name=name):
                actions = [*self._repeat(name), *self._advance(now_s)]
            case Received(sender=sender, message=message):
                known = sender == self.settings.grid and type(message) in _REPLIES
                actions = self._hear(cast("GridReply", message)) if known else []
            case PeerUp(peer=peer):
                actions = self._order() if peer == self.settings.grid else []
            case PeerDown():
                actions = []
            case Commanded(request_id=number, request=request):
                known = isinstance(request, DsoStatusQuery)
                actions = [Reply(number, self._status())] if known else []
            case _:
                assert_never(event)
        return actions + self._retry()

    def _repeat(self, timer: str) -> list[Action]:
        if timer != RETRY:
            return []
        self._retrying = False
        return [*self._access.repeat()]

    def _retry(self) -> list[Action]:
        """Run the timer for repetitions while an answer is missing."""
        if self._retrying or not self._access.waits:
            return []
        self._retrying = True
        return [SetTimer(RETRY, self.settings.retry_s)]

    def _advance(self, now_s: float) -> list[Action]:
        """Do what the calendar asks for at this time, and has not been done."""
        calendar = self.settings.calendar
        before, self._moment = self._moment, calendar.moment(now_s)
        actions: list[Action] = []
        interval = self._moment.delivered
        if interval is not None:
            if interval != before.delivered:
                actions += self._order()
            if self._moment.phase is MarketPhase.CLOSED and interval != self._observed:
                self._observed = interval
                view = View(microgrids=self.settings.microgrids, violations=True)
                actions += self._access.ask(StateQuery(0, view))
        until_s = calendar.until_change_s(now_s)
        return actions if until_s is None else [*actions, SetTimer(CALENDAR, until_s)]

    def _order(self) -> list[Action]:
        """Move the cell to the interval that is delivered, and watch it."""
        interval = self._moment.delivered
        if interval is None:
            return []
        return [
            *self._access.ask(TimeOrder(0, self.settings.calendar.at(interval))),
            *self._access.ask(Subscription(0, View(violations=True), DeadBand())),
        ]

    def _hear(self, reply: GridReply) -> list[Action]:
        request = self._access.hear(reply)
        match reply:
            case GridWelcome():
                return [*self._access.repeat()]
            case GridRefusal():
                if request is None:
                    return []
                self._refusals += 1
                return [Record(reply)]
            case StateReport(reading=reading):
                if reading is None:
                    return []
                actions = self._see(reply)
                if isinstance(request, StateQuery) and self._observed is not None:
                    actions.append(Record(CellObserved(self._observed, reply.stamp, reading)))
                return actions
            case _:
                return []

    def _see(self, report: StateReport) -> list[Action]:
        """Take a report in, unless it is older than what is known, and say what has changed.

        Revisions start anew with the service; only the reply to a newer request may show that.
        """
        newest, reading = self._newest, report.reading
        if reading is None:
            return []
        if newest is not None and report.seq <= newest.seq and report.stamp.rev < newest.stamp.rev:
            return []
        self._newest = report
        broken = frozenset((each.kind.value, each.element) for each in reading.violations)
        if broken == self._broken:
            return []
        self._broken = broken
        self._changes += 1
        return [Record(LimitsChanged(report.stamp, reading.violations))]

    def _status(self) -> DsoStatus:
        delivered, newest = self._moment.delivered, self._newest
        return DsoStatus(
            interval=delivered,
            ordered=None if delivered is None else self.settings.calendar.at(delivered),
            stamp=None if newest is None else newest.stamp,
            reading=None if newest is None else newest.reading,
            changes=self._changes,
            refusals=self._refusals,
        )
