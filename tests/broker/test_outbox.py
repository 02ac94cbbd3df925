"""What waits for a link: bounded, newest wins, numbered as it leaves, counted whatever happens."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.broker.messages_for_tests import AnyTestMessage, Note, Quote

from peercell.agents.messages import Message
from peercell.broker import wire
from peercell.broker.outbox import Outbox, Stream, Streams
from peercell.broker.wire import Codec, Drop

CODEC = Codec(AnyTestMessage)


class Wire:
    """A link that takes the next `room` frames and remembers them."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> bool:
        """Take a frame while there is room."""
        if self.room <= 0:
            return False
        self.room -= 1
        self.frames.append(frame)
        return True

    def arrived(self) -> list[tuple[int, Message]]:
        """Return (seq, message) of all that was taken."""
        batches = [CODEC.envelopes(frame, Counter()) for frame in self.frames]
        return [(each.seq, CODEC.open(each)) for batch in batches for each in batch]


def stream(dst: str = "b") -> Stream:
    return Stream("a", dst, 1, Counter())


def test_a_turn_leaves_as_frames_of_64_messages() -> None:
    outbox, to_b, link = Outbox(CODEC), stream(), Wire()
    for number in range(150):
        outbox.put(to_b, Note("", number), 9.0)
    assert outbox.flush(link.send, 0.0)
    assert [len(CODEC.envelopes(frame, Counter())) for frame in link.frames] == [64, 64, 22]
    assert link.arrived() == [(n + 1, Note("", n)) for n in range(150)]


def test_frames_stay_below_the_limit_in_bytes() -> None:
    outbox, to_b, link = Outbox(CODEC), stream(), Wire()
    for number in range(10):
        outbox.put(to_b, Note("x" * 20_000, number), 9.0)
    assert outbox.flush(link.send, 0.0)
    assert max(map(len, link.frames)) <= CODEC.frame_bytes_max
    assert len(link.frames) == 5
    assert [seq for seq, _ in link.arrived()] == list(range(1, 11))


def test_of_a_stated_quantity_only_the_newest_leaves() -> None:
    outbox, to_b, to_c, link = Outbox(CODEC), stream("b"), stream("c"), Wire()
    for price in (1.0, 2.0, 3.0):
        outbox.put(to_b, Quote("m", price), 9.0)
        outbox.put(to_b, Quote("n", -price), 9.0)
    outbox.put(to_c, Quote("m", 7.0), 9.0)
    assert outbox.flush(link.send, 0.0)
    assert [m for _, m in link.arrived()] == [Quote("m", 3.0), Quote("n", -3.0), Quote("m", 7.0)]
    assert to_b.unsent == {Drop.SUPERSEDED: 4}


def test_a_full_link_keeps_numbers_and_news_until_it_takes_more() -> None:
    outbox, to_b, link = Outbox(CODEC), stream(), Wire(room=0)
    outbox.put(to_b, Quote("m", 1.0), 9.0)
    outbox.put(to_b, Note("kept"), 9.0)
    assert not outbox.flush(link.send, 0.0)
    outbox.put(to_b, Quote("m", 2.0), 9.0)
    assert not outbox.flush(link.send, 0.0)
    link.room = 1
    assert outbox.flush(link.send, 0.0)
    assert link.arrived() == [(1, Note("kept")), (2, Quote("m", 2.0))]


def test_a_full_outbox_refuses_the_new_and_still_takes_newer_prices() -> None:
    outbox, to_b = Outbox(CODEC, waiting_max=2), stream()
    outbox.put(to_b, Quote("m", 1.0), 9.0)
    for number in range(3):
        outbox.put(to_b, Note("", number), 9.0)
    outbox.put(to_b, Quote("m", 2.0), 9.0)
    assert len(outbox) == 2
    assert to_b.unsent == {Drop.OUTBOX_FULL: 2, Drop.SUPERSEDED: 1}


def test_what_has_expired_does_not_leave() -> None:
    outbox, to_b, link = Outbox(CODEC), stream(), Wire()
    outbox.put(to_b, Note("old"), 1.0)
    outbox.put(to_b, Note("new"), 3.0)
    assert outbox.flush(link.send, 2.0)
    assert link.arrived() == [(1, Note("new"))]
    assert to_b.unsent == {Drop.EXPIRED: 1}


def test_a_receiver_that_has_moved_is_followed() -> None:
    before, after, link = Outbox(CODEC), Outbox(CODEC), Wire()
    to_b, to_c = stream("b"), stream("c")
    before.put(to_b, Note("for b"), 9.0)
    before.put(to_c, Note("for c"), 9.0)
    before.move("b", after)
    assert len(before) == 1
    assert after.flush(link.send, 0.0)
    assert link.arrived() == [(1, Note("for b"))]


def test_a_message_too_big_for_any_frame_is_counted_and_holds_up_none() -> None:
    outbox, to_b, link = Outbox(CODEC), stream(), Wire()
    for text in ("first", "x" * wire.FRAME_BYTES_DEFAULT, "last"):
        outbox.put(to_b, Note(text), 9.0)
    assert outbox.flush(link.send, 0.0)
    assert to_b.unsent == {Drop.TOO_BIG: 1}
    assert link.arrived() == [(1, Note("first")), (2, Note("last"))]


@given(st.data())
def test_every_message_is_sent_waiting_or_counted_by_reason(data: st.DataObject) -> None:
    outbox, to_b, link, now_s = Outbox(CODEC, waiting_max=8), stream(), Wire(room=0), 0.0
    for _ in range(data.draw(st.integers(1, 60))):
        match data.draw(st.sampled_from(["quote", "note", "flush", "wait", "clear"])):
            case "quote":
                outbox.put(to_b, Quote(data.draw(st.sampled_from("mn")), now_s), now_s + 2)
            case "note":
                outbox.put(to_b, Note("", len(link.frames)), now_s + 2)
            case "flush":
                link.room = data.draw(st.integers(0, 2))
                outbox.flush(link.send, now_s)
            case "wait":
                now_s += 1
            case "clear":
                outbox.clear()
        assert to_b.handed == to_b.seq + len(outbox) + sum(to_b.unsent.values())
    assert [seq for seq, _ in link.arrived()] == list(range(1, to_b.seq + 1))


def test_a_message_outside_the_unions_is_a_mistake_of_the_program() -> None:
    class Stranger(Message, frozen=True):
        pass

    outbox, link = Outbox(CODEC), Wire()
    outbox.put(stream(), Stranger(), 9.0)
    with pytest.raises(TypeError, match="Stranger is not among the messages"):
        outbox.flush(link.send, 0.0)


def test_a_link_that_takes_nothing_keeps_what_it_may_and_the_order() -> None:
    outbox, to_b, link = Outbox(CODEC, waiting_max=70), stream(), Wire(room=0)
    for number in range(60):
        outbox.put(to_b, Note("", number), 9.0)
    assert not outbox.flush(link.send, 0.0)
    for number in range(60, 100):
        outbox.put(to_b, Note("", number), 9.0)
    link.room = 10
    assert outbox.flush(link.send, 0.0)
    assert link.arrived() == [(n + 1, Note("", n)) for n in range(70)]
    assert to_b.unsent == {Drop.OUTBOX_FULL: 30}


def test_the_streams_of_a_peer_count_together_and_number_apart() -> None:
    outbox, said, link = Outbox(CODEC), Streams("a", 7), Wire()
    for dst in "bcb":
        outbox.put(said[dst], Note(dst), 9.0)
    outbox.put(said["c"], Note("late"), -1.0)
    outbox.clear()
    assert {dst: each.handed for dst, each in said.items()} == {"b": 2, "c": 2}
    assert said.unsent == {Drop.CLOSED: 4}
    outbox.put(said["b"], Note("on"), 9.0)
    assert outbox.flush(link.send, 0.0)
    assert (said["b"].seq, said["c"].seq) == (1, 0)
