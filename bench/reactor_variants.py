"""The hosts that bench/reactor.py compares, and the roles that they run."""

import asyncio
import contextlib
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import zmq
import zmq.asyncio
from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Received, Send, SetTimer, Started, TimerFired
from peercell.broker.clock import steady_clock
from peercell.broker.gate import Gate
from peercell.broker.inbound import Security
from peercell.broker.journal import FORMAT, Journal, Start
from peercell.broker.outbox import WAITING_MAX, Outbox
from peercell.broker.reactor import Doors, Reactor
from peercell.broker.seat import Seat
from peercell.broker.sockets import LOOPBACK, bind, endpoint_of
from peercell.broker.wire import VERSION, Codec

PER_TURN = 32
CURVE = (0.21, 0.25, 0.32, 0.35, 0.41, 0.55)
Price = Annotated[float, Meta(ge=-1e6, le=1e6)]


class Offer(Message, frozen=True):
    """A price curve of a few points, as traders exchange it."""

    market: Annotated[str, Meta(max_length=64)]
    curve: Annotated[tuple[Price, ...], Meta(max_length=256)]
    number: Annotated[int, Meta(ge=0, le=2**53)]


class MappedOffer(Struct, frozen=True, tag=True):
    """The same as msgspec writes it by itself: a map with the names of its fields."""

    market: Annotated[str, Meta(max_length=64)]
    curve: Annotated[tuple[Price, ...], Meta(max_length=256)]
    number: Annotated[int, Meta(ge=0, le=2**53)]


def offer(number: int) -> Offer:
    return Offer("mg2.market", CURVE, number)


def mapped_offer(number: int) -> MappedOffer:
    return MappedOffer("mg2.market", CURVE, number)


class Flood:
    """Sends so many offers to b, 32 a turn, as long as they can leave."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.has_room: Callable[[], bool] = lambda: True

    def step(self, _event: Event, _now_s: float) -> list[Action]:
        """See Role.step."""
        if self.left <= 0:
            return []
        if not self.has_room():
            return [SetTimer("go", 0.001)]
        numbers = range(self.left, max(0, self.left - PER_TURN), -1)
        self.left -= len(numbers)
        sent: list[Action] = [Send("b", offer(number)) for number in numbers]
        sent.append(SetTimer("go", 0.0))
        return sent


class Sink:
    """Counts what it hears, and notes when the first and the last one came."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.first_s = 0.0
        self.last_s = 0.0

    def step(self, event: Event, _now_s: float) -> list[Action]:
        """See Role.step."""
        if isinstance(event, Received):
            self.left -= 1
            if not self.first_s or not self.left:
                self.note()
        return []

    def note(self) -> None:
        """Note the time of the first message, or of the last."""
        self.last_s = time.perf_counter()
        self.first_s = self.first_s or self.last_s


class Ping:
    """Sends an offer, waits for it to come back, and so on."""

    def __init__(self, to: str, count: int) -> None:
        self.to = to
        self.left = count
        self.trips_s: list[float] = []
        self.sent_s = 0.0

    def step(self, event: Event, _now_s: float) -> list[Action]:
        """See Role.step."""
        now = time.perf_counter()
        if isinstance(event, Received):
            self.trips_s.append(now - self.sent_s)
            self.left -= 1
        elif not isinstance(event, Started):
            return []
        if self.left <= 0:
            return []
        self.sent_s = now
        return [Send(self.to, offer(self.left))]


class Echo:
    """Sends back what it hears."""

    def __init__(self, count: int) -> None:
        self.left = count

    def step(self, event: Event, _now_s: float) -> list[Action]:
        """See Role.step."""
        if not isinstance(event, Received):
            return []
        self.left -= 1
        return [Send(event.sender, event.message)]


BenchRole = Flood | Sink | Ping | Echo


class Place(NamedTuple):
    """Who a process is, where it listens, and where the others do."""

    peer: str
    listener: socket.socket
    others: dict[str, str]


class Locks(NamedTuple):
    """Keys of a process, who belongs to the cell, and the keys of the links of all."""

    security: Security
    keys: dict[str, bytes]


def in_reactor(
    role: BenchRole, place: Place, journal: Journal | None = None, locks: Locks | None = None
) -> None:
    """Host a role as peercell does, until it has nothing left to do."""
    doors = Doors(endpoint_of(place.listener), LOOPBACK, place.listener)
    security = locks.security if locks is not None else None
    with Reactor(doors, (Offer,), steady_clock(), security) as reactor:
        for peer, endpoint in place.others.items():
            reactor.route(peer, endpoint, locks.keys[peer] if locks is not None else b"")
        if isinstance(role, Flood):
            role.has_room = lambda: reactor.waiting <= WAITING_MAX - PER_TURN
        reactor.seat(Seat(place.peer, role, 1, journal))
        while role.left > 0 or reactor.waiting:
            reactor.turn(0.1)
        if isinstance(role, Flood):
            # What was sent has not arrived yet, and only has a moment once this host closes.
            reactor.turn(1.0)


def in_reactor_with_journal(role: BenchRole, place: Place) -> None:
    """The same, with everything recorded."""
    with tempfile.TemporaryDirectory() as folder:
        start = Start(FORMAT, place.peer, 1, 0.0, "", b"", 0)
        in_reactor(role, place, Journal(Path(folder) / "journal", start))


class AsyncHost:
    """The same host as one writes it with zmq.asyncio; with an outbox of ours if `batches`."""

    def __init__(self, role: BenchRole, place: Place, *, batches: bool) -> None:
        self.role = role
        self.place = place
        self.batches = batches
        self.codec = Codec(Offer)
        self.clock = steady_clock()
        self.gate = Gate(self.codec)
        self.seat = Seat(place.peer, role, 1, None)
        self.context = zmq.asyncio.Context()
        self.pushes: dict[str, tuple[zmq.asyncio.Socket, Outbox]] = {}
        self.doing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Host the role until it has nothing left to do."""
        pull = self.context.socket(zmq.PULL)
        pull.setsockopt(zmq.USE_FD, self.place.listener.detach())
        pull.bind(LOOPBACK)
        for peer, endpoint in self.place.others.items():
            push = self.context.socket(zmq.PUSH)
            push.connect(endpoint)
            self.pushes[peer] = push, Outbox(self.codec)
        receiving = asyncio.create_task(self.receive(pull))
        await self.do(Started())
        while self.role.left > 0:
            await asyncio.sleep(0.005)
        await asyncio.gather(*self.doing)
        receiving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await receiving
        self.context.destroy(linger=30_000)

    async def receive(self, pull: zmq.asyncio.Socket) -> None:
        """Give the role what arrives."""
        while True:
            for envelope in self.codec.envelopes(await pull.recv(), Counter()):
                message = self.gate.admit(envelope, self.clock())
                if message is not None:
                    await self.do(Received(envelope.src, message))

    async def do(self, event: Event) -> None:
        """Let the role do a step, and do what it asks for."""
        now_s = self.clock()
        for action in self.seat.step(event, now_s):
            if isinstance(action, Send):
                push, outbox = self.pushes[action.to]
                outbox.put(self.seat.streams[action.to], action.message, now_s + 30.0)
                if not self.batches:
                    await self.flush(push, outbox, now_s)
            elif isinstance(action, SetTimer):
                asyncio.get_running_loop().call_later(action.after_s, self.fire, action.name)
        if self.batches:
            for push, outbox in self.pushes.values():
                await self.flush(push, outbox, now_s)

    def fire(self, name: str) -> None:
        """Tell the role about a timer."""
        self.doing.add(task := asyncio.create_task(self.do(TimerFired(name))))
        task.add_done_callback(self.doing.discard)

    async def flush(self, push: zmq.asyncio.Socket, outbox: Outbox, now_s: float) -> None:
        """Send what waits for one peer."""
        frames: list[bytes] = []

        def take(frame: bytes) -> bool:
            frames.append(frame)
            return True

        outbox.flush(take, now_s)
        for frame in frames:
            await push.send(frame)


def in_asyncio(role: BenchRole, place: Place) -> None:
    asyncio.run(AsyncHost(role, place, batches=False).run())


def in_asyncio_with_outbox(role: BenchRole, place: Place) -> None:
    asyncio.run(AsyncHost(role, place, batches=True).run())


class TypedEnvelope(Struct, frozen=True, array_like=True):
    """What a plain sender would put around an offer, decoded in one go."""

    version: int
    kind: str
    src: str
    dst: str
    incarnation: int
    seq: int
    expires_s: float
    body: Offer


class MappedEnvelope(Struct, frozen=True):
    """The same the way msgspec writes structs by itself: as maps, 1.6 times as long."""

    version: int
    kind: str
    src: str
    dst: str
    incarnation: int
    seq: int
    expires_s: float
    body: MappedOffer


def on_plain_sockets(role: BenchRole, place: Place) -> None:
    """Do what a role does with nothing but sockets and msgspec: what the others are compared to."""
    plain(role, place, TypedEnvelope, offer)


def on_plain_sockets_with_maps(role: BenchRole, place: Place) -> None:
    """The same with what msgspec does by default."""
    plain(role, place, MappedEnvelope, mapped_offer)


def plain(
    role: BenchRole,
    place: Place,
    envelope: type[TypedEnvelope] | type[MappedEnvelope],
    body: Callable[[int], Any],
) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    bind(pull, endpoint_of(place.listener), place.listener)
    for endpoint in place.others.values():
        push.connect(endpoint)
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(envelope).decode

    def send(number: int) -> None:
        push.send(encode(envelope(VERSION, "Offer", place.peer, "b", 1, number, 1e9, body(number))))

    for number in range(role.left, 0, -1):
        if isinstance(role, Flood):
            send(number)
        elif isinstance(role, Sink):
            decode(pull.recv())
            role.left -= 1
            if not role.first_s or not role.left:
                role.note()
        elif isinstance(role, Ping):
            sent_s = time.perf_counter()
            send(number)
            decode(pull.recv())
            role.trips_s.append(time.perf_counter() - sent_s)
        else:
            decode(pull.recv())
            send(number)
    context.destroy(linger=30_000)


Host = Callable[[BenchRole, Place], None]
