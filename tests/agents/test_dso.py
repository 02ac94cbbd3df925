from datetime import datetime, timedelta
from functools import partial

import pytest
from tests.agents.trading.fake_grid import FakeGrid

from peercell.agents.dso import Dso, DsoSettings
from peercell.agents.dso_messages import CellObserved, DsoStatus, DsoStatusQuery, LimitsChanged
from peercell.agents.grid_messages import StateReport, Subscription, TimeOrder
from peercell.agents.grid_parts import BrokenLimit, LimitKind, Reading, Stamp
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, PeerUp, Received, Send, Started
from peercell.agents.trading.calendar import MarketCalendar
from peercell.broker.faults.network import LinkFaults
from peercell.broker.simulation import Simulation

CALENDAR = MarketCalendar(
    origin_s=100.0, at_first=datetime(2016, 5, 28, 12, 0), intervals=4, interval_s=10.0
)
BROKEN = BrokenLimit(LimitKind.OVERLOAD, "line-1", 120.0, 100.0)


def dso() -> Dso:
    return Dso(DsoSettings(name="dso", grid="grid", calendar=CALENDAR, retry_s=0.2))


def run(faults: LinkFaults, seed: int = 0) -> tuple[FakeGrid, Simulation]:
    grid, simulation = FakeGrid({}, ("dso",)), Simulation(faults, seed)
    simulation.start("grid", grid)
    simulation.start("dso", dso())
    return grid, simulation


@pytest.mark.parametrize("seed", range(5))
def test_the_cell_moves_through_time_whatever_is_lost(seed: int) -> None:
    faults = LinkFaults(drop=0.4, duplicate=0.2, delay_s_min=0.01, delay_s_max=0.4)
    grid, simulation = run(faults, seed)
    simulation.run(150.0)
    times = sorted({order.at for _, order in grid.orders})
    assert times == [CALENDAR.at(0) + timedelta(minutes=15 * k) for k in range(4)]
    assert grid.at == CALENDAR.at(3)
    observed = [fact.interval for _, _, fact in simulation.facts if isinstance(fact, CellObserved)]
    assert observed == [0, 1, 2, 3]


def test_a_restarted_dso_orders_the_interval_that_is_delivered() -> None:
    grid, simulation = run(LinkFaults(delay_s_min=0.01, delay_s_max=0.01))
    simulation.crash("dso", 112.0)
    simulation.start("dso", dso(), 125.0)
    simulation.run(126.0)
    assert grid.at == CALENDAR.at(2)
    assert grid.refusals == []


def test_broken_limits_are_told_once_when_they_change() -> None:
    grid, simulation = run(LinkFaults(delay_s_min=0.01, delay_s_max=0.01))
    grid.limit_kw = 10.0
    for at_s, p_kw in ((103.0, 20.0), (104.0, 30.0), (112.0, 5.0)):
        simulation.at(at_s, partial(grid.powers.update, pv=(p_kw, 0.0)))
    simulation.run(125.0)
    changes = [fact for _, _, fact in simulation.facts if isinstance(fact, LimitsChanged)]
    assert [bool(change.broken) for change in changes] == [True, False]
    simulation.command("dso", 7, DsoStatusQuery(), 125.0)
    simulation.run(125.0)
    status = simulation.replies[7]
    assert isinstance(status, DsoStatus)
    assert (status.interval, status.ordered, status.changes) == (2, CALENDAR.at(2), 2)


def report(seq: int, rev: int, *broken: BrokenLimit) -> Received:
    reading = Reading(0.0, 0.0, 0.0, 1.0, 1.0, None, 6, violations=broken)
    return Received("grid", StateReport(seq, Stamp(rev, 0), reading))


def test_a_report_that_comes_late_changes_nothing() -> None:
    role = dso()
    assert role.step(report(3, 9, BROKEN), 101.0)
    assert role.step(report(3, 8), 101.1) == []
    # A grid service that was restarted counts its revisions anew.
    assert role.step(report(5, 0), 101.2)


def test_a_grid_service_that_comes_back_is_told_the_time_again() -> None:
    role = dso()
    grid = FakeGrid({}, ("dso",))
    hello = sent(role.step(Started(), 112.0))
    (welcome,) = sent(grid.step(Received("dso", hello[0]), 112.0))
    assert [type(each) for each in sent(role.step(Received("grid", welcome), 112.0))] == [
        TimeOrder,
        Subscription,
    ]
    assert sent(role.step(PeerUp("other", 2), 112.5)) == []
    assert [type(each) for each in sent(role.step(PeerUp("grid", 2), 112.5))] == [
        TimeOrder,
        Subscription,
    ]


def sent(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, Send)]
