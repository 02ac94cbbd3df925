"""What a prosumer does: offer, hear its schedule, set its assets, look at what came of it.

For each interval k, in this order (all transitions are in `_advance`):
    its trader calls for the offer for k and gets it;
    after the gate has closed it asks for its schedule until it has it;
    when the delivery of k begins its assets get set-points: the schedule, else the profile;
    when the next gate closes it asks the grid service what was measured.
"""

from math import fsum
from typing import Annotated, assert_never, cast, get_args

from msgspec import Meta, Struct

from peercell.agents.grid_access import GridAccess
from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    GridReply,
    GridWelcome,
    SetPoints,
    StateQuery,
    StateReport,
)
from peercell.agents.grid_parts import View
from peercell.agents.messages import Message
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
from peercell.agents.trading.calendar import MarketCalendar, MarketPhase, Moment
from peercell.agents.trading.contract_messages import (
    Delivery,
    Fallback,
    OfferCall,
    ProsumerOffer,
    Schedule,
    ScheduleCall,
)
from peercell.agents.trading.portfolio import Portfolio, ProsumerAsset, injection_kwh
from peercell.agents.units import PeerName, PositiveDurationS

CALENDAR, RETRY = "calendar", "retry"
# Times that a restarted prosumer asks for its schedule before it falls back.
PATIENCE = 10
_REPLIES: frozenset[type] = frozenset(get_args(GridReply))


class ProsumerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prosumer.

    Parameters
    ----------
    grid : peer that is the grid service
    calendar : of the market
    units : what it owns, with one value of power an interval
    trader : peer that trades for it under contract; None: its assets follow their profiles
    retry_s : s after which an unanswered message is sent again; larger saves messages
    """

    name: PeerName
    grid: PeerName
    calendar: MarketCalendar
    units: Annotated[tuple[ProsumerAsset, ...], Meta(min_length=1, max_length=1000)]
    trader: PeerName | None = None
    retry_s: PositiveDurationS = 1.0

    def __post_init__(self) -> None:
        for unit in self.units:
            for series in (unit.p_kw, unit.q_kvar):
                if len(series) not in {1, self.calendar.intervals}:
                    raise ValueError(
                        f"{unit.asset} has {len(series)} values of power,"
                        f" the market {self.calendar.intervals} intervals"
                    )


class _Interval:
    """What a prosumer has done about the interval that is delivered.

    `plan_kwh` is None until set-points are chosen, `welcome` until the assets were measured,
    `voltages_pu` until the buses were.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.scheduled = False
        self.plan_kwh: float | None = None
        self.looked = False
        self.welcome: GridWelcome | None = None
        self.voltages_pu: tuple[float | None, ...] | None = None
        self.told = False


class Prosumer:
    """A household or plant under contract with a microgrid trader (section II); see `Role`."""

    def __init__(self, settings: ProsumerSettings) -> None:
        self.settings = settings
        self._portfolio = Portfolio(settings.units, settings.calendar.period_h)
        self._access = GridAccess(settings.grid)
        self._schedules: dict[int, Schedule] = {}
        self._moment = Moment(MarketPhase.AHEAD, None, None)
        self._interval: _Interval | None = None
        self._patient_until_s = 0.0
        self._retrying = False

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        actions: list[Action] = []
        match event:
            case Started():
                # Set-points of an earlier life may be in force: no fallback before it has asked.
                self._patient_until_s = now_s + PATIENCE * self.settings.retry_s
                actions += [*self._access.ask(GridHello(0)), *self._advance(now_s), *self._ask()]
            case TimerFired(name=name):
                if name == RETRY:
                    self._retrying = False
                    actions += self._access.repeat()
                actions += [*self._advance(now_s), *self._ask()]
            case Received(sender=sender, message=message):
                actions += self._advance(now_s) + self._hear(sender, message, now_s)
            case PeerUp(peer=peer):
                if peer == self.settings.grid:
                    actions += self._set_again()
            case PeerDown() | Commanded():
                return []
            case _:
                assert_never(event)
        return actions + self._retry()

    def _retry(self) -> list[Action]:
        """Run the timer for repetitions while an answer is missing."""
        if self._retrying or not (self._access.waits or self._wanted()):
            return []
        self._retrying = True
        return [SetTimer(RETRY, self.settings.retry_s)]

    def _wanted(self) -> list[int]:
        """Return the intervals whose schedules should be here."""
        if self.settings.trader is None:
            return []
        traded, delivered = self._moment.traded, self._moment.delivered
        due = [traded] if self._moment.phase is MarketPhase.CLOSED else []
        return [k for k in (delivered, *due) if k is not None and k not in self._schedules]

    def _ask(self) -> list[Action]:
        trader = self.settings.trader
        return [Send(trader, ScheduleCall(k)) for k in self._wanted()] if trader else []

    def _advance(self, now_s: float) -> list[Action]:
        """Do what the calendar asks for at this time, and has not been done."""
        before, self._moment = self._moment, self.settings.calendar.moment(now_s)
        actions: list[Action] = []
        delivered = self._moment.delivered
        if delivered != before.delivered:
            actions += self._tell()
            self._interval = None if delivered is None else _Interval(delivered)
            self._schedules = {k: s for k, s in self._schedules.items() if k >= (delivered or 0)}
        interval = self._interval
        if interval is not None:
            if interval.plan_kwh is None:
                actions += self._deliver(interval, now_s)
            if self._moment.phase is MarketPhase.CLOSED and not interval.looked:
                interval.looked = True
                actions += self._access.ask(GridHello(0))
        until_s = self.settings.calendar.until_change_s(now_s)
        if until_s is not None:
            actions.append(SetTimer(CALENDAR, until_s))
        return actions

    def _deliver(self, interval: _Interval, now_s: float) -> list[Action]:
        """Set the assets by the schedule; without one by the profile, and say so."""
        schedule = self._schedules.get(interval.number)
        contract = self.settings.trader is not None
        if schedule is None and contract and now_s < self._patient_until_s:
            return []
        interval.scheduled = schedule is not None
        share = None if schedule is None else schedule.shares[0]
        points = self._portfolio.set_points(interval.number, share)
        hours = self.settings.calendar.period_h
        interval.plan_kwh = injection_kwh(points, hours) if share is None else share.injection_kwh
        # Of an earlier life the schedule may be in force, and be measured before it is known again.
        told = [] if interval.voltages_pu is None else self._tell()
        if not contract:
            return told
        said = [] if schedule is not None else [Record(Fallback(interval.number))]
        return [*said, *told, *self._access.ask(SetPoints(0, points))]

    def _set_again(self) -> list[Action]:
        """Return the set-points in force: a grid service that was restarted has lost them."""
        interval = self._interval
        if interval is None or interval.plan_kwh is None or self.settings.trader is None:
            return []
        schedule = self._schedules.get(interval.number) if interval.scheduled else None
        share = None if schedule is None else schedule.shares[0]
        points = self._portfolio.set_points(interval.number, share)
        return [*self._access.ask(SetPoints(0, points))]

    def _hear(self, sender: str, message: Message, now_s: float) -> list[Action]:
        if sender == self.settings.grid and type(message) in _REPLIES:
            return self._hear_grid(cast("GridReply", message))
        if sender == self.settings.trader:
            match message:
                case OfferCall(interval=number):
                    return self._offer(sender, number)
                case Schedule():
                    return self._take(message, now_s)
                case _:
                    pass
        return []

    def _offer(self, trader: str, number: int) -> list[Action]:
        if number >= self.settings.calendar.intervals:
            return []
        ours = self._portfolio.offer(number)
        return [Send(trader, ProsumerOffer(number, (ours.offer,), (ours.firm_kwh,)))]

    def _take(self, schedule: Schedule, now_s: float) -> list[Action]:
        """Keep the first schedule of an interval; one that comes late is followed from now on."""
        current = schedule.interval in {self._moment.traded, self._moment.delivered}
        if not current or schedule.interval in self._schedules:
            return []
        self._schedules[schedule.interval] = schedule
        interval = self._interval
        if interval is None or schedule.interval != interval.number:
            return []
        return self._deliver(interval, now_s)

    def _hear_grid(self, reply: GridReply) -> list[Action]:
        request = self._access.hear(reply)
        if request is None:
            return []
        match reply:
            case GridRefusal():
                return [Record(reply)]
            case GridWelcome():
                return [*self._access.repeat(), *self._look(reply)]
            case StateReport(reading=reading):
                if isinstance(request, StateQuery) and reading is not None:
                    return self._measure(reading.voltages_pu)
            case _:
                pass
        return []

    def _look(self, welcome: GridWelcome) -> list[Action]:
        """Take the measured powers, and ask for the voltages at the buses of the own assets."""
        interval = self._interval
        if interval is None or not interval.looked or interval.welcome is not None:
            return []
        interval.welcome = welcome
        own = {facts.bus for facts in welcome.assets}
        buses = tuple(
            facts.bus
            for facts in welcome.buses
            # A bus of three phases is listed with its phase: "17.a".
            if facts.bus in own or facts.bus.rpartition(".")[0] in own
        )
        return [*self._access.ask(StateQuery(0, View(buses=buses)))]

    def _measure(self, voltages_pu: tuple[float | None, ...]) -> list[Action]:
        """Take the measured voltages, unless an earlier interval asked for them."""
        interval = self._interval
        if interval is None or interval.welcome is None:
            return []
        interval.voltages_pu = voltages_pu
        return self._tell()

    def _tell(self) -> list[Action]:
        """Record what was planned and measured, once an interval."""
        interval = self._interval
        if interval is None or interval.told or interval.plan_kwh is None:
            return []
        interval.told = True
        measured_kwh = None
        if interval.welcome is not None:
            assets = {unit.asset for unit in self.settings.units}
            power_kw = {facts.asset: facts.p_kw for facts in interval.welcome.assets}
            if assets <= power_kw.keys():
                measured_kwh = (
                    fsum(power_kw[asset] for asset in assets) * self.settings.calendar.period_h
                )
        return [
            Record(
                Delivery(
                    interval.number,
                    interval.scheduled,
                    interval.plan_kwh,
                    measured_kwh,
                    interval.voltages_pu or (),
                )
            )
        ]
