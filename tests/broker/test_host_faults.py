"""What faults do to a host: to messages, clock and disk, until they take themselves back."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.broker.hosts_for_tests import ON_LOOPBACK, Puppet, host, settle
from tests.broker.messages_for_tests import Note

from peercell.agents.protocol import Action, Event, Send, SetTimer, Started, TimerFired
from peercell.broker.faults.aim import ALL_LINKS, Links, Side
from peercell.broker.faults.injector import Injector
from peercell.broker.faults.kinds import (
    AnyFault,
    Bandwidth,
    Clock,
    Corrupt,
    Delay,
    DiskFull,
    Duplicate,
    Forge,
    Loss,
    Partition,
    Reorder,
    Replay,
)
from peercell.broker.faults.orders import Order
from peercell.broker.gate import Heard
from peercell.broker.journal import Gap, Journal, Start, read
from peercell.broker.outbound import LIFETIME_S
from peercell.broker.reactor import Reactor
from peercell.broker.seat import Seat
from peercell.broker.status.balance import balance
from peercell.broker.wire import Drop

COUNT = 100
A_TO_B = Links(Side(frozenset("a")), Side(frozenset("b")), both=False)


class Pair:
    """Two hosts that know each other, of which a then says `COUNT` notes to b."""

    def __init__(self, ends: ExitStack, *orders: Order) -> None:
        self.a, self.b = Puppet(self._say), Puppet()
        self.at_b = ends.enter_context(host(("b", self.b)))
        self.at_a = ends.enter_context(host())
        self.at_a.route("b", self.at_b.endpoint)
        self.seat = Seat("a", self.a, 1, None)
        self.at_a.seat(self.seat)
        settle([self.at_a, self.at_b], lambda: len(self.b.heard) == 1)
        for order in orders:
            self.at_a.inject(order)
        settle([self.at_a], lambda: TimerFired("say") in self.a.told)

    @staticmethod
    def _say(event: Event) -> list[Action]:
        if isinstance(event, Started):
            return [Send("b", Note("here")), SetTimer("say", 0.03)]
        return [Send("b", Note(str(number))) for number in range(COUNT)]

    @property
    def heard(self) -> Heard:
        """What b has counted of a, but for the first word."""
        found = self.at_b._places["b"].gate.heard["a"]
        return structs.replace(found, earlier=1, applied=found.applied - 1)

    @property
    def refused(self) -> dict[Drop, int]:
        """What b has turned away."""
        return self.at_b._places["b"].gate.refused

    @property
    def numbers(self) -> list[int]:
        """What b has heard, in the order of its arrival."""
        return [int(note.text) for note in self.b.heard[1:] if isinstance(note, Note)]

    def settle(self, arrived: int) -> None:
        """Let both take turns until so many messages have arrived."""
        settle(
            [self.at_a, self.at_b],
            lambda: self.heard.applied + sum(self.refused.values()) == arrived,
        )
        assert self.at_a._unaccounted() == self.at_b._unaccounted() == 0


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def order(fault: AnyFault, links: Links = ALL_LINKS, until_s: float | None = None) -> Order:
    return Order(id="f1", fault=fault, seed=3, links=links, peers=("a",), until_s=until_s)


def test_what_is_lost_is_counted_and_the_rest_arrives(ends: ExitStack) -> None:
    pair = Pair(ends, order(Loss(share=0.3), A_TO_B))
    lost = pair.seat.unsent[Drop.FAULT]
    assert 15 < lost < 45
    pair.settle(COUNT - lost)
    assert pair.heard == Heard(1, 1, COUNT - lost + 1, COUNT - lost, 0, 0)
    assert pair.at_a._injector.hits == {"f1": lost}


def test_what_is_doubled_is_heard_once(ends: ExitStack) -> None:
    pair = Pair(ends, order(Duplicate(share=0.2)))
    doubled = pair.at_a._injector.hits["f1"]
    assert doubled > 5
    pair.settle(COUNT + doubled)
    assert sorted(pair.numbers) == list(range(COUNT))
    assert pair.refused == {Drop.DUPLICATE: doubled}


def test_what_is_held_back_is_overtaken_and_arrives(ends: ExitStack) -> None:
    pair = Pair(ends, order(Reorder(share=0.3, by_s=0.05)))
    pair.settle(COUNT)
    assert pair.numbers != sorted(pair.numbers)
    assert sorted(pair.numbers) == list(range(COUNT))
    assert pair.heard.missing == 0


def test_what_is_late_is_in_flight_meanwhile(ends: ExitStack) -> None:
    pair = Pair(ends, order(Delay(delay_s=0.2)))
    assert (pair.seat.sent, pair.at_a.waiting) == (COUNT + 1, 0)
    begun_s = pair.at_a._clock()
    pair.settle(COUNT)
    assert pair.at_a._clock() - begun_s > 0.15
    assert pair.numbers == list(range(COUNT))


def test_what_is_spoilt_is_refused_by_its_receiver(ends: ExitStack) -> None:
    pair = Pair(ends, order(Corrupt(share=0.2)))
    spoilt = pair.at_a._injector.hits["f1"]
    pair.settle(COUNT)
    assert pair.refused == {Drop.BAD_BODY: spoilt}
    assert pair.heard == Heard(1, 1, COUNT + 1, COUNT - spoilt, spoilt, 0)


def test_a_narrow_link_takes_its_time_and_loses_what_would_wait_too_long(ends: ExitStack) -> None:
    pair = Pair(ends, order(Bandwidth(bytes_per_s=5000.0, queue_s=0.1)))
    lost = pair.seat.unsent[Drop.FAULT]
    assert 0 < lost < COUNT
    pair.settle(COUNT - lost)
    assert pair.numbers == list(range(COUNT - lost))


def test_what_is_replayed_is_heard_once_and_what_is_forged_is_not_of_its_author(
    ends: ExitStack,
) -> None:
    pair = Pair(ends, order(Replay(share=0.2, after_s=0.02, on="a")))
    again = pair.at_a._injector.hits["f1"]
    assert again > 5
    pair.settle(COUNT + again)
    assert pair.refused.keys() <= {Drop.DUPLICATE, Drop.STALE}
    forger = Pair(ends, order(Forge(share=0.2, name="c", on="a")))
    forger.settle(COUNT)
    heard = forger.at_b._places["b"].gate.heard["c"]
    assert heard.applied == forger.at_a._injector.hits["f1"] > 5


def test_a_cut_is_one_way_when_it_is_aimed_so(ends: ExitStack) -> None:
    back = Links(Side(frozenset("b")), Side(frozenset("a")), both=False)
    pair = Pair(ends, order(Partition(on="b->a"), back))
    pair.settle(COUNT)
    cut = Pair(ends, order(Partition(on="a->b"), A_TO_B))
    assert cut.seat.unsent == {Drop.FAULT: COUNT}


def test_a_fault_takes_itself_back_and_nothing_stands_in_the_way_then(ends: ExitStack) -> None:
    pair = Pair(ends)
    now_s = pair.at_a._clock()
    pair.settle(COUNT)
    assert pair.at_a._put == pair.at_a._outbound.put
    pair.at_a.inject(order(Loss(share=1.0), until_s=now_s - 1.0))
    assert pair.at_a._put == pair.at_a._outbound.put
    pair.at_a.inject(order(Loss(share=1.0), until_s=pair.at_a._clock() + 0.1))
    assert pair.at_a._put != pair.at_a._outbound.put
    settle([pair.at_a], lambda: pair.at_a._put == pair.at_a._outbound.put)
    assert pair.at_a._injector.is_idle


@given(st.lists(st.sampled_from(["loss", "double", "late", "spoil", "narrow"]), unique=True))
def test_the_books_balance_whatever_is_wrong(kinds: list[str]) -> None:
    faults: dict[str, AnyFault] = {
        "loss": Loss(share=0.3),
        "double": Duplicate(share=0.3),
        "late": Delay(delay_s=0.002, jitter_s=0.002),
        "spoil": Corrupt(share=0.2),
        "narrow": Bandwidth(bytes_per_s=50_000.0, queue_s=0.02),
    }
    orders = [Order(id=each, fault=faults[each], seed=n) for n, each in enumerate(kinds)]
    with ExitStack() as ends:
        pair = Pair(ends, *orders)
        settle(
            [pair.at_a, pair.at_b],
            lambda: (
                "a" in pair.at_b._places["b"].gate.heard
                and pair.heard.top == pair.seat.sent
                and pair.at_a._injector.next_s(0.0) is None
            ),
        )
        assert pair.seat.handed == pair.seat.sent + pair.seat.unsent.total() == COUNT + 1
        heard = pair.heard
        assert pair.seat.sent == 1 + heard.applied + heard.refused + heard.missing
        assert pair.at_a._unaccounted() == pair.at_b._unaccounted() == 0


def test_a_wrong_clock_is_seen_by_roles_and_not_by_timers(ends: ExitStack) -> None:
    role = Puppet(lambda event: [SetTimer("tick", 0.05)] if isinstance(event, Started) else [])
    at_a: Reactor = ends.enter_context(host())
    at_a.inject(order(Clock(ahead_s=1000.0, drift_ppm=100.0)))
    begun_s = at_a._clock()
    at_a.seat(Seat("a", role, 1, None))
    settle([at_a], lambda: TimerFired("tick") in role.told)
    assert 0.04 < at_a._clock() - begun_s < 5.0
    assert 1000.0 < role.now_s - begun_s < 1005.0
    assert at_a._injector.hits == {"f1": 1}


def test_the_clock_of_another_peer_is_no_concern_of_a_host(ends: ExitStack) -> None:
    role = Puppet()
    at_b: Reactor = ends.enter_context(host())
    at_b.inject(order(Clock(ahead_s=1000.0)))
    at_b.seat(Seat("b", role, 1, None))
    assert role.now_s - at_b._clock() < 5.0
    assert at_b._injector.hits == {"f1": 0}


def test_what_was_held_until_it_was_worthless_is_counted_as_that(ends: ExitStack) -> None:
    pair = Pair(ends)
    pair.settle(COUNT)
    pair.at_a.inject(order(Delay(delay_s=LIFETIME_S + 1.0)))
    stream = pair.seat.streams["b"]
    for number in range(3):
        pair.at_a._put(stream, Note(str(number)), pair.at_a._clock())
    pair.at_a._injector.release(pair.at_a._clock() + LIFETIME_S + 2.0)
    pair.at_a._injector.withdraw("f1")
    status = {
        "a": pair.at_a._status(pair.at_a._places["a"], pair.at_a._clock()),
        "b": pair.at_b._status(pair.at_b._places["b"], pair.at_b._clock()),
    }
    found = balance(status, status, status)
    assert (found.dropped, found.in_flight, found.unaccounted) == ({"expired": 3}, 0, 0)


def test_a_full_disk_stops_the_record_and_not_the_peer(ends: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    start = Start(1, "a", 1, 0.0, "m:f", b"", 0)
    count = itertools.count()
    role = Puppet(lambda _: [SetTimer(f"t{next(count)}", 0.01)])
    at_a: Reactor = ends.enter_context(host())
    at_a.seat(Seat("a", role, 1, Journal(path, start)))
    settle([at_a], lambda: len(role.told) > 3)
    kept = len(list(read(path)))
    at_a.inject(order(DiskFull()))
    settle([at_a], lambda: len(role.told) > 10)
    journal = at_a._places["a"].seat.journal
    assert journal is not None
    assert "No space left" in journal.stopped
    assert kept <= len(list(read(path))) <= kept + 2
    assert at_a._injector.hits == {"f1": 1}
    at_a._injector.withdraw("f1")
    at_a._suffer(at_a._clock())
    settle([at_a], lambda: not journal.stopped)
    (gap,) = [entry for entry in read(path) if isinstance(entry, Gap)]
    assert gap.steps > 3


def test_an_idle_injector_is_not_in_the_way() -> None:
    with host(doors=ON_LOOPBACK) as at_a:
        assert at_a._put == at_a._outbound.put
        idle = Injector(at_a._outbound, at_a._codec, at_a._command)
        assert idle.put == at_a._outbound.put
