"""How messages leave a process while faults of links are on.

It stands at the sender and sees each message once. Who loses a message does so before it gets a
number, and it counts as unsent; what is late, doubled or spoilt has its number, as on a real link.
"""

import heapq
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

from peercell.agents.messages import Message
from peercell.broker.faults.fate import UNHURT, Fate, Parcel, spoilt
from peercell.broker.faults.orders import Order
from peercell.broker.faults.shim import Shim
from peercell.broker.outbound import LIFETIME_S, Outbound
from peercell.broker.outbox import Stream, seal
from peercell.broker.wire import Codec, Drop, DropError, Envelope, Incoming, Outgoing

HELD_MAX = 4096
# s until frames that a link did not take are offered again.
AGAIN_S = 0.01


class _Held(NamedTuple):
    """A frame on its way: when it is to leave, to whom, and when it is worthless.

    `stream` is whose message it is; None for a copy, and for what was forged.
    """

    due_s: float
    dst: str
    frame: bytes
    expires_s: float
    stream: Stream | None


class Detour:
    """The way out of a host past the faults of its links.

    Parameters
    ----------
    outbound : links of the host
    codec : of the messages between peers

    Attributes
    ----------
    shim : the faults that are on
    """

    def __init__(self, outbound: Outbound, codec: Codec) -> None:
        self._outbound = outbound
        self._codec = codec
        self.shim = Shim()
        self._held: list[tuple[float, int, _Held]] = []
        self._forged: dict[tuple[str, str], Stream] = {}
        self._count = 0
        self._again_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether any fault of links or words is on."""
        return bool(self.shim)

    @property
    def next_s(self) -> float | None:
        """When the next frame is to leave, s; None when none is held."""
        return max(self._held[0][0], self._again_s) if self._held else None

    def begin(self, order: Order) -> None:
        """Let a fault begin, if it is one of links, words or meters."""
        self.shim.take(order)

    def end(self, fault_id: str) -> None:
        """Let a fault end; what it holds still leaves."""
        self.shim.end(fault_id)

    def put(self, stream: Stream, message: Message, now_s: float) -> None:
        """Queue a message as `Outbound.put` does, unless a fault has other plans for it."""
        parcel = Parcel(stream.src, stream.dst, stream.incarnation, stream.handed)
        found = self.shim.twist(parcel, message)
        body = msgspec.msgpack.encode(found.message)
        decided = self.shim.fate(parcel, now_s, len(body))
        if decided.lost:
            stream.handed += 1
            stream.unsent[Drop.FAULT] += 1
            return
        known = self._outbound.knows(stream.dst)
        for name in found.names if known else ():
            self._forge(stream, found.message, name, now_s)
        if found.again_s:
            decided = decided._replace(delays_s=(*decided.delays_s, *found.again_s))
        if known and decided != UNHURT:
            self._carry(stream, found.message, decided, now_s)
        else:
            self._outbound.put(stream, found.message, now_s)

    def release(self, now_s: float) -> None:
        """Send what has been held long enough; what no link takes for too long is gone."""
        held = self._held
        kept, full = [], set()
        while held and held[0][0] <= now_s:
            entry = heapq.heappop(held)
            each = entry[-1]
            if each.expires_s < now_s:
                if each.stream is not None:
                    each.stream.withheld += 1
            elif each.dst in full or not self._outbound.post(each.dst, each.frame, now_s):
                full.add(each.dst)
                kept.append(entry)
        for entry in kept:
            heapq.heappush(held, entry)
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
        # The first to come is the message, and all later ones are copies of it.
        owner: Stream | None = stream
        for delay_s in sorted(found.delays_s):
            self._hold(_Held(now_s + delay_s, stream.dst, frame, expires_s, owner))
            owner = None

    def _forge(self, stream: Stream, message: Message, name: str, now_s: float) -> None:
        """Say a message in the name of another, in a life of the forger's own time."""
        forged = self._forged.setdefault(
            (name, stream.dst), Stream(name, stream.dst, stream.incarnation, Counter())
        )
        expires_s = now_s + LIFETIME_S
        (envelope,) = seal([(forged, message, expires_s)], self._codec.names)
        with suppress(DropError):
            frame = self._codec.frame([envelope])
            self._hold(_Held(now_s, stream.dst, frame, expires_s, None))

    def _hold(self, held: _Held) -> None:
        self._count += 1
        heapq.heappush(self._held, (held.due_s, self._count, held))


def _spoilt(envelope: Outgoing | Incoming) -> Incoming:
    """Return an envelope whose message cannot be read."""
    body = Raw(spoilt(msgspec.msgpack.encode(envelope.body)))
    version, kind, src, dst, incarnation, seq, expires_s, _, signature = astuple(envelope)
    return Envelope(version, kind, src, dst, incarnation, seq, expires_s, body, signature)
