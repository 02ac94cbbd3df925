"""Simulation: virtual time, faults by chance but repeatable, and nothing lost unseen."""

import gc
import weakref
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.errors import PeercellError
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    CancelTimer,
    Commanded,
    Event,
    Received,
    Record,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.broker.faults.kinds import Failpoint
from peercell.broker.faults.network import LinkFaults
from peercell.broker.faults.staging import cut
from peercell.broker.simulated_peer import INBOX_MAX
from peercell.broker.simulation import Simulation


class Note(Message, frozen=True):
    """A number that is passed on."""

    number: int


@dataclass
class Counter:
    """Sends a note to a peer each second and records what it hears."""

    peer: str
    heard: list[tuple[float, int]] = field(default_factory=list)
    sent: int = 0

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started():
                return [SetTimer("tick", 1.0)]
            case TimerFired():
                self.sent += 1
                return [Send(self.peer, Note(self.sent)), SetTimer("tick", 1.0)]
            case Received(message=Note() as note):
                self.heard.append((now_s, note.number))
                return [Record(note)]
            case _:
                return []


def pair(faults: LinkFaults, seed: int = 0) -> tuple[Simulation, Counter, Counter]:
    simulation = Simulation(faults, seed)
    one, other = Counter("b"), Counter("a")
    simulation.start("a", one)
    simulation.start("b", other)
    return simulation, one, other


def test_messages_arrive_after_their_delay() -> None:
    simulation, _, other = pair(LinkFaults(delay_s_min=0.25, delay_s_max=0.25))
    simulation.run(3.5)
    assert other.heard == [(1.25, 1), (2.25, 2), (3.25, 3)]
    assert simulation.now_s == 3.25


def test_a_spread_of_delays_changes_the_order() -> None:
    simulation, _, other = pair(LinkFaults(delay_s_min=0.0, delay_s_max=5.0))
    simulation.run(50.0)
    numbers = [number for _, number in other.heard]
    assert sorted(numbers) != numbers
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("drop", "low", "high"), [(0.0, 200, 200), (0.3, 110, 170), (1.0, 0, 0)])
def test_a_share_of_the_messages_is_lost(drop: float, low: int, high: int) -> None:
    simulation, _, other = pair(LinkFaults(drop=drop))
    simulation.run(200.9)
    assert low <= len(other.heard) <= high


def test_a_message_that_arrives_twice_is_heard_once() -> None:
    simulation, _, other = pair(LinkFaults(duplicate=1.0))
    simulation.run(2.6)
    assert [number for _, number in other.heard] == [1, 2]
    assert simulation.duplicated == 4
    assert simulation.accounts.dropped == {"duplicate": 4}


def test_a_crash_loses_what_is_under_way_and_all_timers() -> None:
    simulation, one, other = pair(LinkFaults())
    simulation.crash("b", 2.2)
    simulation.run(5.9)
    assert [number for _, number in other.heard] == [1]
    assert [number for _, number in one.heard] == [1, 2]
    assert simulation.accounts.dropped == {"down": 4}


def test_a_restart_is_a_new_life() -> None:
    simulation, _, other = pair(LinkFaults())
    again = Counter("a")
    simulation.crash("b", 2.2)
    simulation.start("b", again, 4.2)
    simulation.run(6.0)
    assert [number for _, number in other.heard] == [1]
    assert [number for _, number in again.heard] == [4, 5]


def test_a_partition_cuts_both_ways_for_its_time() -> None:
    simulation, one, other = pair(LinkFaults())
    cut(simulation, {"a"}, 1.9, 3.9)
    simulation.run(6.0)
    for side in (one, other):
        assert [number for _, number in side.heard] == [1, 4, 5]


def test_a_timer_that_is_set_again_or_cancelled_does_not_fire() -> None:
    class Alarm:
        def __init__(self) -> None:
            self.fired: list[float] = []

        def step(self, event: Event, now_s: float) -> list[Action]:
            match event:
                case Started():
                    again = [SetTimer("a", 1.0), SetTimer("a", 2.0)]
                    return [*again, SetTimer("b", 1.0), CancelTimer("b")]
                case TimerFired():
                    self.fired.append(now_s)
            return []

    simulation, alarm = Simulation(), Alarm()
    simulation.start("x", alarm)
    simulation.run(5.0)
    assert alarm.fired == [2.0]


def test_facts_are_kept_by_kind() -> None:
    simulation, _, _ = pair(LinkFaults())
    simulation.run(1.6)
    assert simulation.facts_of(Note) == [(1.5, "a", Note(1)), (1.5, "b", Note(1))]
    assert simulation.sent_by_kind == {"Note": 2}


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 4), st.integers(0, 99), st.floats(0.0, 9.0))
def test_every_message_is_accounted_for(
    drop: float, duplicate: float, delay: float, seed: int, down_s: float
) -> None:
    simulation, _, _ = pair(LinkFaults(drop, duplicate, 0.0, delay), seed)
    simulation.crash("b", down_s)
    simulation.run(10.0)
    assert simulation.in_flight >= 0
    assert simulation.accounts.unaccounted == 0


def test_equal_seeds_give_equal_runs() -> None:
    faults = LinkFaults(drop=0.3, duplicate=0.2, delay_s_max=3.0)
    runs = []
    for seed in (1, 1, 2):
        simulation, _, other = pair(faults, seed)
        simulation.run(30.0)
        runs.append((simulation.trace_hash, other.heard))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]
    assert runs[0][1] != runs[2][1]


def test_what_waits_for_a_paused_peer_comes_when_it_goes_on() -> None:
    simulation, one, other = pair(LinkFaults())
    simulation.at(1.9, lambda: simulation.pace("b", paused=True))
    simulation.at(4.2, lambda: simulation.pace("b"))
    simulation.run(6.0)
    assert other.heard == [(1.5, 1), (4.2, 2), (4.2, 3), (4.5, 4), (5.5, 5)]
    # Of its own timers one ran out meanwhile; a peer that stood still has missed the others.
    assert [at_s for at_s, _ in one.heard] == [1.5, 4.7, 5.7]
    assert simulation.accounts.unaccounted == 0


@dataclass
class Hundredfold:
    """Says a hundred things whenever it is asked to."""

    peer: str

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        del now_s
        count = 100 if isinstance(event, Commanded) else 0
        return [Send(self.peer, Note(number)) for number in range(count)]


def test_what_waits_for_a_paused_peer_is_bounded_and_gets_too_old() -> None:
    simulation, other = Simulation(), Counter("a")
    simulation.start("b", other)
    simulation.start("a", Hundredfold("b"))
    for second in range(60):
        simulation.command("a", second, Note(0), float(second))
    simulation.at(1.0, lambda: simulation.pace("b", paused=True))
    simulation.at(60.0, lambda: simulation.pace("b"))
    simulation.run(60.0)
    dropped = simulation.accounts.dropped
    # Of what there is room for, one is a timer of its own.
    assert dropped["outbox-full"] == 59 * 100 - (INBOX_MAX - 1)
    # Half a minute later a message is of no use any more.
    assert dropped["expired"] == 29 * 100
    assert len(other.heard) == 100 + INBOX_MAX - 1 - 29 * 100
    assert simulation.accounts.unaccounted == 0


def test_a_slow_peer_hears_later_but_hears_all() -> None:
    simulation, _, other = pair(LinkFaults(delay_s_min=0.05, delay_s_max=0.05))
    simulation.at(0.5, lambda: simulation.pace("b", 0.1))
    simulation.run(5.0)
    assert [number for _, number in other.heard] == [1, 2, 3, 4]
    assert [round(at_s, 3) for at_s, _ in other.heard] == [1.1, 2.1, 3.1, 4.1]


@pytest.mark.parametrize(
    ("point", "heard", "recorded"),
    [
        (Failpoint.BEFORE_SEND, [2, 3], 3),
        (Failpoint.AFTER_SEND, [1, 2, 3], 3),
        (Failpoint.BEFORE_RECORD, [1, 2, 3], 2),
        (Failpoint.AFTER_RECORD, [1, 2, 3], 3),
    ],
)
def test_a_peer_ends_at_a_named_point_of_its_work(
    point: Failpoint, heard: list[int], recorded: int
) -> None:
    simulation = Simulation()
    lives: list[Counter] = []

    def make() -> Role:
        lives.append(Counter("b", sent=len(lives)))
        return lives[-1]

    other = Counter("a")
    simulation.enlist("a", make)
    simulation.start("b", other)
    simulation.at(0.5, simulation.peer("a").arm, point, 0.4)
    simulation.run(4.4)
    assert len(lives) == 2
    assert [number for _, number in other.heard] == heard
    assert sum(name == "a" for _, name, _ in simulation.facts_of(Note)) == recorded
    assert simulation.accounts.unaccounted == 0


def test_a_peer_whose_disk_is_full_starts_when_there_is_room() -> None:
    simulation = Simulation()
    simulation.enlist("a", lambda: Counter("b"))
    simulation.start("b", other := Counter("a"))
    simulation.peer("a").disk_full = True
    simulation.at(2.5, lambda: setattr(simulation.peer("a"), "disk_full", False))
    simulation.run(5.0)
    assert [at_s for at_s, _ in other.heard] == [4.5]


def test_nobody_can_restart_what_nobody_can_make() -> None:
    simulation, _, _ = pair(LinkFaults())
    with pytest.raises(PeercellError, match="cannot be restarted"):
        simulation.restart("a", 1.0)


def test_it_is_a_mesa_model() -> None:
    simulation, _, _ = pair(LinkFaults())
    for _ in range(3):
        simulation.step()
    assert sorted(peer.name for peer in simulation.agents) == ["a", "b"]
    frame = simulation.datacollector.get_model_vars_dataframe()
    assert list(frame["sent"]) == [2, 4, 6]
    assert list(frame["applied"]) == [0, 2, 4]


def test_a_simulation_that_is_over_leaves_no_memory_behind() -> None:
    simulation, _, _ = pair(LinkFaults())
    simulation.run(3.0)
    gone = weakref.ref(simulation)
    del simulation
    gc.collect()
    assert gone() is None
