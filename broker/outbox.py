"""What waits to be sent over one link: bounded, and without what newer messages made worthless."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from peercell.agents.messages import Message
from peercell.broker.wire import (
    BATCH_MAX,
    VERSION,
    Codec,
    Drop,
    DropError,
    Envelope,
    Incoming,
    Outgoing,
)

WAITING_MAX = 1024

# Returns an envelope as its sender signs it, or as it is where its kind is not one to be signed.
Signer = Callable[[Outgoing], Outgoing | Incoming]


@dataclass(slots=True, eq=False)
class Stream:
    """The messages of one peer to another, numbered as they leave, and what became of them.

    Parameters
    ----------
    src, dst, incarnation : of the envelopes
    unsent : counts what was dropped before it left, by reason; shared by all streams of a peer
    sign : signs what a peer must be able to prove later; None where no keys are used
    handed : messages that the role asked to send
    seq : number of the last one that ZeroMQ took, which is not yet delivery; so also their count
    withheld : of these, those that a fault held back until they were worthless
    """

    src: str
    dst: str
    incarnation: int
    unsent: Counter[Drop]
    sign: Signer | None = None
    handed: int = 0
    seq: int = 0
    withheld: int = 0


class Streams(dict[str, Stream]):
    """The streams of a peer by receiver, each made when it is first asked for.

    Parameters
    ----------
    src, incarnation : of the peer

    Attributes
    ----------
    sign : signs what it says, from the first word to a receiver on; None where no keys are used
    unsent : messages dropped before they left, by reason
    """

    def __init__(self, src: str, incarnation: int) -> None:
        super().__init__()
        self.unsent: Counter[Drop] = Counter()
        self._src = src
        self._incarnation = incarnation
        self.sign: Signer | None = None

    def __missing__(self, dst: str) -> Stream:
        stream = self[dst] = Stream(self._src, dst, self._incarnation, self.unsent, self.sign)
        return stream


# A message that waits: whose it is, itself, and until when it matters. A plain tuple, since one is
# made for every message that is sent.
Parcel = tuple[Stream, Message, float]


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
        self._waiting: dict[object, Parcel] = {}
        # Behind those that wait, at most a frame full. It is worth a list of its own since most
        # messages come while nothing waits, and leave before anything does.
        self._new: list[Parcel] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._new)

    def put(self, stream: Stream, message: Message, expires_s: float) -> None:
        """Queue a message, or count why not.

        Parameters
        ----------
        stream : sender, receiver and numbering
        message : takes the place of a waiting one of the same `newest_by`
        expires_s : s, Unix time after which it is dropped wherever it is; not before that of the
            message put before
        """
        stream.handed += 1
        self._new.append((stream, message, expires_s))
        if message.newest_by is not None or len(self._new) > BATCH_MAX:
            self._sort_in()

    def flush(self, send: Callable[[bytes], bool], now_s: float) -> bool:
        """Send what waits in frames of up to 64 messages; return whether nothing is left.

        Parameters
        ----------
        send : takes a frame, or returns False when it cannot take one now
        now_s : s, host time; what has expired by then is dropped

        Raises
        ------
        TypeError : nobody knows this kind of message.
        """
        self.expire(now_s)
        count = BATCH_MAX
        while batch := self._first(count):
            try:
                frame = self._codec.frame(seal(batch, self._codec.names))
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
        if self._new and self._new[0][2] < now_s:
            self._sort_in()
        while self._waiting and next(iter(self._waiting.values()))[2] < now_s:
            self._drop_first(Drop.EXPIRED)

    def clear(self) -> None:
        """Drop everything: the link closes."""
        while self:
            self._drop_first(Drop.CLOSED)

    def move(self, dst: str, to: "Outbox") -> None:
        """Let what waits for one receiver wait in another outbox: the receiver has moved."""
        self._sort_in()
        keys = [key for key, (stream, *_) in self._waiting.items() if stream.dst == dst]
        to.take_over([self._waiting.pop(key) for key in keys])

    def take_over(self, parcels: Sequence[Parcel]) -> None:
        """Let parcels of another outbox wait behind all others."""
        self._new += parcels
        self._sort_in()

    def _sort_in(self) -> None:
        """Let what is new wait with the others, as far as there is room, or in their place."""
        waiting = self._waiting
        for parcel in self._new:
            stream, message, _ = parcel
            key: object = id(parcel)
            if message.newest_by is not None:
                stated = (getattr(message, name) for name in message.newest_by)
                key = (stream.src, stream.dst, type(message), *stated)
                if waiting.pop(key, None) is not None:
                    stream.unsent[Drop.SUPERSEDED] += 1
            if len(waiting) < self._waiting_max:
                waiting[key] = parcel
            else:
                stream.unsent[Drop.OUTBOX_FULL] += 1
        self._new.clear()

    def _first(self, count: int) -> list[Parcel]:
        """Return the first so many parcels, or all; most often these are simply the new ones."""
        if self._waiting or len(self._new) > count:
            self._sort_in()
            return list(islice(self._waiting.values(), count))
        return self._new

    def _drop_first(self, reason: Drop) -> None:
        self._sort_in()
        stream, *_ = self._waiting.pop(next(iter(self._waiting)))
        stream.unsent[reason] += 1

    def _forget_first(self, count: int) -> None:
        if not self._waiting:
            self._new.clear()
        elif count == len(self._waiting):
            self._waiting.clear()
        else:
            for key in list(islice(self._waiting, count)):
                del self._waiting[key]


def seal(batch: Sequence[Parcel], names: Mapping[type[Message], str]) -> list[Outgoing | Incoming]:
    """Return the envelopes of parcels under the next numbers of their streams."""
    sealed: list[Outgoing | Incoming] = []
    for stream, message, expires_s in batch:
        stream.seq = seq = stream.seq + 1
        envelope = Envelope(
            VERSION,
            names[type(message)],
            stream.src,
            stream.dst,
            stream.incarnation,
            seq,
            expires_s,
            message,
        )
        sealed.append(envelope if stream.sign is None else stream.sign(envelope))
    return sealed


def _take_numbers_back(batch: Sequence[Parcel]) -> None:
    for stream, *_ in batch:
        stream.seq -= 1
