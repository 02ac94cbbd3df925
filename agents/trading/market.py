"""How a trader goes to market, interval after interval, for the prosumers under its contract.

For each interval k (all transitions are in `_advance`):
    it calls for the offers for k, again and again to those that are missing;
    when they are due it opens epoch k + 1 of its `MicrogridTrader` with what is there;
    at agreement, or at the latest when the gate closes, that ends in a plan;
    each prosumer is told its part, at once and whenever it asks.
"""

from collections.abc import Callable
from typing import assert_never

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

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
from peercell.agents.trading.ballots import all_voted
from peercell.agents.trading.blocks import Offer, concatenate
from peercell.agents.trading.calendar import MarketCalendar, MarketPhase, Moment
from peercell.agents.trading.closing import GATE_ATTEMPT
from peercell.agents.trading.contract_messages import (
    LateOffer,
    MarketStatus,
    MarketStatusQuery,
    OfferCall,
    ProsumerOffer,
    Schedule,
    ScheduleCall,
    Settlement,
    Unsettled,
)
from peercell.agents.trading.messages import (
    Confirmation,
    CurveQuote,
    EnergyBid,
    FrozenPrice,
    Hello,
    OfferChange,
    Recall,
    Tally,
    TraderSettled,
)
from peercell.agents.trading.offer_book import (
    Member,
    OfferBook,
    own_member,
    shares,
    shortages,
    total,
)
from peercell.agents.trading.retail import RetailTerms, retail_cost
from peercell.agents.trading.settings import TraderSettings
from peercell.agents.trading.trader import GATE, ROUND, MicrogridTrader
from peercell.agents.units import PeerName, PositiveDurationS

CALENDAR, RETRY, MEMORY = "calendar", "retry", "market"
# Times that a restarted trader asks for the offers of its prosumers before it trades without.
PATIENCE = 10

OwnOffer = Callable[[int], Offer]


class MarketTraderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One trader in a market with a calendar.

    Parameters
    ----------
    trading : of the `MicrogridTrader`; its `offers` are what the trader itself needs and makes in
        every interval beside its prosumers, its `gate_closure_s` is the calendar's
    calendar : of the market
    prosumers : peers under contract; none for a coupling agent
    retail : what a retailer offers, against which savings count; None: against standing alone
    retry_s : s after which a missing offer is asked for again; larger saves messages
    """

    trading: TraderSettings
    calendar: MarketCalendar
    prosumers: tuple[PeerName, ...] = ()
    retail: RetailTerms | None = None
    retry_s: PositiveDurationS = 1.0


class _Opening(Struct, frozen=True):
    """With whom an interval was opened: what a later life has to go on with.

    `members` begin with the trader itself, `late` are the offers that were not there in time.
    """

    interval: int
    members: list[Member]
    late: list[LateOffer]


class _Counts:
    """What `MarketStatus` counts."""

    def __init__(self) -> None:
        self.settled = self.fallbacks = self.unsettled = self.late_offers = 0
        self.traded_kwh = self.unserved_kwh = self.saving_eur = 0.0


class MarketTrader:
    """The trader of a microgrid in a running cell; see `Role`.

    Parameters
    ----------
    settings : of the trader
    own_offer : what the trader needs and makes in an interval beside `trading.offers`
    """

    def __init__(self, settings: MarketTraderSettings, own_offer: OwnOffer | None = None) -> None:
        self.settings = settings
        self._own_offer = own_offer
        self._book = OfferBook(settings.prosumers, len(settings.trading.offers))
        self._moment = Moment(MarketPhase.AHEAD, None, None)
        # It is started when its first epoch opens: before that it has no offers to speak of.
        self._trader = MicrogridTrader(settings.trading)
        self._opened: int | None = None
        self._rejoined = self._decided_before = False
        self._members: list[Member] = []
        self._late: tuple[str, ...] = ()
        self._schedules: dict[int, dict[str, Schedule]] = {}
        self._last: Settlement | None = None
        self._counts = _Counts()
        self._started_s = 0.0
        self._memory: dict[str, bytes] = {}
        self._before: _Opening | None = None
        self._retrying = False

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started(memory=memory):
                self._started_s, self._memory = now_s, memory
                self._before = _decode(memory[MEMORY]) if MEMORY in memory else None
                return [*self._advance(now_s), *self._call()]
            case TimerFired(name=name):
                if name in {ROUND, GATE}:
                    return self._trade(event, now_s)
                if name == RETRY:
                    self._retrying = False
                return [*self._advance(now_s), *self._call()]
            case Received(sender=sender, message=message):
                return self._hear(sender, message, event, now_s)
            case PeerUp() | PeerDown():
                return self._trade(event, now_s)
            case Commanded(request_id=number, request=request):
                known = isinstance(request, MarketStatusQuery)
                return [Reply(number, self._status())] if known else []
            case _:
                assert_never(event)

    # The calendar.

    def _advance(self, now_s: float) -> list[Action]:
        """Do what the calendar asks for at this time, and has not been done."""
        calendar = self.settings.calendar
        before, self._moment = self._moment, calendar.moment(now_s)
        actions: list[Action] = []
        interval = self._moment.traded
        if interval != before.traded and before.traded is not None:
            actions += self._end(before.traded)
        again = self._before is not None and self._before.interval == interval
        phase = self._moment.phase
        opens = phase is MarketPhase.TRADING or (again and phase is MarketPhase.CLOSED)
        if interval is not None and interval != self._opened and opens:
            patient_until_s = self._started_s + PATIENCE * self.settings.retry_s
            patient = now_s < patient_until_s and bool(self._book.missing(interval)) and not again
            actions += [] if patient else self._open(interval, now_s)
        until_s = calendar.until_change_s(now_s)
        return actions if until_s is None else [*actions, SetTimer(CALENDAR, until_s)]

    def _call(self) -> list[Action]:
        """Ask for the offers that are missing, while there is time."""
        interval, phase = self._moment.traded, self._moment.phase
        if interval is None or interval == self._opened or phase is MarketPhase.CLOSED:
            return []
        missing = self._book.missing(interval)
        calls: list[Action] = [Send(peer, OfferCall(interval)) for peer in missing]
        if missing and not self._retrying:
            self._retrying = True
            calls.append(SetTimer(RETRY, self.settings.retry_s))
        return calls

    def _open(self, interval: int, now_s: float) -> list[Action]:
        """Open the epoch of an interval with the offers that are there, or were before."""
        opening = self._before
        if opening is None or opening.interval != interval:
            members, late = self._book.close(interval)
            own = own_member(self.settings.trading.name, self._own(interval))
            opening = _Opening(interval, [own, *members], late)
        self._members, late = opening.members, opening.late
        self._late = tuple(offer.prosumer for offer in late)
        self._counts.late_offers += len(late)
        first, self._opened = self._opened is None, interval
        self._decided_before = False
        self._rejoined = first and self._started_s > self.settings.calendar.due_s(interval)
        # Epochs follow the calendar, so a trader that was away opens the same one as the others.
        change = OfferChange(total(self._members), interval + 1)
        actions = self._trader.step(Commanded(0, change), now_s)
        if first:
            actions += self._passed_on(self._trader.step(Started(self._memory), now_s))
        gate_s = max(self.settings.calendar.closure_s(interval) - now_s, 0.0)
        return [
            Remember(MEMORY, _encode(opening)),
            *(Record(offer) for offer in late),
            *(action for action in actions if not isinstance(action, Reply)),
            SetTimer(GATE, gate_s),
        ]

    def _own(self, interval: int) -> tuple[Offer, ...]:
        base = self.settings.trading.offers
        if self._own_offer is None:
            return base
        return tuple(concatenate((offer, self._own_offer(interval))) for offer in base)

    def _end(self, interval: int) -> list[Action]:
        """Begin the delivery of an interval: say so if there is no plan for it."""
        self._schedules = {k: told for k, told in self._schedules.items() if k >= interval}
        if interval in self._schedules:
            return []
        self._counts.unsettled += 1
        return [Record(Unsettled(interval))]

    # What is heard.

    def _hear(self, sender: str, message: Message, event: Received, now_s: float) -> list[Action]:
        match message:
            case ProsumerOffer():
                self._book.hear(sender, message)
                return self._advance(now_s)
            case ScheduleCall(interval=interval):
                schedule = self._schedules.get(interval, {}).get(sender)
                return [] if schedule is None else [Send(sender, schedule)]
            case (
                Hello()
                | CurveQuote()
                | EnergyBid()
                | FrozenPrice()
                | Tally()
                | Confirmation()
                | Recall()
            ):
                # Who hears of an epoch before it has opened it still lacks the offers for it.
                if message.epoch > self._trader.epoch:
                    return []
                self._note_decision(message)
                return self._trade(event, now_s)
            case _:
                return []

    def _note_decision(self, message: Message) -> None:
        """Note whether the others have settled the epoch that a restarted trader has joined."""
        if not self._rejoined:
            return
        match message:
            case Tally(epoch=epoch, votes=votes):
                decided = all_voted(votes, len(self.settings.trading.roster))
            case Confirmation(epoch=epoch, attempt=attempt) | Recall(epoch=epoch, attempt=attempt):
                decided = attempt < GATE_ATTEMPT
            case _:
                return
        self._decided_before |= decided and epoch == self._trader.epoch

    def _trade(self, event: Event, now_s: float) -> list[Action]:
        """Let the trader react, and see whether it has settled."""
        return self._passed_on(self._trader.step(event, now_s))

    def _passed_on(self, done: list[Action]) -> list[Action]:
        """Return what the trader does, with all that follows for its members once it settles."""
        actions: list[Action] = []
        for action in done:
            if isinstance(action, Record) and isinstance(action.fact, TraderSettled):
                actions += self._settle(action.fact)
            else:
                actions.append(action)
        return actions

    def _settle(self, plan: TraderSettled) -> list[Action]:
        """Share a plan out to the members, and write down what it comes to.

        Unless an earlier life has done so: its prosumers have their schedules, and its partners
        hold to what it has confirmed, so a second plan of another content is void.
        """
        clean = plan.certified and not plan.disputes and not plan.unconfirmed
        if self._decided_before and not clean:
            return []
        interval = plan.epoch - 1
        parts = shares(self._members, plan, self.settings.trading.voll_eur_per_kwh)
        retail_eur = self._retail_eur(plan)
        settlement = Settlement(
            interval,
            self.settings.calendar.at(interval),
            plan,
            tuple(offer.load_kwh for offer in total(self._members)),
            shortages(parts),
            self._late,
            retail_eur,
            retail_eur - plan.cost_eur - plan.payment_eur,
        )
        self._schedules[interval] = {
            peer: Schedule(interval, part, plan.certified)
            for peer, part in parts.items()
            if peer != self.settings.trading.name
        }
        self._last = settlement
        self._count(settlement)
        told = self._schedules[interval].items()
        return [
            Record(plan),
            Record(settlement),
            *(Send(peer, schedule) for peer, schedule in told),
        ]

    def _retail_eur(self, plan: TraderSettled) -> float:
        """Return what the interval would have cost without the market, EUR."""
        terms, interval = self.settings.retail, plan.epoch - 1
        if terms is None:
            return plan.standalone_eur
        voll = self.settings.trading.voll_eur_per_kwh
        return sum(retail_cost(offer, terms, interval, voll) for offer in total(self._members))

    def _count(self, settlement: Settlement) -> None:
        counts, plan = self._counts, settlement.plan
        counts.settled += 1
        counts.fallbacks += not plan.certified
        counts.traded_kwh += sum(sum(t.sold_kwh) + sum(t.bought_kwh) for t in plan.trades)
        counts.unserved_kwh += sum(plan.unserved_kwh)
        counts.saving_eur += settlement.saving_eur

    def _status(self) -> MarketStatus:
        counts, last, trader = self._counts, self._last, self._trader
        current = self._opened is not None and self._opened == self._moment.traded
        plan = last.plan if last is not None and last.interval == self._opened else None
        prices = None if self._opened is None else trader.prices_eur_per_kwh
        return MarketStatus(
            interval=self._moment.traded,
            phase=self._moment.phase,
            rounds=trader.rounds if current else 0,
            price_eur_per_kwh=prices if plan is None else plan.price_eur_per_kwh,
            converged=current and plan is not None and plan.certified,
            last=last,
            settled=counts.settled,
            fallbacks=counts.fallbacks,
            unsettled=counts.unsettled,
            late_offers=counts.late_offers,
            traded_kwh=counts.traded_kwh,
            unserved_kwh=counts.unserved_kwh,
            saving_eur=counts.saving_eur,
        )


_encode = Encoder().encode
_decode = Decoder(_Opening).decode
