"""What waits to be sent over one link: bounded, and without what newer messages made worthless."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

from msgspec import Struct

from peercell.agents.messages import Message
from peercell.broker.wire import (
    BATCH_MAX,
    VERSION,
    Codec,
    Drop,
    DropError,
    Envelope,
    Outgoing,
)

WAITING_MAX = 1024


class Stream(Struct):
    """The messages of one peer to another, numbered as they leave, and what became of them.

    Parameters
    ----------
    src, dst, incarnation : of the envelopes
    unsent : counts what was dropped before it left, by reason; shared by all streams of a peer
    handed : messages that the role asked to send
    seq : number of the last one that ZeroMQ took, which is not yet delivery; so also their count
    """

    src: str
    dst: str
    incarnation: int
    unsent: Counter[Drop]
    handed: int = 0
    seq: int = 0


# A message that waits: whose it is, its kind, itself, and until when it matters. A plain tuple,
# since one is made for every message that is sent.
_Parcel = tuple[Stream, str, Message, float]


class Outbox:
    """The queue in front of one socket, the oldest message first.

    Parameters
    ----------
    codec : encodes messages as they leave
    waiting_max : messages kept while the socket takes none; then the newer ones are refused
    """

    def __init__(self, codec: Codec, waiting_max: int = WAITING_MAX) -> None:
        self._codec = codec
        self._waiting_max = waiting_max
        self._waiting: dict[object, _Parcel] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, stream: Stream, message: Message, expires_s: float) -> None:
        """Queue a message, or count why not.

        Parameters
        ----------
        stream : sender, receiver and numbering
        message : takes the place of a waiting one of the same `newest_by`
        expires_s : s, Unix time after which it is dropped wherever it is; not before that of the
            message put before

        Raises
        ------
        TypeError : nobody knows this kind of message.
        """
        stream.handed += 1
        parcel = (stream, self._codec.kind(message), message, expires_s)
        key: object = id(parcel)
        if message.newest_by is not None:
            stated = (getattr(message, name) for name in message.newest_by)
            key = (stream.src, stream.dst, type(message), *stated)
            if self._waiting.pop(key, None) is not None:
                stream.unsent[Drop.SUPERSEDED] += 1
        self.keep(key, parcel)

    def keep(self, key: object, parcel: _Parcel) -> None:
        """Let a parcel wait behind all others, or count that there is no room."""
        if len(self._waiting) < self._waiting_max:
            self._waiting[key] = parcel
        else:
            parcel[0].unsent[Drop.OUTBOX_FULL] += 1

    def flush(self, send: Callable[[bytes], bool], now_s: float) -> bool:
        """Send what waits in frames of up to 64 messages; return whether nothing is left.

        Parameters
        ----------
        send : takes a frame, or returns False when it cannot take one now
        now_s : s, host time; what has expired by then is dropped
        """
        self.expire(now_s)
        count = BATCH_MAX
        while self._waiting:
            batch = list(islice(self._waiting.values(), count))
            try:
                frame = self._codec.frame(_seal(batch))
            except DropError as refusal:
                _take_numbers_back(batch)
                count = len(batch) // 2
                if not count:
                    self._drop_first(refusal.reason)
                    count = BATCH_MAX
                continue
            if not send(frame):
                _take_numbers_back(batch)
                return False
            self._forget_first(len(batch))
        return True

    def expire(self, now_s: float) -> None:
        """Drop what is worthless by a host time."""
        while self._waiting and next(iter(self._waiting.values()))[3] < now_s:
            self._drop_first(Drop.EXPIRED)

    def clear(self) -> None:
        """Drop everything: the link closes."""
        while self._waiting:
            self._drop_first(Drop.CLOSED)

    def move(self, dst: str, to: "Outbox") -> None:
        """Let what waits for one receiver wait in another outbox: the receiver has moved."""
        keys = [key for key, parcel in self._waiting.items() if parcel[0].dst == dst]
        for key in keys:
            to.keep(key, self._waiting.pop(key))

    def _drop_first(self, reason: Drop) -> None:
        parcel = self._waiting.pop(next(iter(self._waiting)))
        parcel[0].unsent[reason] += 1

    def _forget_first(self, count: int) -> None:
        if count == len(self._waiting):
            self._waiting.clear()
        else:
            for key in list(islice(self._waiting, count)):
                del self._waiting[key]


def _seal(batch: Sequence[_Parcel]) -> list[Outgoing]:
    """Return the envelopes of parcels under the next numbers of their streams."""
    sealed = []
    for stream, kind, message, expires_s in batch:
        stream.seq = seq = stream.seq + 1
        sealed.append(
            Envelope(
                VERSION,
                kind,
                stream.src,
                stream.dst,
                stream.incarnation,
                seq,
                expires_s,
                message,
            )
        )
    return sealed


def _take_numbers_back(batch: Sequence[_Parcel]) -> None:
    for stream, *_ in batch:
        stream.seq -= 1
