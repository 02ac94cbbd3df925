"""What goes over a link: frames of envelopes, and why one was dropped.

A frame is a MessagePack array of at most 64 envelopes, an envelope an array of nine fields, one of
them the bytes of a message (docs/reference/wire.md). Decoding is typed at both stages, so that
neither NaN nor an endless array gets past this page.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache
from typing import Annotated, Generic, TypeVar, get_args

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from peercell.agents.messages import Message

VERSION = 1
FRAME_BYTES_DEFAULT = 64 * 1024
FRAME_BYTES_MAX = 1024 * 1024
BATCH_MAX = 64

# Hostile bytes raise more than the library's own errors: bad UTF-8 and deep nesting do not.
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# And what it raises to look for what decodes a body and to let it.
UNREADABLE = (KeyError, *UNDECODABLE)

Body = TypeVar("Body", Raw, Message)

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Instant = Annotated[float, Meta(ge=0.0, le=1e11)]
Signature = Annotated[bytes, Meta(max_length=64)]


class Drop(StrEnum):
    """Why a message went no further; sender and receiver count by these."""

    NO_ROUTE = "no-route"
    OUTBOX_FULL = "outbox-full"
    SUPERSEDED = "superseded"
    CLOSED = "closed"
    TOO_BIG = "too-big"
    EXPIRED = "expired"
    UNSAVED = "unsaved"
    FAULT = "fault"
    DOWN = "down"
    BAD_FRAME = "bad-frame"
    BAD_ENVELOPE = "bad-envelope"
    VERSION = "version"
    MULTIPART = "multipart"
    MISROUTED = "misrouted"
    UNKNOWN_SENDER = "unknown-sender"
    REVOKED = "revoked"
    SPOOFED = "spoofed"
    FORBIDDEN = "forbidden"
    FLOOD = "flood"
    BANNED = "banned"
    CROWDED = "crowded"
    OLD_INCARNATION = "old-incarnation"
    DUPLICATE = "duplicate"
    STALE = "stale"
    UNKNOWN_KIND = "unknown-kind"
    BAD_BODY = "bad-body"
    BAD_SIGNATURE = "bad-signature"


class DropError(Exception):
    """A frame or message that goes no further, with the reason to count."""

    def __init__(self, reason: Drop) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Envelope(Struct, Generic[Body], frozen=True, array_like=True, gc=False):
    """Who says what to whom, and until when it matters.

    Parameters
    ----------
    version : major version of the wire format
    kind : name of the message type in `body`
    src, dst : ids of the sending and the receiving peer
    incarnation : of the sender; a higher one is a restart
    seq : 1, 2, 3 … for each pair of sender and receiver within an incarnation
    expires_s : s, Unix time after which the message is worthless
    body : the message; as received still its bytes, since a signature covers these very bytes
    signature : of the sender over all of this, Ed25519, where the kind is one that is signed
    """

    version: Count
    kind: Name
    src: Name
    dst: Name
    incarnation: Count
    seq: Count
    expires_s: Instant
    body: Body
    signature: Signature = b""


Incoming = Envelope[Raw]
Outgoing = Envelope[Message]


class _AnyBody(Struct, array_like=True):
    """The one field that every body starts with."""

    kind: str


class _AnyVersion(Struct, array_like=True):
    """The one field that every version of an envelope starts with."""

    version: Count


Batch = Annotated[list[Incoming], Meta(max_length=BATCH_MAX)]
RawBatch = Annotated[list[Raw], Meta(max_length=BATCH_MAX)]


def messages_of(union: object) -> tuple[type[Message], ...]:
    """Return the message types of a union, or the one type that was given.

    Raises
    ------
    TypeError : when something in it is no message.
    """
    types = get_args(union) or (union,)
    for each in types:
        if not (isinstance(each, type) and issubclass(each, Message)):
            raise TypeError(f"{each!r} is no message type")
    return tuple(types)


def kind_of(message: type[Message]) -> str:
    """Return the name under which a message type travels."""
    return str(message.__struct_config__.tag)


@cache
def body_decoder(message: type[Message]) -> Callable[[Raw], Message]:
    """Return what decodes one kind; made once, since a process with many kinds needs a megabyte."""
    return Decoder(message).decode


def why_unreadable(error: Exception) -> Drop:
    """Return what to count for one of `UNREADABLE`."""
    return Drop.UNKNOWN_KIND if isinstance(error, KeyError) else Drop.BAD_BODY


class Names(dict[type[Message], str]):
    """The names of message types; one that is not among them is a mistake of this program.

    Raises
    ------
    TypeError : instead of KeyError.
    """

    def __missing__(self, message: type[Message]) -> str:
        raise TypeError(f"{message.__name__} is not among the messages of this host")


class Codec:
    """Frames from envelopes and back, for the kinds of one or more unions of messages.

    Parameters
    ----------
    unions : unions of message types; a kind outside them is unknown here and gets dropped.
    frame_bytes_max : largest frame sent or accepted; at most 1 MiB.

    Attributes
    ----------
    bodies : what decodes a body, by kind; raises one of `UNREADABLE`, as does an unknown kind
    kinds : message type by the name under which it travels
    names : that name by message type

    Notes
    -----
    Not for threads with a small stack: MessagePack nested deeply recurses (a limit of 256 KiB has
    been seen to end the process), so a host decodes on its main thread.
    """

    def __init__(self, *unions: object, frame_bytes_max: int = FRAME_BYTES_DEFAULT) -> None:
        if not 0 < frame_bytes_max <= FRAME_BYTES_MAX:
            raise ValueError(f"frame_bytes_max is {frame_bytes_max}, not within 1 … 1,048,576")
        self.frame_bytes_max = frame_bytes_max
        types = [each for union in unions for each in messages_of(union)]
        self.kinds = {kind_of(each): each for each in types}
        if len(self.kinds) != len(types):
            raise TypeError(f"two messages of one name among {sorted(map(kind_of, types))}")
        self.bodies = {kind: body_decoder(each) for kind, each in self.kinds.items()}
        self.names = Names({each: kind for kind, each in self.kinds.items()})

    def open(self, envelope: Incoming) -> Message:
        """Return the message in an envelope.

        Raises
        ------
        DropError : UNKNOWN_KIND or BAD_BODY.
        """
        try:
            return self.bodies[envelope.kind](envelope.body)
        except UNREADABLE as error:
            raise DropError(why_unreadable(error)) from None

    def read(self, body: Raw) -> Message:
        """Return a message of whatever kind its own bytes say.

        Raises
        ------
        DropError : UNKNOWN_KIND or BAD_BODY.
        """
        try:
            return self.bodies[_decode_head(body).kind](body)
        except UNREADABLE as error:
            raise DropError(why_unreadable(error)) from None

    def frame(self, envelopes: Sequence[Outgoing | Incoming]) -> bytes:
        """Return at most 64 envelopes as one frame.

        Raises
        ------
        DropError : TOO_BIG for a frame.
        """
        frame = _encode(envelopes)
        if len(frame) > self.frame_bytes_max:
            raise DropError(Drop.TOO_BIG)
        return frame

    def envelopes(self, frame: bytes, drops: Counter[Drop]) -> list[Incoming]:
        """Return the readable envelopes of a frame; the rest is counted in `drops`."""
        if len(frame) > self.frame_bytes_max:
            drops[Drop.TOO_BIG] += 1
            return []
        try:
            return _decode_batch(frame)
        except UNDECODABLE:
            return self._salvage(frame, drops)

    def _salvage(self, frame: bytes, drops: Counter[Drop]) -> list[Incoming]:
        """Return what can be read of a spoilt frame: one liar costs one envelope."""
        try:
            parts = _decode_raw_batch(frame)
        except UNDECODABLE:
            drops[Drop.BAD_FRAME] += 1
            return []
        readable = []
        for part in parts:
            try:
                readable.append(_decode_envelope(part))
            except UNDECODABLE:
                drops[self._blame(part)] += 1
        return readable

    def _blame(self, part: Raw) -> Drop:
        """Return whether an unreadable envelope is of another version or of none."""
        try:
            version = _decode_version(part).version
        except UNDECODABLE:
            return Drop.BAD_ENVELOPE
        return Drop.BAD_ENVELOPE if version == VERSION else Drop.VERSION


def signed_bytes(envelope: Incoming) -> bytes:
    """Return what a signature covers: the head of an envelope, and its body byte for byte."""
    head = (
        envelope.version,
        envelope.kind,
        envelope.src,
        envelope.dst,
        envelope.incarnation,
        envelope.seq,
        envelope.expires_s,
    )
    return _encode(head) + bytes(envelope.body)


_encode = Encoder().encode
_decode_batch = Decoder(Batch).decode
_decode_raw_batch = Decoder(RawBatch).decode
_decode_envelope = Decoder(Incoming).decode
_decode_head = Decoder(_AnyBody).decode
_decode_version = Decoder(_AnyVersion).decode
