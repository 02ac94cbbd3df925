"""The host of real processes: roles in front, ZeroMQ behind, one thread, one turn after another.

A turn waits until something happens, gives the roles what arrived (at most 256 frames), then what
their timers say, and sends what they asked for, in frames of up to 64 messages. `Reactor.turn` says
it in that order; the rest of the class are its parts.
"""

import logging
import math
import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, assert_never

import zmq

from peercell.agents.errors import PeercellError
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    CancelTimer,
    Commanded,
    Event,
    Received,
    Record,
    Remember,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.broker.clock import Clock
from peercell.broker.faults.grid_faults import grid_request
from peercell.broker.faults.injector import Injector
from peercell.broker.faults.orders import Order
from peercell.broker.gate import Gate
from peercell.broker.host_status import HostCounts, Place, status_of, unaccounted
from peercell.broker.inbound import Inbound, Security
from peercell.broker.lateness import Lateness
from peercell.broker.operator_port import (
    Done,
    FaultEnd,
    FaultOrder,
    HostMessage,
    HostStatus,
    OperatorPort,
    Refusal,
    StatusQuery,
    StopHost,
    Stopping,
)
from peercell.broker.outbound import FAREWELL_MS, Address, Outbound
from peercell.broker.seat import Seat
from peercell.broker.signals import StopSignals
from peercell.broker.sockets import Socket, bind, check_private, make
from peercell.broker.timers import Timers
from peercell.broker.wire import FRAME_BYTES_MAX, Codec, Drop

REQUESTS_PER_TURN = 16
# s; so soon a timer must be due for the journal to wait for it.
SOON_S = 0.002
TIDY_S = 60.0
# The host's own timers; peers have names.
_TIDY, _FAULTS = ("", "tidy"), ("", "faults")

log = logging.getLogger(__name__)

Observer = Callable[[str, Message], None]
Quiet = SetTimer | CancelTimer | Remember | Record | Reply


class Doors(NamedTuple):
    """Where a host can be reached.

    Parameters
    ----------
    peers : endpoint for the traffic of other peers
    control : endpoint for operators
    listener : socket that listens at `peers` already, or None
    """

    peers: str
    control: str
    listener: socket.socket | None = None


class Reactor:
    """One process full of roles; usually one. To be closed, best by `with`.

    Parameters
    ----------
    doors : where to listen
    unions : of the messages that the roles hear
    clock : host time
    security : None for a cell without an operator: it listens on this machine only, unlocked

    Raises
    ------
    PeercellError : an endpoint is taken, names a host, or would be open to anybody.
    """

    def __init__(
        self,
        doors: Doors,
        unions: Sequence[object],
        clock: Clock,
        security: Security | None = None,
    ) -> None:
        self.lateness = Lateness()
        self._clock = clock
        self._started_s = clock()
        self._codec = Codec(*unions)
        self._context: zmq.Context[Socket] = zmq.Context()
        self._poller = zmq.Poller()
        try:
            self._inbound = Inbound(
                self._context, self._codec, (doors.peers, doors.listener), security
            )
            router = make(self._context, zmq.ROUTER)
            check_private(doors.control)
            self.control_endpoint = bind(router, doors.control)
            self.endpoint = self._inbound.endpoint
            self.unattributed = self._inbound.drops
        except PeercellError:
            self._context.destroy()
            raise
        answers = Codec(*unions, HostMessage, frame_bytes_max=FRAME_BYTES_MAX)
        self._control = OperatorPort(router, answers)
        for readable in (*self._inbound.sockets, router):
            self._poller.register(readable, zmq.POLLIN)
        keys = security.keys if security is not None else None
        self._outbound = Outbound(self._context, self._codec, self._poller, keys)
        self._injector = Injector(self._outbound, self._codec, self._command)
        self._put = self._injector.put
        # By how much the clock is wrong that roles see; timers run by the right one.
        self._ahead_s = 0.0
        self._places: dict[str, Place] = {}
        self._timers: Timers[tuple[str, str]] = Timers()
        self._timers.set(_TIDY, self._started_s + TIDY_S)
        self._watched: dict[int, Callable[[], None]] = {}
        self._observers: list[Observer] = []
        self._stop_reason: str | None = None

    @property
    def links(self) -> tuple[Inbound, Outbound]:
        """The ends of the links of this host, for whoever changes its keys."""
        return self._inbound, self._outbound

    @property
    def waiting(self) -> int:
        """Messages that roles have handed over and that have not left yet."""
        return self._outbound.waiting

    def __enter__(self) -> "Reactor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def seat(self, seat: Seat) -> None:
        """Take a role in and tell it that it runs."""
        self._places[seat.peer] = Place(seat, Gate(self._codec))
        self._suffer(self._clock())
        self._step(seat, Started(seat.remembered), self._clock() + self._ahead_s)
        for order in self._injector.orders:
            self._command(order, begins=True)

    def route(self, peer: str, endpoint: str, key: bytes = b"") -> None:
        """Learn where a peer listens, and the key of its links, where they have any."""
        self._outbound.route(peer, Address(endpoint, key), self._clock())

    def command(self, peer: str, request: Message) -> None:
        """Let a role hear a request of its own host."""
        self._step(self._places[peer].seat, Commanded(0, request), self._clock() + self._ahead_s)

    def observe(self, observer: Observer) -> None:
        """Call `observer(peer, fact)` for each fact that a role records from now on."""
        self._observers.append(observer)

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call `ready()` in each turn in which a file descriptor can be read."""
        self._watched[descriptor] = ready
        self._poller.register(descriptor, zmq.POLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Look after a file descriptor no more."""
        del self._watched[descriptor]
        self._poller.unregister(descriptor)

    def _call(self, descriptor: int) -> None:
        # One that was called before it may have ended the watch over this one.
        if (ready := self._watched.get(descriptor)) is not None:
            ready()

    def stop(self, reason: str) -> None:
        """End `run` after this turn."""
        self._stop_reason = reason

    def inject(self, order: Order) -> None:
        """Let something be wrong on purpose."""
        self._injector.take(order, self._clock())
        self._suffer(self._clock())

    def run(self) -> str:
        """Take turns until a signal, an operator or `stop` ends it; return the reason.

        Whatever a role raises ends it too.
        """
        with StopSignals() as signals:
            self.watch(signals.descriptor, lambda: self._signalled(signals))
            while self._stop_reason is None:
                self.turn(TIDY_S)
            self.unwatch(signals.descriptor)
        self._say_farewell(self._clock() + self._ahead_s)
        return self._stop_reason

    def turn(self, wait_s: float) -> None:
        """Wait at most so long for something to happen, and deal with it."""
        ready = self._poller.poll(self._patience_ms(wait_s))
        now_s = self._clock() + self._ahead_s
        for source, _ in ready:
            if source is self._inbound.pull:
                self._drain(now_s)
            elif source is self._inbound.knocks:
                self._inbound.answer(now_s)
            elif source is self._control.router:
                self._answer_operators(now_s)
            elif isinstance(source, int):
                self._call(source)
            else:
                self._outbound.writable(source, now_s)
        self._fire(self._clock())
        self._inbound.look(now_s)
        faulty = not self._injector.is_idle
        if faulty or self._outbound.has_news or not self._goes_on_by(now_s + SOON_S):
            for place in self._places.values():
                place.seat.flush()
        if faulty:
            self._injector.release(self._clock() + self._ahead_s)
            self._suffer(self._clock())
        self._outbound.flush(now_s)

    def close(self) -> None:
        """Give what was sent a moment to leave, close all files and sockets."""
        for place in self._places.values():
            place.seat.close(self._clock(), self._stop_reason or "failed")
        self._outbound.close()
        self._context.destroy(linger=FAREWELL_MS)

    def _say_farewell(self, now_s: float) -> None:
        for place in self._places.values():
            if (farewell := place.seat.farewell) is not None:
                self._step(place.seat, Commanded(0, farewell), now_s)
        self._outbound.flush(now_s)

    def _patience_ms(self, wait_s: float) -> int:
        """Return how long to poll: not past the next timer, and not short of it either."""
        wait_s = min(wait_s, self._inbound.patience_s)
        next_s = self._timers.next_s()
        if next_s is not None:
            wait_s = min(wait_s, next_s - self._clock())
        return max(0, math.ceil(1000 * wait_s))

    def _goes_on_by(self, time_s: float) -> bool:
        """Return whether a timer ends the wait for the next turn by a host time.

        A turn that only took something in may then be written with that one: as long as nothing has
        left, its loss would be that of what was not received yet.
        """
        next_s = self._timers.next_s()
        return next_s is not None and next_s <= time_s

    def _drain(self, now_s: float) -> None:
        """Give the roles what arrived, up to 256 frames; the poll said that there is one."""
        for frame, caller in self._inbound.frames(now_s):
            for envelope in self._codec.envelopes(frame, self.unattributed):
                place = self._places.get(envelope.dst)
                if place is None:
                    self.unattributed[Drop.MISROUTED] += 1
                    continue
                message = place.gate.admit(envelope, now_s, caller)
                if message is None:
                    continue
                if actions := place.seat.step(Received(envelope.src, message), now_s):
                    self._act(place.seat, actions, now_s)

    def _fire(self, now_s: float) -> None:
        """Tell the roles which of their timers have run out."""
        for (peer, name), due_s in self._timers.pop_due(now_s):
            if (peer, name) == _TIDY:
                self._outbound.tidy(now_s + self._ahead_s)
                if wrong := self._unaccounted():
                    log.error("%d messages of this host are unaccounted for", wrong)
                self._timers.set(_TIDY, now_s + TIDY_S)
            elif (peer, name) != _FAULTS:
                self.lateness.note(now_s - due_s)
                self._step(self._places[peer].seat, TimerFired(name), now_s + self._ahead_s)

    def _step(self, seat: Seat, event: Event, now_s: float) -> None:
        self._act(seat, seat.step(event, now_s), now_s)

    def _act(self, seat: Seat, actions: Sequence[Action], now_s: float) -> None:
        """Do what a role asks for; what is to be sent waits for the end of the turn."""
        for action in actions:
            # No case for a Send: these come by the dozen, and to match costs thrice.
            if not isinstance(action, Send):
                self._do(seat, action, now_s)
            elif seat.unsaved and action.message.binds and not seat.save():
                seat.withhold(action.to)
            else:
                self._put(seat.streams[action.to], action.message, now_s)

    def _do(self, seat: Seat, action: Quiet, now_s: float) -> None:
        """Do what a role asks for that is no message to a peer."""
        match action:
            case SetTimer():
                self._timers.set((seat.peer, action.name), now_s - self._ahead_s + action.after_s)
            case CancelTimer():
                self._timers.cancel((seat.peer, action.name))
            case Remember():
                seat.remember(action.name, action.what)
            case Record():
                for observer in self._observers:
                    observer(seat.peer, action.fact)
            case Reply(request_id=asked):
                tell = self._injector.answered if asked < 0 else self._control.answer
                tell(asked, action.answer)
            case _:
                assert_never(action)

    def _signalled(self, signals: StopSignals) -> None:
        if (name := signals.read()) is not None:
            self.stop(name)

    def _suffer(self, now_s: float) -> None:
        """Let faults begin and end; `now_s` is by the right clock."""
        injector = self._injector
        injector.expire(now_s)
        self._put = injector.put
        self._ahead_s = injector.ahead_s(now_s, self._places)
        injector.trouble(place.seat for place in self._places.values())
        if (next_s := injector.next_s(self._ahead_s)) is not None:
            self._timers.set(_FAULTS, next_s)

    def _answer_operators(self, now_s: float) -> None:
        for _ in range(REQUESTS_PER_TURN):
            asked = self._control.receive()
            if asked is None:
                return
            request_id, peer, request = asked
            place = self._places.get(peer)
            if isinstance(request, StopHost):
                self._control.answer(request_id, Stopping())
                self.stop("stopped by the operator")
            elif isinstance(request, FaultOrder):
                self.inject(request.order)
                self._control.answer(request_id, Done())
            elif isinstance(request, FaultEnd):
                self._injector.withdraw(request.id)
                self._suffer(self._clock())
                self._control.answer(request_id, Done())
            elif place is None:
                here = ", ".join(self._places)
                self._control.answer(request_id, Refusal(f"no {peer} here, only {here}"))
            elif isinstance(request, StatusQuery):
                self._control.answer(request_id, self._status(place, now_s))
            else:
                self._step(place.seat, Commanded(request_id, request), now_s)

    def _unaccounted(self) -> int:
        """Return by how many messages the books of this host do not balance."""
        return unaccounted(self._places.values(), self.waiting)

    def _status(self, place: Place, now_s: float) -> HostStatus:
        counts = HostCounts(
            uptime_s=now_s - self._started_s,
            waiting=self.waiting,
            links=len(self._outbound),
            unattributed=self.unattributed,
            faults=self._injector.hits,
            without_effect=self._injector.refusals,
            lateness=self.lateness,
        )
        return status_of(place, counts, self._unaccounted())

    def _command(self, order: Order, *, begins: bool) -> None:
        """Tell the grid service, where it is here, what a fault does to the grid."""
        request = grid_request(order, self._clock(), begins=begins)
        for peer in order.peers if request is not None else ():
            if request is not None and (place := self._places.get(peer)) is not None:
                asked = Commanded(self._injector.ask(order, begins=begins), request)
                self._step(place.seat, asked, self._clock() + self._ahead_s)
