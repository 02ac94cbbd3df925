"""How messages leave a process while faults of links are on.

It stands at the sender and sees each message once. Who loses a message does so before it gets a
number, and it counts as unsent; what is late, doubled or spoilt has its number, as on a real link.
"""

import heapq
from collections import Counter

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

from peercell.agents.messages import Message
from peercell.broker.faults.fate import UNHURT, Fate, Parcel, spoilt
from peercell.broker.faults.kinds import MeterNoise, WordFault
from peercell.broker.faults.orders import Order, active_of
from peercell.broker.faults.shim import Shim
from peercell.broker.faults.words import Twist, twist
from peercell.broker.outbound import LIFETIME_S, Outbound
from peercell.broker.outbox import Stream, seal
from peercell.broker.wire import Codec, Drop, DropError, Envelope, Incoming, Outgoing

HELD_MAX = 4096
# s until frames that a link did not take are offered again.
AGAIN_S = 0.01


class Detour:
    """The way out of a host past the faults of its links.

    Parameters
    ----------
    outbound : links of the host
    codec : of the messages between peers
    """

    def __init__(self, outbound: Outbound, codec: Codec) -> None:
        self._outbound = outbound
        self._codec = codec
        self._shim = Shim()
        self._words: tuple[Order, ...] = ()
        # Frames on their way: when each is to leave, to whom, and when it is worthless.
        self._held: list[tuple[float, int, str, bytes, float]] = []
        self._forged: dict[tuple[str, str], Stream] = {}
        self._count = 0
        self._again_s = 0.0

    @property
    def hits(self) -> Counter[str]:
        """Messages that each fault has done something to, by its id."""
        return self._shim.hits

    @property
    def is_open(self) -> bool:
        """Whether any fault of links is on."""
        return bool(self._shim) or bool(self._words)

    @property
    def next_s(self) -> float | None:
        """When the next frame is to leave, s; None when none is held."""
        return max(self._held[0][0], self._again_s) if self._held else None

    def begin(self, order: Order) -> None:
        """Let a fault begin, if it is one of links, words or meters."""
        if (active := active_of(order)) is not None:
            self._shim.begin(order.id, active)
        elif isinstance(order.fault, WordFault | MeterNoise):
            self._words = (*self._words, order)

    def end(self, fault_id: str) -> None:
        """Let a fault end; what it holds still leaves."""
        self._shim.end(fault_id)
        self._words = tuple(order for order in self._words if order.id != fault_id)

    def put(self, stream: Stream, message: Message, now_s: float) -> None:
        """Queue a message as `Outbound.put` does, unless a fault has other plans for it."""
        parcel = Parcel(stream.src, stream.dst, stream.incarnation, stream.handed)
        found = twist(self._words, parcel, message) if self._words else Twist(message)
        self.hits.update(found.by)
        if self._outbound.knows(stream.dst):
            for name in found.names:
                self._forge(stream, found.message, name, now_s)
        body = msgspec.msgpack.encode(found.message)
        decided = self._shim.fate(parcel, now_s, len(body))
        if found.again_s and not decided.lost:
            decided = decided._replace(delays_s=(*decided.delays_s, *found.again_s))
        if decided.lost:
            stream.handed += 1
            stream.unsent[Drop.FAULT] += 1
        elif decided == UNHURT or not self._outbound.knows(stream.dst):
            self._outbound.put(stream, found.message, now_s)
        else:
            self._carry(stream, found.message, decided, now_s)

    def release(self, now_s: float) -> None:
        """Send what has been held long enough; what no link takes for too long is gone."""
        held = self._held
        kept, full = [], set()
        while held and held[0][0] <= now_s:
            each = heapq.heappop(held)
            _, _, dst, frame, expires_s = each
            if expires_s < now_s:
                continue
            if dst in full or not self._outbound.post(dst, frame, now_s):
                full.add(dst)
                kept.append(each)
        for each in kept:
            heapq.heappush(held, each)
            self._again_s = now_s + AGAIN_S

    def _carry(self, stream: Stream, message: Message, found: Fate, now_s: float) -> None:
        """Number a message and let its copies take their time."""
        stream.handed += 1
        if len(self._held) + len(found.delays_s) > HELD_MAX:
            stream.unsent[Drop.OUTBOX_FULL] += 1
            return
        expires_s = now_s + LIFETIME_S
        (envelope,) = seal([(stream, message, expires_s)], self._codec.names)
        try:
            frame = self._codec.frame([_spoilt(envelope) if found.corrupted else envelope])
        except DropError as refusal:
            stream.seq -= 1
            stream.unsent[refusal.reason] += 1
            return
        for delay_s in found.delays_s:
            self._hold(now_s + delay_s, stream.dst, frame, expires_s)

    def _forge(self, stream: Stream, message: Message, name: str, now_s: float) -> None:
        """Say a message in the name of another, as if that one had just started."""
        forged = self._forged.setdefault(
            (name, stream.dst), Stream(name, stream.dst, stream.incarnation, Counter())
        )
        expires_s = now_s + LIFETIME_S
        (envelope,) = seal([(forged, message, expires_s)], self._codec.names)
        self._hold(now_s, stream.dst, self._codec.frame([envelope]), expires_s)

    def _hold(self, due_s: float, dst: str, frame: bytes, expires_s: float) -> None:
        self._count += 1
        heapq.heappush(self._held, (due_s, self._count, dst, frame, expires_s))


def _spoilt(envelope: Outgoing | Incoming) -> Incoming:
    """Return an envelope whose message cannot be read."""
    body = Raw(spoilt(msgspec.msgpack.encode(envelope.body)))
    version, kind, src, dst, incarnation, seq, expires_s, _, signature = astuple(envelope)
    return Envelope(version, kind, src, dst, incarnation, seq, expires_s, body, signature)
