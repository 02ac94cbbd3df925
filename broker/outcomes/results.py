"""What a run has come to, read from the journals of its peers: running, ended or killed."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from math import fsum
from pathlib import Path

from msgspec import Struct

from peercell.agents.dso_messages import CellObserved
from peercell.agents.messages import Message
from peercell.agents.trading.contract_messages import Delivery, Fallback, Settlement, Unsettled
from peercell.agents.trading.messages import PriceMoved
from peercell.broker.accounts import Accounts
from peercell.broker.home import CellHome
from peercell.broker.outcomes.recorded import facts
from peercell.broker.plans.live import RunNote
from peercell.broker.status.picture import settled

_Fact = Settlement | Delivery | CellObserved | Fallback | Unsettled | PriceMoved


class IntervalRow(Struct, frozen=True, kw_only=True):
    """One interval of a run, as all its members settled it and the grid took it.

    Parameters
    ----------
    interval, at : its number, and the simulated local time at which its delivery began
    settled : by how many members; all of them make a plan
    certified : whether all of them agreed in time that the plan is good, and confirmed it
    islands : groups of members that settled with each other alone; 1 for a whole cell
    rounds : until the last member knew
    price_eur_per_kwh_min, price_eur_per_kwh_max : over the members
    traded_kwh, unserved_kwh : over the links, and not served to anybody
    cost_eur, gap_eur, saving_eur : see `picture.Settled`
    v_min_pu, v_max_pu, loading_percent_max, losses_kw, violations : near the end of its delivery;
        None where the DSO did not see it, and where no rating is known
    deviation_kwh_max : of a prosumer from its plan; None where none was measured
    """

    interval: int
    at: datetime
    settled: int
    certified: bool
    islands: int
    rounds: int
    price_eur_per_kwh_min: float
    price_eur_per_kwh_max: float
    traded_kwh: float
    unserved_kwh: float
    cost_eur: float
    gap_eur: float
    saving_eur: float
    v_min_pu: float | None
    v_max_pu: float | None
    loading_percent_max: float | None
    losses_kw: float | None
    violations: int | None
    deviation_kwh_max: float | None


class RoundRow(Struct, frozen=True, kw_only=True):
    """How far the prices of an interval were in a round from those that were settled.

    Parameters
    ----------
    interval, at : as in `IntervalRow`
    round : from 1 to the last one of any member, each of which counts its own
    residual_eur_per_kwh : largest distance of a member's price from the one that it settled
    price_eur_per_kwh_min, price_eur_per_kwh_max : over the members
    """

    interval: int
    at: datetime
    round: int
    residual_eur_per_kwh: float
    price_eur_per_kwh_min: float
    price_eur_per_kwh_max: float


class SettlementRow(Struct, frozen=True, kw_only=True):
    """What a member settled in an interval.

    `payment_eur` is what it pays minus what it gets. `standalone_eur` would be its cost without
    anybody else, `retail_eur` that with the retailer alone, against which `saving_eur` counts.
    """

    interval: int
    at: datetime
    member: str
    certified: bool
    rounds: int
    price_eur_per_kwh: float
    load_kwh: float
    generation_kwh: float
    unserved_kwh: float
    spilled_kwh: float
    cost_eur: float
    payment_eur: float
    gap_eur: float
    standalone_eur: float
    retail_eur: float
    saving_eur: float


class TradeRow(Struct, frozen=True, kw_only=True):
    """Energy that a member sold to another, as the seller wrote it down."""

    interval: int
    at: datetime
    seller: str
    buyer: str
    kwh: float


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """What a prosumer planned to feed in, and what was measured; None when nothing was."""

    interval: int
    at: datetime
    prosumer: str
    scheduled: bool
    planned_kwh: float
    measured_kwh: float | None
    deviation_kwh: float | None


class Run:
    """What the peers of a run have recorded, each peer's newest for each interval.

    Parameters
    ----------
    note : what the run is
    recorded : peers and the facts that they recorded, in the order of each peer

    Attributes
    ----------
    messages : what became of all messages; None where nobody has counted
    trace_hash : of all that happened; None where that depends on chance
    effects : how often each step of a plan of faults has done something, and why it has no effect,
        if so; empty where nobody has counted
    """

    def __init__(self, note: RunNote, recorded: Iterable[tuple[str, Message]]) -> None:
        self.note = note
        self.messages: Accounts | None = None
        self.trace_hash: str | None = None
        self.effects: tuple[tuple[int, str], ...] = ()
        self.settlements: dict[tuple[int, str], Settlement] = {}
        self.deliveries: dict[tuple[int, str], Delivery] = {}
        self.observed: dict[int, CellObserved] = {}
        self.fallbacks: set[tuple[int, str]] = set()
        self.unsettled: set[tuple[int, str]] = set()
        self.prices: dict[tuple[int, str], dict[int, float]] = {}
        self.take(recorded)

    def take(self, recorded: Iterable[tuple[str, Message]]) -> None:
        """Take in more that was recorded."""
        for peer, fact in recorded:
            self._take(peer, fact)

    def _take(self, peer: str, fact: Message) -> None:
        match fact:
            case Settlement(interval=interval):
                self.settlements[interval, peer] = fact
            case Delivery(interval=interval):
                # A prosumer that was restarted may have had no time to measure what it had before.
                if fact.measured_kwh is not None or (interval, peer) not in self.deliveries:
                    self.deliveries[interval, peer] = fact
            case CellObserved(interval=interval):
                self.observed[interval] = fact
            case PriceMoved(epoch=epoch, round=number, price_eur_per_kwh=(price, *_)):
                # Epoch k + 1 is that of interval k.
                self.prices.setdefault((epoch - 1, peer), {})[number] = price
            case Fallback(interval=interval):
                self.fallbacks.add((interval, peer))
            case Unsettled(interval=interval):
                self.unsettled.add((interval, peer))

    def settled(self, number: int) -> list[tuple[str, Settlement]]:
        """Return what each member that has settled an interval has settled."""
        return [
            (member, self.settlements[number, member])
            for member in self.note.members
            if (number, member) in self.settlements
        ]

    @property
    def numbers(self) -> list[int]:
        """Which intervals anybody has settled."""
        return sorted({interval for interval, _ in self.settlements})

    @property
    def intervals(self) -> tuple[IntervalRow, ...]:
        """The intervals that anybody has settled."""
        return tuple(self.interval(number) for number in self.numbers)

    def interval(self, number: int) -> IntervalRow:
        """Return one interval that somebody has settled."""
        parts = self.settled(number)
        whole = settled(self.note, parts)
        plans = [settlement.plan for _, settlement in parts]
        seen = self.observed.get(number)
        reading = None if seen is None else seen.reading
        deviations = [
            abs(delivery.deviation_kwh)
            for (interval, _), delivery in self.deliveries.items()
            if interval == number and delivery.deviation_kwh is not None
        ]
        return IntervalRow(
            interval=number,
            at=whole.at,
            settled=len(parts),
            certified=len(parts) == len(self.note.members)
            and all(p.certified and not p.disputes and not p.unconfirmed for p in plans),
            islands=whole.islands,
            rounds=max(plan.round for plan in plans),
            price_eur_per_kwh_min=whole.price_eur_per_kwh_min,
            price_eur_per_kwh_max=whole.price_eur_per_kwh_max,
            traded_kwh=whole.traded_kwh,
            unserved_kwh=whole.unserved_kwh,
            cost_eur=whole.cost_eur,
            gap_eur=whole.gap_eur,
            saving_eur=whole.saving_eur,
            v_min_pu=None if reading is None else reading.v_min_pu,
            v_max_pu=None if reading is None else reading.v_max_pu,
            loading_percent_max=None if reading is None else reading.loading_percent_max,
            losses_kw=None if reading is None else reading.losses_kw,
            violations=None if reading is None else len(reading.violations),
            deviation_kwh_max=max(deviations, default=None),
        )

    def round_rows(self) -> Iterator[RoundRow]:
        """Yield how the prices of each interval came to those that were settled."""
        now: dict[str, float] = {}
        for number in self.numbers:
            plans = {
                member: self.settlements[number, member].plan
                for member in self.note.members
                if (number, member) in self.settlements
            }
            for count in range(1, 1 + max(plan.round for plan in plans.values())):
                for member in plans:
                    moved = self.prices.get((number, member), {})
                    # A price that has not moved is that of the round before.
                    now |= {member: moved[count]} if count in moved else {}
                known = plans.keys() & now.keys()
                if not known:
                    continue
                prices = [now[member] for member in known]
                yield RoundRow(
                    interval=number,
                    at=self.note.calendar.at(number),
                    round=count,
                    residual_eur_per_kwh=max(
                        abs(now[member] - plans[member].price_eur_per_kwh[0]) for member in known
                    ),
                    price_eur_per_kwh_min=min(prices),
                    price_eur_per_kwh_max=max(prices),
                )

    def settlement_rows(self) -> Iterator[SettlementRow]:
        """Yield what each member settled."""
        for (interval, member), fact in sorted(self.settlements.items(), key=lambda item: item[0]):
            plan = fact.plan
            yield SettlementRow(
                interval=interval,
                at=fact.at,
                member=member,
                certified=plan.certified,
                rounds=plan.round,
                price_eur_per_kwh=plan.price_eur_per_kwh[0],
                load_kwh=fsum(fact.load_kwh),
                generation_kwh=fsum(plan.generation_kwh),
                unserved_kwh=fsum(plan.unserved_kwh),
                spilled_kwh=fsum(plan.spilled_kwh),
                cost_eur=plan.cost_eur,
                payment_eur=plan.payment_eur,
                gap_eur=plan.gap_eur,
                standalone_eur=plan.standalone_eur,
                retail_eur=fact.retail_eur,
                saving_eur=fact.saving_eur,
            )

    def trade_rows(self) -> Iterator[TradeRow]:
        """Yield who sold how much to whom."""
        for (interval, member), fact in sorted(self.settlements.items(), key=lambda item: item[0]):
            for trade in fact.plan.trades:
                if (kwh := fsum(trade.sold_kwh)) > 0.0:
                    yield TradeRow(
                        interval=interval, at=fact.at, seller=member, buyer=trade.peer, kwh=kwh
                    )

    def delivery_rows(self) -> Iterator[DeliveryRow]:
        """Yield what each prosumer planned and delivered."""
        for (interval, peer), fact in sorted(self.deliveries.items(), key=lambda item: item[0]):
            yield DeliveryRow(
                interval=interval,
                at=self.note.calendar.at(interval),
                prosumer=peer,
                scheduled=fact.scheduled,
                planned_kwh=fact.planned_kwh,
                measured_kwh=fact.measured_kwh,
                deviation_kwh=fact.deviation_kwh,
            )


def recorded_run(folder: Path, note: RunNote) -> Run:
    """Return a run from the journals of its peers, in its folder.

    Raises
    ------
    JournalError : a journal cannot be read.
    """
    home = CellHome(folder)
    journals = {peer: home.journal(peer) for peer in note.roles}
    return Run(
        note,
        (
            (peer, fact)
            for peer, path in journals.items()
            if path.exists()
            for fact in facts(path, _Fact, since_s=note.begun_s)
        ),
    )
