"""What becomes of a message: by chance as often as asked for, and always the same."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from tests.broker.messages_for_tests import Note

from peercell.broker.faults.aim import links_at
from peercell.broker.faults.fate import UNHURT, Active, Fate, Parcel, Pipe, fate, spoilt
from peercell.broker.faults.kinds import (
    Bandwidth,
    Corrupt,
    Delay,
    Duplicate,
    LinkFault,
    Loss,
    Partition,
    Reorder,
)
from peercell.broker.wire import VERSION, Codec, DropError, Envelope

COUNT = 1000
SHARES = st.sampled_from([0.0, 0.05, 0.3, 0.5, 1.0])
SEEDS = st.integers(0, 2**63 - 1)
ALL: list[LinkFault] = [
    Loss(share=0.3),
    Duplicate(share=0.1),
    Reorder(share=0.2),
    Corrupt(share=0.1),
]


def fates(*active: Active, src: str = "a", dst: str = "b", incarnation: int = 1) -> list[Fate]:
    return [fate(active, Parcel(src, dst, incarnation, number)) for number in range(COUNT)]


@settings(max_examples=20)
@given(share=SHARES, seed=SEEDS)
def test_as_many_suffer_as_asked_for(share: float, seed: int) -> None:
    # Five standard deviations of a fair draw.
    allowed = 5.0 * (share * (1.0 - share) / COUNT) ** 0.5
    lost = [each.lost for each in fates(Active(Loss(share=share), seed))]
    twice = [len(each.delays_s) == 2 for each in fates(Active(Duplicate(share=share), seed))]
    late = [each.delays_s[0] > 0.0 for each in fates(Active(Reorder(share=share), seed))]
    spoilt = [each.corrupted for each in fates(Active(Corrupt(share=share), seed))]
    for suffered in (lost, twice, late, spoilt):
        assert sum(suffered) / COUNT == pytest.approx(share, abs=allowed)


@settings(max_examples=20)
@given(seed=SEEDS)
def test_a_fate_does_not_depend_on_what_else_is_on(seed: int) -> None:
    loss = Active(Loss(share=0.3), seed)
    others = [Active(fault, seed) for fault in ALL[1:]]
    alone = [each.lost for each in fates(loss)]
    assert [each.lost for each in fates(*others, loss)] == alone
    # Nor do two kinds with one seed hit the same messages.
    twice = [len(each.delays_s) == 2 for each in fates(others[0])]
    both = [a and b for a, b in zip(alone, twice, strict=True)]
    assert sum(both) / COUNT == pytest.approx(0.03, abs=5.0 * (0.03 * 0.97 / COUNT) ** 0.5)


@pytest.mark.parametrize("kind", ALL, ids=lambda fault: fault.kind)
@pytest.mark.parametrize(
    ("seed", "src", "dst", "incarnation"),
    [(2, "a", "b", 1), (1, "b", "a", 1), (1, "a", "c", 1), (1, "a", "b", 2)],
)
def test_another_seed_link_or_run_suffers_otherwise(
    kind: LinkFault, seed: int, src: str, dst: str, incarnation: int
) -> None:
    other = fates(Active(kind, seed), src=src, dst=dst, incarnation=incarnation)
    assert fates(Active(kind, 1)) != other
    assert fates(Active(kind, 1)) == fates(Active(kind, 1))


def test_a_delay_lies_within_its_jitter() -> None:
    late_s = [each.delays_s[0] for each in fates(Active(Delay(delay_s=0.2, jitter_s=0.05)))]
    assert 0.15 <= min(late_s) < 0.16
    assert 0.24 < max(late_s) <= 0.25
    assert sum(late_s) / COUNT == pytest.approx(0.2, abs=0.005)
    assert min(each.delays_s[0] for each in fates(Active(Delay(delay_s=0.1, jitter_s=1.0)))) == 0.0


def test_delays_add_up_and_copies_take_their_own_time() -> None:
    found = fates(
        Active(Delay(delay_s=0.2)),
        Active(Duplicate(share=1.0)),
        Active(Delay(delay_s=0.1, jitter_s=0.1)),
    )
    for each in found:
        assert len(each.delays_s) == 2
        assert all(0.2 <= delay_s <= 0.4 for delay_s in each.delays_s)
        assert each.delays_s[0] != each.delays_s[1]
        assert each.by == (0, 1, 2)


def test_only_links_that_are_meant_suffer() -> None:
    roles = {"a": "trader", "b": "trader", "c": "trader"}
    cut = Active(Partition(on="a->b"), 0, links_at("a->b", roles))
    assert fate([cut], Parcel("a", "b", 1, 0)) == UNHURT._replace(lost=True, by=(0,))
    for link in (("b", "a"), ("a", "c"), ("c", "b")):
        assert fate([cut], Parcel(*link, 1, 0)) == UNHURT


@given(seed=SEEDS, name=st.text(max_size=20), number=st.integers(0, 2**53))
def test_a_spoilt_message_is_never_read_and_keeps_its_length(
    seed: int, name: str, number: int
) -> None:
    codec = Codec(Note)
    frame = codec.frame([Envelope(VERSION, "Note", "a", "b", 1, number, 1.0, Note(name))])
    (envelope,) = codec.envelopes(frame, Counter())
    body = bytes(envelope.body)
    assert codec.read(Raw(body)) == Note(name)
    assert len(spoilt(body)) == len(body)
    with pytest.raises(DropError):
        codec.read(Raw(spoilt(body)))


def test_a_pipe_delays_and_then_loses_what_is_too_much() -> None:
    pipe, fault = Pipe(), Bandwidth(bytes_per_s=1000.0, queue_s=1.0)
    waits = [pipe.wait_s(fault, 0.0, 500) for _ in range(5)]
    assert waits == [0.5, 1.0, 1.5, None, None]
    assert pipe.wait_s(fault, 1.0, 500) == 1.0
    assert pipe.wait_s(fault, 9.0, 500) == 0.5
