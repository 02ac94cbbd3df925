"""Messages that are lost on purpose: as many as asked for, always the same, and each counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.broker.messages_for_tests import Note

from peercell.agents.messages import Message
from peercell.broker.faults import Loss, losing
from peercell.broker.outbox import Stream, Streams
from peercell.broker.wire import Drop

COUNT = 4000


@given(share=st.sampled_from([0.0, 0.05, 0.3, 0.5, 1.0]), seed=st.integers(0, 2**63 - 1))
def test_as_many_are_lost_as_asked_for(share: float, seed: int) -> None:
    loss = Loss(share, seed)
    lost = [loss.takes("a", "b", 1, number) for number in range(COUNT)]
    # Five standard deviations of a fair draw.
    allowed = 5.0 * (share * (1.0 - share) / COUNT) ** 0.5
    assert sum(lost) / COUNT == pytest.approx(share, abs=allowed)
    assert lost == [loss.takes("a", "b", 1, number) for number in range(COUNT)]


@pytest.mark.parametrize(
    "other", [(2, "a", "b", 1), (1, "b", "a", 1), (1, "a", "c", 1), (1, "a", "b", 2)]
)
def test_another_seed_pair_or_run_loses_others(other: tuple[int, str, str, int]) -> None:
    def lost(seed: int, src: str, dst: str, incarnation: int) -> list[bool]:
        return [Loss(0.5, seed).takes(src, dst, incarnation, number) for number in range(64)]

    assert lost(1, "a", "b", 1) != lost(*other)


def test_what_is_lost_is_counted_and_the_rest_is_queued() -> None:
    queued: list[Message] = []
    stream = Streams("a", 1)["b"]

    def put(stream: Stream, message: Message, now_s: float) -> None:
        stream.handed += 1
        queued.append(message)

    say = losing(put, Loss(0.5, 7))
    for number in range(100):
        say(stream, Note(str(number)), 0.0)
    assert stream.handed == 100
    assert 0 < len(queued) < 100
    assert len(queued) + stream.unsent[Drop.FAULT] == 100
