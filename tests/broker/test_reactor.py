"""The reactor: what reaches a role, in which order, and that nothing is lost uncounted."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from tests.broker.hosts_for_tests import ON_LOOPBACK, Puppet, host, settle
from tests.broker.messages_for_tests import AnyTestMessage, Note, Quote

from peercell.agents.errors import PeercellError
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
from peercell.broker import inbound, outbound, reactor, sockets
from peercell.broker.clock import steady_clock
from peercell.broker.journal import Journal, Start, Step, Stop, read
from peercell.broker.operator_port import (
    HostMessage,
    HostStatus,
    StopHost,
    Stopping,
    ask,
)
from peercell.broker.reactor import Doors, Reactor
from peercell.broker.seat import Seat
from peercell.broker.sockets import LOOPBACK, endpoint_of, listen
from peercell.broker.wire import VERSION, Codec, Drop, Envelope, Outgoing

CODEC = Codec(AnyTestMessage)
ON_CONTROL = Codec(AnyTestMessage, HostMessage)


@pytest.fixture
def push() -> Iterator[zmq.Socket[bytes]]:
    """A socket of somebody who is no host."""
    with zmq.Context() as context, sockets.make(context, zmq.PUSH) as push:
        yield push


def said(message: Message, seq: int, dst: str = "b") -> Outgoing:
    return Envelope(VERSION, CODEC.names[type(message)], "x", dst, 1, seq, 1e11, message)


def on_start(*actions: Action) -> Puppet:
    return Puppet(lambda event: list(actions) if isinstance(event, Started) else [])


def status(of: Reactor, peer: str) -> HostStatus:
    """Return what a host says of a peer, without asking over a socket."""
    return of._status(of._places[peer], of._clock())


def test_a_message_reaches_the_role_of_another_host() -> None:
    a, b = on_start(Send("b", Note("hello"))), Puppet()
    with host(("b", b)) as at_b, host() as at_a:
        at_a.route("b", at_b.endpoint)
        at_a.seat(Seat("a", a, 1, None))
        settle([at_a, at_b], lambda: len(b.told) == 2)
    assert b.told == [Started(), Received("a", Note("hello"))]


def test_peers_of_one_host_talk_like_all_others() -> None:
    a, b = on_start(Send("b", Note("hello"))), Puppet()
    with host(("b", b)) as both:
        for peer in "ab":
            both.route(peer, both.endpoint)
        both.seat(Seat("a", a, 1, None))
        settle([both], lambda: b.heard == [Note("hello")])


def test_a_message_without_a_known_way_is_counted() -> None:
    with host(("a", on_start(Send("b", Note("hello"))))) as at_a:
        assert status(at_a, "a").unsent == {"no-route": 1}


def test_everything_said_is_applied_or_counted_when_links_are_full() -> None:
    """Handed = sent + unsent + waiting, and sent = applied + refused, with every kind of loss."""
    burst = [Send("b", Note("x" * 70_000))]
    burst += [Send("b", Quote("m", float(n))) for n in range(300)]
    burst += [Send("b", Note("x" * 500, n)) for n in range(1200)]
    burst += [Send("c", Note("nowhere"))]
    a, b = on_start(*burst), Puppet()
    with host(("b", b)) as at_b, host() as at_a:
        at_a.route("b", at_b.endpoint)
        at_a.seat(Seat("a", a, 1, None))
        seat = at_a._places["a"].seat
        for _ in range(20):
            at_a.turn(0.01)
            assert seat.handed == seat.sent + seat.unsent.total() + at_a.waiting
        settle([at_a, at_b], lambda: at_a.waiting == 0)
        settle([at_b], lambda: len(b.heard) == seat.sent)
        assert seat.handed == len(burst)
        assert seat.unsent == {
            Drop.SUPERSEDED: 299,
            Drop.OUTBOX_FULL: 2 + 1200 - 1024,
            Drop.TOO_BIG: 1,
            Drop.NO_ROUTE: 1,
        }
        arrived = at_b._places["b"].gate
        assert (arrived.applied, arrived.refused.total()) == (seat.sent, 0)
        assert arrived.missing == 0


def test_what_is_hostile_is_counted_and_ends_nothing(push: zmq.Socket[bytes]) -> None:
    b = Puppet()
    with host(("b", b)) as at_b:
        push.connect(at_b.endpoint)
        assert push.poll(5000, zmq.POLLOUT)
        push.send(b"\xff" * 100)
        push.send(CODEC.frame([said(Note("for another"), 1, dst="c")]))
        push.send(CODEC.frame([said(Note("good"), 1), said(Note("good"), 1)]))
        push.send(b"")
        push.send(CODEC.frame([said(Note("last"), 2)]))
        settle([at_b], lambda: len(b.heard) == 2)
        assert b.heard == [Note("good"), Note("last")]
        assert status(at_b, "b").unattributed == {"bad-frame": 2, "misrouted": 1}
        assert status(at_b, "b").refused == {"duplicate": 1}


def test_a_turn_takes_so_many_frames_and_then_the_timers(
    push: zmq.Socket[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much arrives, a timer waits for one turn at most."""
    assert inbound.FRAMES_PER_TURN == 256
    monkeypatch.setattr(inbound, "FRAMES_PER_TURN", 16)
    b = on_start(SetTimer("round", 0.0))
    with host() as at_b:
        push.connect(at_b.endpoint)
        assert push.poll(5000, zmq.POLLOUT)
        for number in range(64):
            push.send(CODEC.frame([said(Note("", number), number + 1)]))
        at_b.seat(Seat("b", b, 1, None))
        while len(b.heard) < 64:
            before = len(b.heard)
            at_b.turn(5.0)
            assert len(b.heard) - before <= 16
            assert TimerFired("round") in b.told


def test_a_timer_of_no_delay_fires_once_a_turn() -> None:
    def set_again(event: Event) -> list[Action]:
        return [SetTimer("again", 0.0)]

    again = Puppet(set_again)
    with host(("a", again)) as at_a:
        for turns in range(1, 4):
            at_a.turn(1.0)
            assert again.told == [Started()] + [TimerFired("again")] * turns


def test_timers_are_named_replaced_and_cancelled() -> None:
    a = on_start(
        SetTimer("late", 0.02),
        SetTimer("early", 0.01),
        SetTimer("never", 0.0),
        SetTimer("moved", 0.0),
        SetTimer("moved", 0.03),
        CancelTimer("never"),
    )
    with host(("a", a)) as at_a:
        settle([at_a], lambda: len(a.told) == 4)
    assert a.told[1:] == [TimerFired("early"), TimerFired("late"), TimerFired("moved")]


def test_the_lateness_of_timers_is_known() -> None:
    a = on_start(SetTimer("round", 0.01))
    with host(("a", a)) as at_a:
        time.sleep(0.06)
        at_a.turn(1.0)
        known = status(at_a, "a")
    assert known.timers == 1
    assert 0.05 <= known.late_max_s <= 5.0
    assert known.late_p50_s == known.late_max_s


def test_an_absent_peer_hears_the_newest_price_and_every_note() -> None:
    talk: list[Action] = [Send("b", Quote("m", float(n))) for n in range(100)]
    a, b = on_start(*talk, Send("b", Note("kept")), *talk), Puppet()
    with listen() as place, host() as at_a:
        at_a.route("b", endpoint_of(place))
        at_a.seat(Seat("a", a, 1, None))
        for _ in range(5):
            at_a.turn(0.01)
        assert status(at_a, "a").sent == 0
        with host(("b", b), doors=Doors(endpoint_of(place), LOOPBACK, place.dup())) as at_b:
            settle([at_a, at_b], lambda: len(b.heard) == 2)
    assert b.heard == [Note("kept"), Quote("m", 99.0)]


def test_a_peer_that_restarts_elsewhere_gets_what_waited_for_it() -> None:
    b = Puppet()
    with listen() as nowhere, host() as at_a, host(("b", b)) as at_b:
        at_a.route("b", endpoint_of(nowhere))
        at_a.seat(Seat("a", on_start(Send("b", Note("follow me"))), 1, None))
        at_a.turn(0.01)
        at_a.route("b", at_b.endpoint)
        settle([at_a, at_b], lambda: b.heard == [Note("follow me")])


def test_an_idle_link_is_closed_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "IDLE_S", 0.0)
    a = Puppet(lambda event: [Send("b", Note("hello"))] if isinstance(event, TimerFired) else [])
    b = Puppet()
    with host(("b", b)) as at_b, host(("a", a)) as at_a:
        at_a.route("b", at_b.endpoint)
        for count in (1, 2):
            at_a._timers.set(("a", "speak"), 0.0)
            settle([at_a, at_b], lambda: len(b.heard) >= count)  # noqa: B023 - called at once
            assert status(at_a, "a").links == 1
            at_a._outbound.tidy(at_a._clock() + 1.0)
            assert status(at_a, "a").links == 0


def test_more_links_than_allowed_close_the_least_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "LINKS_MAX", 2)
    with listen() as p, listen() as q, listen() as r, host() as at_a:
        for peer, place in zip("pqr", (p, q, r), strict=True):
            at_a.route(peer, endpoint_of(place))
        at_a.seat(Seat("a", on_start(*(Send(peer, Note("")) for peer in "pqr")), 1, None))
        assert status(at_a, "a").links == 2
        assert status(at_a, "a").unsent == {"closed": 1}


def test_a_host_name_as_a_route_is_refused() -> None:
    with host() as at_a, pytest.raises(PeercellError, match="no numeric endpoint"):
        at_a.route("b", "tcp://localhost:5555")


def test_observers_hear_the_facts() -> None:
    facts: list[tuple[str, Message]] = []
    with host() as at_a:
        at_a.observe(lambda peer, fact: facts.append((peer, fact)))
        at_a.seat(Seat("a", on_start(Record(Note("fact"))), 1, None))
    assert facts == [("a", Note("fact"))]


def test_a_watched_descriptor_wakes_the_host() -> None:
    reader, writer = os.pipe()
    woken: list[bytes] = []
    with host() as at_a:
        at_a.watch(reader, lambda: woken.append(os.read(reader, 1)))
        os.write(writer, b"x")
        at_a.turn(5.0)
    os.close(reader)
    os.close(writer)
    assert woken == [b"x"]


def test_an_operator_ends_a_run() -> None:
    running = Reactor(ON_LOOPBACK, (AnyTestMessage,), steady_clock())
    answers: list[Message] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            ask(running.control_endpoint, "a", StopHost(), ON_CONTROL, 5.0)
        )
    )
    thread.start()
    with running:
        assert running.run() == "stopped by the operator"
    thread.join()
    assert answers == [Stopping()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_at_once(number: signal.Signals) -> None:
    """ZeroMQ's poll would go on for its full minute after the handler."""
    running = Reactor(ON_LOOPBACK, (AnyTestMessage,), steady_clock())
    handler_before = signal.getsignal(number)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.start()
    before_s = time.monotonic()
    with running:
        assert running.run() == number.name
    assert time.monotonic() - before_s < 5.0
    timer.join()
    assert signal.getsignal(number) is handler_before


def test_the_last_words_of_a_host_leave_it() -> None:
    b = Puppet()
    with host(("b", b)) as at_b:
        with host() as at_a:
            at_a.route("b", at_b.endpoint)
            at_a.seat(Seat("a", on_start(Send("b", Note("farewell"))), 1, None))
            settle([at_a], lambda: status(at_a, "a").sent == 1)
        settle([at_b], lambda: b.heard == [Note("farewell")])


START = Start(1, "a", 1, 1000.0, "tests:Puppet", b"", 0)


def test_a_run_is_in_the_journal_before_its_words_leave(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with host() as at_a:
        at_a.seat(Seat("a", on_start(SetTimer("round", 0.0)), 1, Journal(path, START)))
        at_a.turn(1.0)
        assert sum(isinstance(entry, Step) for entry in read(path)) == 2
        at_a.stop("done")
    assert isinstance(last := list(read(path))[-1], Stop)
    assert last.why == "done"


def test_what_nobody_has_heard_of_is_written_with_the_turn_that_follows_at_once(
    tmp_path: Path,
) -> None:
    def reply(event: Event) -> list[Action]:
        match event:
            case Started():
                return [SetTimer("soon", 0.0005)]
            case TimerFired("soon"):
                return [SetTimer("at once", reactor.SOON_S / 2)]
            case _:
                return []

    path, puppet = tmp_path / "a.journal", Puppet(reply)
    with host() as at_a:
        at_a.seat(Seat("a", puppet, 1, Journal(path, START)))
        while len(puppet.told) < 2:
            at_a.turn(1.0)
        assert not any(isinstance(entry, Step) for entry in read(path))
        while len(puppet.told) < 3:
            at_a.turn(1.0)
        assert sum(isinstance(entry, Step) for entry in read(path)) == 3


def test_a_role_that_fails_ends_the_run_with_the_event_in_its_journal(tmp_path: Path) -> None:
    def fail(event: Event) -> list[Action]:
        if isinstance(event, TimerFired):
            raise ZeroDivisionError
        return [SetTimer("round", 0.0)]

    path = tmp_path / "a.journal"
    running = Reactor(ON_LOOPBACK, (AnyTestMessage,), steady_clock())
    running.seat(Seat("a", Puppet(fail), 1, Journal(path, START)))
    with running, pytest.raises(ZeroDivisionError):
        running.run()
    *_, step, stop = read(path)
    assert isinstance(step, Step)
    assert (bytes(step.actions), isinstance(stop, Stop)) == (b"\xc0", True)


def test_a_place_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    with listen() as taken, pytest.raises(PeercellError, match="cannot listen at"):
        Reactor(Doors(endpoint_of(taken), LOOPBACK), (AnyTestMessage,), steady_clock())
