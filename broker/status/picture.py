"""What the answers of the peers of a cell come to: one picture of the whole, and what is unmet."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import fsum

from msgspec import Struct

from peercell.agents.dso_messages import DsoStatus
from peercell.agents.grid_parts import BrokenLimit
from peercell.agents.trading.calendar import MarketPhase, Moment
from peercell.agents.trading.contract_messages import MarketStatus, Settlement
from peercell.agents.trading.settings import TOLERANCE
from peercell.broker.checks import (
    SetPoint,
    confirmed,
    heard_broken,
    limits_broken,
    optimum_broken,
    trades_broken,
)
from peercell.broker.faults.texts import state_text
from peercell.broker.plans.live import RunNote
from peercell.broker.processes.crew import State
from peercell.broker.status.balance import Messages, balance
from peercell.broker.status.islands import absences, islands
from peercell.broker.status.live import Told


class MemberPicture(Struct, frozen=True, kw_only=True):
    """A trader or the aggregator: how far it is, and what it has settled last.

    Everything from `interval` on is None before it has settled anything. `absent` are
    the neighbours that it has settled without.
    """

    member: str
    trading: int | None
    rounds: int
    price_eur_per_kwh: float | None
    interval: int | None = None
    certified: bool | None = None
    cost_eur: float | None = None
    gap_eur: float | None = None
    saving_eur: float | None = None
    traded_kwh: float | None = None
    unserved_kwh: float | None = None
    absent: tuple[str, ...] = ()


class Settled(Struct, frozen=True, kw_only=True):
    """The newest interval that all members have settled.

    Parameters
    ----------
    interval, at : its number, and the simulated local time at which its delivery begins
    price_eur_per_kwh_min, price_eur_per_kwh_max : over the members
    cost_eur : of all generation, transfer and lost load
    gap_eur, relative_gap : by how much at most the plan costs more than the best one
    saving_eur : of all members together, against each with the retailer alone
    traded_kwh, unserved_kwh : over the links, and not served to anybody
    islands : groups of members that settled with each other alone; 1 for a whole cell
    """

    interval: int
    at: datetime
    price_eur_per_kwh_min: float
    price_eur_per_kwh_max: float
    cost_eur: float
    gap_eur: float
    relative_gap: float
    saving_eur: float
    traded_kwh: float
    unserved_kwh: float
    islands: int


class GridPicture(Struct, frozen=True, kw_only=True):
    """How the DSO sees the grid; `loading_percent_max` is None where no rating is known."""

    at: datetime | None
    v_min_pu: float
    v_max_pu: float
    loading_percent_max: float | None
    losses_kw: float
    source_kw: float
    violations: tuple[BrokenLimit, ...]


class Totals(Struct, frozen=True, kw_only=True):
    """Counted since the peers were started.

    Parameters
    ----------
    settled : intervals that all members have settled
    fallbacks : plans that a gate closed before they were certified, over all members
    unsettled : deliveries that began without a plan, over all members
    late_offers : of prosumers
    saving_eur : of all members together, against each with the retailer alone
    restarts : of processes
    """

    settled: int
    fallbacks: int
    unsettled: int
    late_offers: int
    saving_eur: float
    restarts: int


class Picture(Struct, frozen=True, kw_only=True):
    """A cell at one time; `unmet` says why it is not converged, `faults` what is broken on purpose.

    `broken` says what no cell may ever do and this one does: a defect of peercell, see `checks`.
    `delivered` is the interval that is delivered, `traded` the one that is traded; each is None
    where there is none.
    """

    cell: str
    converged: bool
    unmet: tuple[str, ...]
    broken: tuple[str, ...]
    faults: tuple[str, ...]
    phase: MarketPhase
    at: datetime | None
    delivered: int | None
    traded: int | None
    intervals: int
    settled: Settled | None
    members: tuple[MemberPicture, ...]
    totals: Totals
    grid: GridPicture | None
    messages: Messages | None
    peers: dict[str, int]


def picture(note: RunNote, told: Told, now_s: float, *, allow_islands: bool = False) -> Picture:
    """Return the picture of a cell.

    Parameters
    ----------
    note : what the run is
    told : what its peers have said
    now_s : s, Unix time of the answers
    allow_islands : whether members that settled apart from each other count as converged
    """
    moment = note.calendar.moment(now_s)
    apart = () if allow_islands else tuple(absences(_newest(note, told)))
    unmet = (*_processes_unmet(told), *apart, *_market_unmet(note, told, moment))
    broken = tuple(_broken(note, told))
    delivered = moment.delivered
    return Picture(
        cell=note.cell,
        converged=not unmet and not broken,
        unmet=unmet,
        broken=broken,
        faults=tuple(state_text(each, now_s) for each in told.faults),
        phase=moment.phase,
        at=None if delivered is None else note.calendar.at(delivered),
        delivered=delivered,
        traded=moment.traded,
        intervals=note.calendar.intervals,
        settled=_settled(note, told),
        members=tuple(
            _member(name, told.market[name]) for name in note.members if name in told.market
        ),
        totals=_totals(told),
        grid=_grid(told.dso),
        messages=_messages(told) if told.hosts else None,
        peers=dict(Counter(str(state.state) for state in told.states)),
    )


def _broken(note: RunNote, told: Told) -> Iterator[str]:
    """Yield what no cell may ever do, as far as the answers of its peers show it."""
    settled = [(name, each.last) for name, each in told.market.items() if each.last is not None]
    yield from trades_broken(confirmed(settled))
    plans = ((str(each.interval), name, each.plan) for name, each in settled)
    yield from optimum_broken(plans, frozenset(note.members), TOLERANCE)
    for peer, host in told.hosts.items():
        yield from heard_broken(peer, host.heard)
    yield from limits_broken(
        SetPoint(each.asset, each.p_kw, each.q_kvar, each.rating_kva) for each in told.assets
    )


def _processes_unmet(told: Told) -> Iterator[str]:
    """Yield which peers are not up; all have to be for a cell to be converged."""
    for state in told.states:
        if state.state is not State.UP:
            yield f"{state.peer} is {state.state}" + (f": {state.reason}" if state.reason else "")


def _market_unmet(note: RunNote, told: Told, moment: Moment) -> Iterator[str]:
    """Yield who has not settled the newest interval that can be asked for, or not well.

    It is the one that is delivered, or the first one.
    """
    last = note.calendar.intervals - 1
    due = last if moment.phase is MarketPhase.OVER else moment.delivered or 0
    up = {state.peer for state in told.states if state.state is State.UP}
    for member in note.members:
        status = told.market.get(member)
        if status is None:
            if member in up:
                yield f"{member} does not answer"
            continue
        yield from _member_unmet(member, status, due)


def _member_unmet(member: str, status: MarketStatus, due: int) -> Iterator[str]:
    settlement = status.last
    if settlement is None:
        yield f"{member} has settled nothing yet, it is in round {status.rounds}"
        return
    if settlement.interval < due:
        yield f"{member} has settled interval {settlement.interval}, {due} is delivered"
    plan = settlement.plan
    if not plan.certified:
        yield (
            f"{member} settled interval {settlement.interval} when the gate closed, with a gap of"
            f" {plan.gap_eur:.2g} EUR of its own"
        )
    for peer in plan.disputes:
        yield f"{member} and {peer} do not agree about their trade"
    for peer in plan.unconfirmed:
        yield f"{peer} has not confirmed its trade to {member}"


def _member(member: str, status: MarketStatus) -> MemberPicture:
    prices = status.price_eur_per_kwh
    told = MemberPicture(
        member=member,
        trading=status.interval,
        rounds=status.rounds,
        price_eur_per_kwh=prices[0] if prices else None,
    )
    if status.last is None:
        return told
    plan = status.last.plan
    return MemberPicture(
        member=member,
        trading=told.trading,
        rounds=told.rounds,
        price_eur_per_kwh=plan.price_eur_per_kwh[0],
        interval=status.last.interval,
        certified=plan.certified,
        cost_eur=plan.cost_eur,
        gap_eur=plan.gap_eur,
        saving_eur=status.last.saving_eur,
        traded_kwh=_traded_kwh(status.last),
        unserved_kwh=fsum(plan.unserved_kwh),
        absent=plan.absent,
    )


def settled(note: RunNote, settlements: Sequence[tuple[str, Settlement]]) -> Settled:
    """Return what the settlements of one interval by all members come to."""
    plans = [settlement.plan for _, settlement in settlements]
    interval = settlements[0][1].interval
    prices = [plan.price_eur_per_kwh[0] for plan in plans]
    cost, gap = fsum(plan.cost_eur for plan in plans), fsum(plan.gap_eur for plan in plans)
    return Settled(
        interval=interval,
        at=note.calendar.at(interval),
        price_eur_per_kwh_min=min(prices),
        price_eur_per_kwh_max=max(prices),
        cost_eur=cost,
        gap_eur=gap,
        relative_gap=gap / cost if cost > 0.0 else 0.0,
        saving_eur=fsum(settlement.saving_eur for _, settlement in settlements),
        # Each trade is written down by its two ends.
        traded_kwh=fsum(_traded_kwh(settlement) for _, settlement in settlements) / 2.0,
        unserved_kwh=fsum(fsum(plan.unserved_kwh) for plan in plans),
        islands=len(islands(settlements)),
    )


def _settled(note: RunNote, told: Told) -> Settled | None:
    """Return the newest interval when all members have settled it last."""
    settlements = _newest(note, told)
    intervals = {settlement.interval for _, settlement in settlements}
    if len(settlements) < len(note.members) or len(intervals) != 1:
        return None
    return settled(note, settlements)


def _newest(note: RunNote, told: Told) -> list[tuple[str, Settlement]]:
    """Return what each member has settled last."""
    found = [(member, told.market[member].last) for member in note.members if member in told.market]
    return [(member, last) for member, last in found if last is not None]


def _traded_kwh(settlement: Settlement) -> float:
    return fsum(fsum((*trade.sold_kwh, *trade.bought_kwh)) for trade in settlement.plan.trades)


def _totals(told: Told) -> Totals:
    answers = told.market.values()
    processes = {state.endpoint: state.restarts for state in told.states}
    return Totals(
        settled=min((each.settled for each in answers), default=0),
        fallbacks=sum(each.fallbacks for each in answers),
        unsettled=sum(each.unsettled for each in answers),
        late_offers=sum(each.late_offers for each in answers),
        saving_eur=fsum(each.saving_eur for each in answers),
        restarts=sum(processes.values()),
    )


def _grid(dso: DsoStatus | None) -> GridPicture | None:
    if dso is None or dso.reading is None:
        return None
    reading = dso.reading
    return GridPicture(
        at=dso.ordered,
        v_min_pu=reading.v_min_pu,
        v_max_pu=reading.v_max_pu,
        loading_percent_max=reading.loading_percent_max,
        losses_kw=reading.losses_kw,
        source_kw=reading.source_kw,
        violations=reading.violations,
    )


def _messages(told: Told) -> Messages:
    processes = {state.control: state.peer for state in reversed(told.states)}
    return balance(told.hosts, told.later, processes.values())
