"""A plan of faults carried out in simulation: on links, on peers, in the grid."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from tests.broker.hosts_for_tests import Puppet
from tests.broker.village import make_village

from peercell.agents.errors import PeercellError
from peercell.agents.grid_messages import StateQuery, StateReport
from peercell.agents.grid_parts import Reading, View
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Received, Role, Send, SetTimer
from peercell.agents.trading.messages import FrozenPrice
from peercell.broker.faults.kinds import (
    AnyFault,
    Bandwidth,
    Clock,
    Corrupt,
    Delay,
    DiskFull,
    Duplicate,
    Failpoint,
    Forge,
    Islanding,
    Kill,
    Lie,
    LineOpen,
    LoadStep,
    Loss,
    Memory,
    MeterNoise,
    Partition,
    Pause,
    PvTrip,
    Reorder,
    Replay,
    Slow,
)
from peercell.broker.faults.network import LinkFaults
from peercell.broker.faults.plan import FaultPlan, Step
from peercell.broker.faults.staging import stage
from peercell.broker.simulation import Simulation
from peercell.grid.service import GridService
from peercell.grid.service_rights import Access, GridServiceSettings

ROLES = {"a": "talker", "b": "talker", "grid": "grid"}
VIEW = View(buses=("1", "3"), branches=("line-3",), assets=("pv-3", "load-2"))
QUICK = LinkFaults(delay_s_min=0.01, delay_s_max=0.01)


class Beat(Message, frozen=True):
    """One of many."""

    number: int


@dataclass
class Talker:
    """Says a number to its peer ten times a second, and remembers when it heard what."""

    peer: str
    heard: list[tuple[float, int]] = field(default_factory=list)
    said: int = 0

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Received(message=Beat(number=number)):
                self.heard.append((now_s, number))
                return []
            case _ if self.peer:
                self.said += 1
                return [Send(self.peer, Beat(self.said)), SetTimer("beat", 0.1)]
            case _:
                return []


def staged(fault: AnyFault, for_s: float | None = 2.0) -> tuple[Simulation, dict[str, Talker]]:
    """Return a cell in which something is wrong from 1.05 s on, after 5 s, and its newest roles."""
    cell = Simulation(QUICK)
    talkers: dict[str, Talker] = {}

    def make(name: str, peer: str) -> Role:
        talkers[name] = Talker(peer)
        return talkers[name]

    for name, peer in (("a", "b"), ("b", "a"), ("grid", "")):
        cell.enlist(name, partial(make, name, peer))
    stage(FaultPlan(1, (Step(fault=fault, at_s=1.05, for_s=for_s),)), cell, ROLES)
    cell.run(5.0)
    assert cell.accounts.unaccounted == 0
    return cell, talkers


def count(talker: Talker, from_s: float, to_s: float) -> int:
    return sum(from_s < at_s <= to_s for at_s, _ in talker.heard)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Loss(share=1.0), "fault"),
        (Partition(on="a from rest"), "fault"),
        (Corrupt(share=1.0), "bad-body"),
    ],
)
def test_what_is_cut_or_spoilt_is_not_heard_until_it_heals(fault: AnyFault, reason: str) -> None:
    cell, talkers = staged(fault)
    for name in ("a", "b"):
        assert count(talkers[name], 1.1, 3.1) == 0
        assert count(talkers[name], 3.2, 5.0) == 18
    assert set(cell.accounts.dropped) == {reason}


def test_a_cut_one_way_lets_the_other_through() -> None:
    _, talkers = staged(Partition(on="a->b"))
    assert count(talkers["b"], 1.1, 3.1) == 0
    assert count(talkers["a"], 1.1, 3.1) == 20


def test_what_arrives_twice_is_heard_once() -> None:
    cell, talkers = staged(Duplicate(share=1.0))
    assert cell.duplicated == cell.accounts.dropped["duplicate"] == 40
    assert count(talkers["a"], 1.1, 3.1) == 20


@pytest.mark.parametrize("fault", [Delay(delay_s=0.5), Bandwidth(bytes_per_s=40.0, queue_s=9.0)])
def test_slow_links_deliver_later(fault: AnyFault) -> None:
    _, talkers = staged(fault)
    late_s = [at_s - 0.1 * (number - 1) for at_s, number in talkers["b"].heard]
    assert max(late_s) > 0.4
    assert min(late_s) < 0.02


def test_reordered_messages_overtake_each_other() -> None:
    _, talkers = staged(Reorder(share=0.5, by_s=0.4))
    numbers = [number for _, number in talkers["b"].heard]
    assert numbers != sorted(numbers)
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("state", Memory)
def test_who_was_killed_comes_back_and_is_heard_again(state: Memory) -> None:
    cell, talkers = staged(Kill(on="a", restart_after_s=1.0, state=state), None)
    assert talkers["a"].said == 30
    assert count(talkers["b"], 1.1, 2.05) == 0
    assert count(talkers["b"], 2.055, 5.0) == 30
    assert cell.peer("a").life == 1


@pytest.mark.parametrize(("point", "hits"), [(Failpoint.AFTER_SEND, 1), (Failpoint.BEFORE_SAVE, 0)])
def test_who_is_killed_at_a_point_ends_when_it_comes_there(point: Failpoint, hits: int) -> None:
    cell, talkers = staged(Kill(on="a", restart_after_s=1.0, point=point), None)
    cell.run(20.0)
    assert cell.shim.hits["step 0"] == cell.peer("a").life == hits
    # It says one at 1.1 s, and comes again a second later.
    assert count(talkers["b"], 1.115, 2.105) == (0 if hits else 9)
    assert count(talkers["b"], 2.105, 4.1) >= 19


def test_a_paused_peer_hears_late_and_says_nothing() -> None:
    _, talkers = staged(Pause(on="a"))
    assert count(talkers["b"], 1.1, 3.05) == 0
    assert count(talkers["a"], 1.1, 3.04) == 0
    assert count(talkers["a"], 3.04, 3.06) == 20


def test_a_slow_peer_does_less() -> None:
    _, talkers = staged(Slow(on="a", share=0.1))
    assert 0 < count(talkers["b"], 1.1, 3.1) <= 20
    assert count(talkers["a"], 3.2, 5.0) == 18


def test_a_wrong_clock_is_right_again_afterwards() -> None:
    cell, talkers = staged(Clock(on="b", ahead_s=10.0, drift_ppm=1e5))
    assert cell.shim.hits["step 0"] == 1
    wrong = [at_s for at_s, _ in talkers["b"].heard if at_s > 10.0]
    assert len(wrong) == 20
    assert 11.05 < wrong[0] < 11.2
    assert wrong[-1] - wrong[0] == pytest.approx(1.1 * 1.9)
    assert count(talkers["b"], 3.06, 5.0) == 19


def test_who_can_save_nothing_cannot_come_back() -> None:
    cell = Simulation(QUICK)
    cell.enlist("a", lambda: Talker("b"))
    cell.enlist("b", lambda: Talker("a"))
    full = Step(fault=DiskFull(on="a"), at_s=1.0, for_s=2.0)
    stage(FaultPlan(0, (full, Step(fault=Kill(on="a"), at_s=1.5))), cell, {"a": "", "b": ""})
    cell.run(3.4)
    assert not cell.peer("a").runs
    cell.run(3.6)
    assert cell.peer("a").runs


@pytest.mark.parametrize(
    "fault",
    [
        LineOpen(line="2-3"),
        Islanding(microgrid="mg-1"),
        LoadStep(by_kw=5.0, on="load-*"),
        PvTrip(on="pv-3"),
    ],
)
def test_the_grid_is_hurt_for_a_while_and_is_as_before(fault: AnyFault) -> None:
    cell = Simulation(QUICK)
    village = make_village()
    profiles = {name: np.ones(12, np.float32) for name in ("home", "sun")}
    cell.enlist("grid", lambda: GridService(village, profiles, GridServiceSettings()))
    step = Step(fault=fault, at_s=1.0, for_s=2.0)
    stage(FaultPlan(0, (step,)), cell, {"grid": "grid"}, grid=village)
    cell.command("grid", 1, StateQuery(0, VIEW), 0.5)
    cell.command("grid", 2, StateQuery(0, VIEW), 2.0)
    cell.command("grid", 3, StateQuery(0, VIEW), 4.0)
    cell.run(5.0)
    shown = [cell.replies[number] for number in (1, 2, 3)]
    before, during, after = (s.reading for s in shown if isinstance(s, StateReport))
    assert during != before
    assert after == before
    assert cell.shim.hits["step 0"] > 0


def test_a_fault_that_the_grid_refuses_is_no_hit_and_says_why() -> None:
    cell = Simulation(QUICK)
    village = make_village()
    profiles = {name: np.ones(12, np.float32) for name in ("home", "sun")}
    cell.enlist("grid", lambda: GridService(village, profiles, GridServiceSettings()))
    step = Step(fault=LoadStep(by_kw=1e5, on="load-3"), at_s=1.0, for_s=2.0)
    stage(FaultPlan(0, (step,)), cell, {"grid": "grid"}, grid=village)
    cell.run(5.0)
    assert not cell.shim.hits["step 0"]
    assert "cannot carry this power" in cell.shim.refusals["step 0"]


@dataclass
class Watcher:
    """Asks the grid for a voltage each tenth of a second."""

    seen_pu: list[tuple[float, float]] = field(default_factory=list)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Received(message=StateReport(reading=Reading(voltages_pu=(float(v_pu),)))):
                self.seen_pu.append((now_s, v_pu))
                return []
            case Received():
                return []
            case _:
                return [Send("grid", StateQuery(0, View(buses=("3",)))), SetTimer("look", 0.1)]


def test_a_meter_is_off_for_a_while_for_those_whose_it_is_however_near_it_stands() -> None:
    cell = Simulation(QUICK, near=frozenset({"grid"}))
    village = make_village()
    profiles = {name: np.ones(12, np.float32) for name in ("home", "sun")}
    off, right = Watcher(), Watcher()
    settings = GridServiceSettings(peers=dict.fromkeys("ab", Access(sees_all=True)))
    cell.enlist("grid", lambda: GridService(village, profiles, settings))
    cell.enlist("a", lambda: off)
    cell.enlist("b", lambda: right)
    step = Step(fault=MeterNoise(sigma_pu=0.01, on="a"), at_s=1.05, for_s=2.0)
    roles = {"grid": "grid", "a": "watcher", "b": "watcher"}
    stage(FaultPlan(0, (step,)), cell, roles, grid=village)
    cell.run(5.0)
    ((_, true_pu), *_) = right.seen_pu
    assert {v_pu for _, v_pu in right.seen_pu} == {true_pu}
    wrong = [at_s for at_s, v_pu in off.seen_pu if v_pu != true_pu]
    assert cell.shim.hits["step 0"] == len(wrong) == 20
    assert 1.05 < min(wrong) < max(wrong) < 3.05


def test_what_a_rogue_says_again_is_heard_once() -> None:
    cell, talkers = staged(Replay(share=0.5, after_s=0.5, on="a"))
    again = cell.shim.hits["step 0"]
    assert 5 < again < 15
    assert cell.duplicated == again == sum(cell.accounts.dropped.values())
    assert set(cell.accounts.dropped) <= {"duplicate", "stale"}
    assert count(talkers["b"], 1.1, 3.1) == 20


def test_what_a_rogue_says_in_the_name_of_another_is_refused_by_the_key_of_its_link() -> None:
    cell, talkers = staged(Forge(share=1.0, name="c", on="a"))
    assert cell.duplicated == cell.shim.hits["step 0"] == 20
    assert cell.accounts.dropped == {"spoofed": 20}
    assert count(talkers["b"], 1.1, 3.1) == 20


def test_a_rogue_tells_another_price() -> None:
    def quote(event: Event) -> list[Action]:
        said = FrozenPrice(epoch=1, attempt=1, price_eur_per_kwh=(0.2,))
        return [] if isinstance(event, Received) else [Send("b", said), SetTimer("say", 0.1)]

    heard = Puppet()
    cell = Simulation(QUICK)
    cell.enlist("a", lambda: Puppet(quote))
    cell.enlist("b", lambda: heard)
    lie = Step(fault=Lie(price_eur_per_kwh=9.0, on="a"), at_s=1.05, for_s=2.0)
    stage(FaultPlan(0, (lie,)), cell, {"a": "", "b": ""})
    cell.run(5.0)
    told = [m.price_eur_per_kwh for m in heard.heard if isinstance(m, FrozenPrice)]
    assert told[10:33] == [(0.2,), *((9.0,) for _ in range(20)), (0.2,), (0.2,)]
    assert cell.shim.hits["step 0"] == 20


@pytest.mark.parametrize(
    "fault",
    [Loss(share=0.1, on="c"), Lie(price_eur_per_kwh=1.0, on="c"), LineOpen(line="line-1")],
)
def test_what_hits_nobody_or_cannot_be_done_is_an_error(fault: AnyFault) -> None:
    with pytest.raises(PeercellError):
        staged(fault)
