"""Messages that a host loses on purpose are counted, and the rest is queued."""

from tests.broker.messages_for_tests import Note

from peercell.agents.messages import Message
from peercell.broker.faults.fate import Active
from peercell.broker.faults.kinds import Loss
from peercell.broker.faults.losing import losing
from peercell.broker.outbox import Stream, Streams
from peercell.broker.wire import Drop


def test_what_is_lost_is_counted_and_the_rest_is_queued() -> None:
    queued: list[Message] = []
    stream = Streams("a", 1)["b"]

    def put(stream: Stream, message: Message, now_s: float) -> None:
        stream.handed += 1
        queued.append(message)

    say = losing(put, [Active(Loss(share=0.5), 7)])
    for number in range(100):
        say(stream, Note(str(number)), 0.0)
    assert stream.handed == 100
    assert 0 < len(queued) < 100
    assert len(queued) + stream.unsent[Drop.FAULT] == 100
