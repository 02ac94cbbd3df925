"""The wire: what goes in comes out, what is hostile is counted, what is newer is tolerated."""

import math
from collections import Counter

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct
from msgspec.structs import astuple
from tests.broker.messages_for_tests import AnyTestMessage, Note, Quote

from peercell.agents.messages import Message
from peercell.broker import wire
from peercell.broker.wire import Codec, Drop, DropError, Envelope, Incoming, Outgoing

CODEC = Codec(AnyTestMessage)

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
counts = st.integers(0, 2**53)
prices = st.floats(-1e6, 1e6)
quotes = st.builds(
    Quote, market=names, price=prices, slopes=st.lists(prices, max_size=256).map(tuple)
)
notes = st.builds(Note, text=st.text(max_size=200), number=counts)


def sealed(message: Message, seq: int = 1) -> Outgoing:
    return Envelope(wire.VERSION, CODEC.names[type(message)], "a", "b", 7, seq, 1e9, message)


@st.composite
def envelopes(draw: st.DrawFn) -> Outgoing:
    message = draw(quotes | notes)
    return Envelope(
        draw(counts),
        CODEC.names[type(message)],
        draw(names),
        draw(names),
        draw(counts),
        draw(counts),
        draw(st.floats(0, 1e11)),
        message,
        draw(st.binary(max_size=64)),
    )


@given(st.lists(envelopes(), max_size=wire.BATCH_MAX))
def test_a_frame_gives_back_what_went_into_it(batch: list[Outgoing]) -> None:
    drops: Counter[Drop] = Counter()
    codec = Codec(AnyTestMessage, frame_bytes_max=wire.FRAME_BYTES_MAX)
    back = codec.envelopes(codec.frame(batch), drops)
    assert [(*astuple(e)[:7], e.signature) for e in back] == [
        (*astuple(e)[:7], e.signature) for e in batch
    ]
    assert [codec.open(e) for e in back] == [e.body for e in batch]
    assert [codec.read(e.body) for e in back] == [e.body for e in batch]
    assert not drops


@given(st.lists(quotes | notes, max_size=8))
def test_msgpack_reads_our_frames_as_plain_arrays(said: list[Message]) -> None:
    frame = CODEC.frame([sealed(m, seq) for seq, m in enumerate(said)])
    assert msgpack.unpackb(frame) == [
        [1, type(m).__name__, "a", "b", 7, seq, 1e9, [type(m).__name__, *fields(m)], b""]
        for seq, m in enumerate(said)
    ]


@given(notes)
def test_we_read_frames_that_msgpack_wrote(said: Note) -> None:
    plain = [[1, "Note", "a", "b", 7, 1, 1e9, ["Note", *fields(said)]]]
    drops: Counter[Drop] = Counter()
    (envelope,) = CODEC.envelopes(msgpack.packb(plain), drops)
    assert CODEC.open(envelope) == said


def fields(message: Message) -> list[object]:
    return [list(f) if isinstance(f, tuple) else f for f in msgspec.structs.astuple(message)]


def packed(*body: object, kind: str = "Quote", version: object = 1) -> bytes:
    return bytes(msgpack.packb([version, kind, "a", "b", 7, 1, 1e9, list(body)]))


def frame_of(*parts: bytes) -> bytes:
    return bytes([0x90 | len(parts)]) + b"".join(parts)


GOOD = packed("Quote", "m", 1.0)

# Row: what arrives, what is counted, how many of its envelopes are still readable.
HOSTILE = {
    "nothing": (b"", {Drop.BAD_FRAME: 1}, 0),
    "no array": (b"\xc0", {Drop.BAD_FRAME: 1}, 0),
    "cut short": (frame_of(GOOD)[:-3], {Drop.BAD_FRAME: 1}, 0),
    "bytes behind": (frame_of(GOOD) + b"\x01", {Drop.BAD_FRAME: 1}, 0),
    "claims 4 Gi envelopes": (b"\xdd\xff\xff\xff\xff", {Drop.BAD_FRAME: 1}, 0),
    "claims a 4 GiB string": (frame_of(b"\x98\x01\xdb\xff\xff\xff\xff"), {Drop.BAD_FRAME: 1}, 0),
    "65 envelopes": (b"\xdc\x00\x41" + GOOD * 65, {Drop.BAD_FRAME: 1}, 0),
    "nested 30,000 deep": (b"\x91" * 30_000, {Drop.BAD_FRAME: 1}, 0),
    "too big": (b"\x00" * (wire.FRAME_BYTES_DEFAULT + 1), {Drop.TOO_BIG: 1}, 0),
    "one liar": (frame_of(GOOD, b"\x93\x01\x02\x03", GOOD), {Drop.BAD_ENVELOPE: 1}, 2),
    "name is no text": (frame_of(GOOD, b"\x98\x01\xa1\xff" + GOOD[8:]), {Drop.BAD_ENVELOPE: 1}, 1),
    "negative version": (frame_of(packed(version=-1), GOOD), {Drop.BAD_ENVELOPE: 1}, 1),
    "other layout of version 2": (frame_of(b"\x92\x02\xc3", GOOD), {Drop.VERSION: 1}, 1),
}


@pytest.mark.parametrize(("frame", "counted", "readable"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_frame_is_counted(frame: bytes, counted: dict[Drop, int], readable: int) -> None:
    drops: Counter[Drop] = Counter()
    assert len(CODEC.envelopes(frame, drops)) == readable
    assert drops == counted


BODIES = {
    "NaN": (packed("Quote", "m", math.nan), Drop.BAD_BODY),
    "infinity": (packed("Quote", "m", math.inf), Drop.BAD_BODY),
    "out of range": (packed("Quote", "m", 1e7), Drop.BAD_BODY),
    "NaN in an array": (packed("Quote", "m", 1.0, [math.nan]), Drop.BAD_BODY),
    "257 in an array": (packed("Quote", "m", 1.0, [1.0] * 257), Drop.BAD_BODY),
    "a long name": (packed("Quote", "m" * 65, 1.0), Drop.BAD_BODY),
    "a missing field": (packed("Quote", "m"), Drop.BAD_BODY),
    "kind and body differ": (packed("Note", "m"), Drop.BAD_BODY),
    "text that is no UTF-8": (
        packed("Quote", "m", 1.0).replace(b"\xa1m", b"\xa1\xff"),
        Drop.BAD_BODY,
    ),
    "of tomorrow": (packed("Tender", "m", kind="Tender"), Drop.UNKNOWN_KIND),
}


@pytest.mark.parametrize(("part", "reason"), BODIES.values(), ids=BODIES)
def test_a_bad_body_is_refused_with_its_reason(part: bytes, reason: Drop) -> None:
    drops: Counter[Drop] = Counter()
    (envelope,) = CODEC.envelopes(frame_of(part), drops)
    assert opened(envelope) is reason
    assert not drops


def test_fields_of_tomorrow_are_ignored_and_missing_ones_have_their_default() -> None:
    longer = msgpack.packb([[1, "Note", "a", "b", 7, 1, 1e9, ["Note", "hi", 3, "new"], b"", "new"]])
    shorter = msgpack.packb([[1, "Note", "a", "b", 7, 1, 1e9, ["Note", "hi"]]])
    drops: Counter[Drop] = Counter()
    assert CODEC.open(CODEC.envelopes(longer, drops)[0]) == Note("hi", 3)
    assert CODEC.open(CODEC.envelopes(shorter, drops)[0]) == Note("hi", 0)
    assert not drops


@given(st.data())
def test_mutated_frames_never_raise_and_every_loss_is_counted(data: st.DataObject) -> None:
    """Flip, cut and insert bytes of real frames; what is read is valid, the rest counted."""
    sent = data.draw(st.lists(quotes | notes, min_size=1, max_size=4))
    frame = bytearray(CODEC.frame([sealed(m, seq) for seq, m in enumerate(sent)]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame)))
        cut = data.draw(st.integers(0, 4))
        frame[at : at + cut] = data.draw(st.binary(max_size=4))
    drops: Counter[Drop] = Counter()
    for envelope in CODEC.envelopes(bytes(frame), drops):
        match opened(envelope):
            case Drop() as reason:
                assert reason in {Drop.BAD_BODY, Drop.UNKNOWN_KIND}
            case message:
                assert CODEC.names[type(message)] == envelope.kind
                assert not isinstance(message, Quote) or abs(message.price) <= 1e6
    assert set(drops) <= {Drop.BAD_FRAME, Drop.BAD_ENVELOPE, Drop.VERSION}


def opened(envelope: Incoming) -> Message | Drop:
    try:
        return CODEC.open(envelope)
    except DropError as refusal:
        return refusal.reason


def test_a_frame_that_is_too_big_is_refused_by_the_sender() -> None:
    CODEC.frame([sealed(Note("x" * (wire.FRAME_BYTES_DEFAULT - 100)))])
    with pytest.raises(DropError) as refusal:
        CODEC.frame([sealed(Note("x" * wire.FRAME_BYTES_DEFAULT))])
    assert refusal.value.reason is Drop.TOO_BIG


def test_a_message_outside_the_union_is_a_mistake_of_the_program() -> None:
    class Stranger(Message, frozen=True):
        pass

    with pytest.raises(TypeError, match="Stranger is not among the messages"):
        CODEC.names[Stranger]


def test_the_codec_learns_its_kinds_from_unions() -> None:
    assert set(Codec(Note).kinds) == {"Note"}
    assert set(Codec(AnyTestMessage).kinds) == {"Note", "Quote", "Vow"}
    assert set(Codec(Note, Quote).kinds) == {"Note", "Quote"}


def test_a_union_of_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="no message type"):
        Codec(Note | int)


def test_two_messages_of_one_name_are_refused() -> None:
    class Twin(Message, frozen=True, tag="Note"):
        pass

    with pytest.raises(TypeError, match="two messages of one name"):
        Codec(Note, Twin)


@pytest.mark.parametrize("limit", [0, wire.FRAME_BYTES_MAX + 1])
def test_a_frame_limit_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="frame_bytes_max"):
        Codec(Note, frame_bytes_max=limit)


def test_the_received_bytes_of_a_body_are_kept_for_signatures() -> None:
    """A re-encoding may differ: floats of 32 bits, long forms of short strings."""

    class Odd(Struct, array_like=True):
        tag: str
        text: str

    body = msgspec.msgpack.encode(Odd("Note", "hi"))
    odd = body.replace(b"\xa2hi", b"\xd9\x02hi")
    envelope = Envelope(1, "Note", "a", "b", 7, 1, 1e9, Raw(odd))
    drops: Counter[Drop] = Counter()
    (back,) = CODEC.envelopes(msgspec.msgpack.encode([envelope]), drops)
    assert bytes(back.body) == odd
    assert CODEC.open(back) == Note("hi")
