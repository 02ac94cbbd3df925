"""The in-process loop: virtual time, faults by chance but repeatable, and nothing lost unseen."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    CancelTimer,
    Event,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.broker.loop import LinkFaults, Loop


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


def pair(faults: LinkFaults, seed: int = 0) -> tuple[Loop, Counter, Counter]:
    loop = Loop(faults, seed)
    one, other = Counter("b"), Counter("a")
    loop.start("a", one)
    loop.start("b", other)
    return loop, one, other


def test_messages_arrive_after_their_delay() -> None:
    loop, _, other = pair(LinkFaults(delay_s_min=0.25, delay_s_max=0.25))
    loop.run(3.5)
    assert other.heard == [(1.25, 1), (2.25, 2), (3.25, 3)]
    assert loop.now_s == 3.25


def test_a_spread_of_delays_changes_the_order() -> None:
    loop, _, other = pair(LinkFaults(delay_s_min=0.0, delay_s_max=5.0))
    loop.run(50.0)
    numbers = [number for _, number in other.heard]
    assert sorted(numbers) != numbers
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("drop", "low", "high"), [(0.0, 200, 200), (0.3, 110, 170), (1.0, 0, 0)])
def test_a_share_of_the_messages_is_lost(drop: float, low: int, high: int) -> None:
    loop, _, other = pair(LinkFaults(drop=drop))
    loop.run(200.9)
    assert low <= len(other.heard) <= high


def test_a_message_may_arrive_twice() -> None:
    loop, _, other = pair(LinkFaults(duplicate=1.0))
    loop.run(2.6)
    assert [number for _, number in other.heard] == [1, 1, 2, 2]


def test_a_crash_loses_what_is_under_way_and_all_timers() -> None:
    loop, one, other = pair(LinkFaults())
    loop.crash("b", 2.2)
    loop.run(5.9)
    assert [number for _, number in other.heard] == [1]
    assert [number for _, number in one.heard] == [1, 2]
    assert loop.counts["lost"] == 4


def test_a_restart_is_a_new_life() -> None:
    loop, _, other = pair(LinkFaults())
    again = Counter("a")
    loop.crash("b", 2.2)
    loop.start("b", again, 4.2)
    loop.run(6.0)
    assert [number for _, number in other.heard] == [1]
    assert [number for _, number in again.heard] == [4, 5]


def test_a_partition_cuts_both_ways_for_its_time() -> None:
    loop, one, other = pair(LinkFaults())
    loop.partition({"a"}, 1.9, 3.9)
    loop.run(6.0)
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

    loop, alarm = Loop(), Alarm()
    loop.start("x", alarm)
    loop.run(5.0)
    assert alarm.fired == [2.0]


def test_facts_are_kept_by_kind() -> None:
    loop, _, _ = pair(LinkFaults())
    loop.run(1.6)
    assert loop.facts_of(Note) == [(1.5, "b", Note(1)), (1.5, "a", Note(1))]
    assert loop.sent_by_kind == {"Note": 2}


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 4), st.integers(0, 99), st.floats(0.0, 9.0))
def test_every_message_is_accounted_for(
    drop: float, duplicate: float, delay: float, seed: int, down_s: float
) -> None:
    loop, _, _ = pair(LinkFaults(drop, duplicate, 0.0, delay), seed)
    loop.crash("b", down_s)
    loop.run(10.0)
    in_flight = loop.in_flight
    assert in_flight >= 0
    counts = loop.counts
    assert counts["sent"] + counts["duplicated"] == (
        counts["delivered"] + counts["dropped"] + counts["lost"] + in_flight
    )


def test_equal_seeds_give_equal_runs() -> None:
    faults = LinkFaults(drop=0.3, duplicate=0.2, delay_s_max=3.0)
    runs = []
    for seed in (1, 1, 2):
        loop, _, other = pair(faults, seed)
        loop.run(30.0)
        runs.append(other.heard)
    assert runs[0] == runs[1] != runs[2]
