"""What the peers of a small cell could have answered, to be changed where a test wants it."""

from datetime import datetime

from msgspec import structs

from peercell.agents.trading.calendar import MarketCalendar, MarketPhase
from peercell.agents.trading.contract_messages import MarketStatus, Settlement
from peercell.agents.trading.messages import LinkTrade, TraderSettled
from peercell.broker.gate import Heard
from peercell.broker.operator_port import HostStatus
from peercell.broker.plans.live import RunNote
from peercell.broker.processes.crew import State
from peercell.broker.processes.plan import PeerState
from peercell.broker.status.live import Told

CALENDAR = MarketCalendar(
    origin_s=1000.0, at_first=datetime(2016, 5, 28, 6), intervals=4, interval_s=10.0
)
NOTE = RunNote(
    cell="two",
    config="/two.toml",
    version="0",
    seed=1,
    begun_s=900.0,
    calendar=CALENDAR,
    roles={"mg1.trader": "trader", "aggregator": "aggregator", "dso": "dso"},
)
# Interval 1 is delivered, 2 is traded.
NOW_S = 1012.0


def state(peer: str, now: State = State.UP, reason: str = "", restarts: int = 0) -> PeerState:
    """Return a process as its supervisor sees it."""
    return PeerState(peer, "any", now, reason, 1000.0, 7, restarts, 1, "tcp://", f"ipc://{peer}")


STATES = tuple(state(peer) for peer in NOTE.roles)


def settlement(interval: int, peer: str, *, certified: bool = True) -> Settlement:
    """Return what a member settled: 2 kWh at 0.2 EUR/kWh, which the aggregator buys."""
    sold, bought = (2.0, 0.0) if peer == "aggregator" else (0.0, 2.0)
    plan = TraderSettled(
        epoch=interval + 1,
        attempt=1,
        round=7,
        certified=certified,
        price_eur_per_kwh=(0.2,),
        generation_kwh=(3.0,),
        unserved_kwh=(0.0,),
        spilled_kwh=(0.0,),
        trades=(LinkTrade(peer, (sold,), (bought,)),),
        cost_eur=1.5,
        payment_eur=-0.4,
        gap_eur=3e-7,
        standalone_eur=2.0,
        disputes=(),
        unconfirmed=(),
        heard=(peer,),
        absent=(),
    )
    at = CALENDAR.at(interval)
    return Settlement(interval, at, plan, (1.0,), (), (), 1.75, 0.65)


def alone(told: Settlement) -> Settlement:
    """Return a settlement of a member that has not heard those with whom it trades."""
    plan = structs.replace(told.plan, trades=(), heard=(), absent=told.plan.heard)
    return structs.replace(told, plan=plan)


def status(last: Settlement | None) -> MarketStatus:
    """Return the status of a member that trades interval 2."""
    return MarketStatus(
        interval=2,
        phase=MarketPhase.OFFERS,
        rounds=3,
        price_eur_per_kwh=(0.25,),
        converged=False,
        last=last,
        settled=2,
        saving_eur=1.1,
    )


MARKET = {
    "mg1.trader": status(settlement(1, "aggregator")),
    "aggregator": status(settlement(1, "mg1.trader")),
}


def host(peer: str, told: dict[str, int], heard: dict[str, Heard]) -> HostStatus:
    """Return the counts of a peer that has one message for nobody, beside those it has sent."""
    return HostStatus(
        peer=peer,
        incarnation=1,
        uptime_s=1.0,
        handed=sum(told.values()) + 1,
        sent=sum(told.values()),
        waiting=0,
        unsent={"no-route": 1},
        applied=sum(each.applied for each in heard.values()),
        refused={},
        missing=sum(each.missing for each in heard.values()),
        told=told,
        heard=heard,
        unaccounted=0,
        unattributed={},
        links=1,
        timers=1,
        late_p50_s=0.0,
        late_p99_s=0.0,
        late_max_s=0.0,
        faults={},
    )


TOLD = Told(STATES, MARKET, None)
