"""The receive gate: every message once, in time, from the newest run of its sender."""

import logging

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from tests.broker.messages_for_tests import Note

from peercell.broker import gate
from peercell.broker.gate import Gate
from peercell.broker.wire import VERSION, Codec, Drop, Envelope, Incoming

NOW_S = 1000.0


CODEC = Codec(Note)
BODY = Raw(msgspec.msgpack.encode(Note("")))


def refusal(gate: Gate, arrived: Incoming, now_s: float = NOW_S) -> Drop | None:
    """Return why a gate refuses an envelope, or None; in either case it has to be counted."""
    before, applied = gate.refused.copy(), gate.applied
    message = gate.admit(arrived, now_s)
    reasons = list((gate.refused - before).elements())
    assert (message is None, gate.applied - applied) == (bool(reasons), not reasons)
    return reasons[0] if reasons else None


def envelope(seq: int, incarnation: int = 1, src: str = "a") -> Incoming:
    return Envelope(VERSION, "Note", src, "b", incarnation, seq, NOW_S + 1, BODY)


# Row: (incarnation, seq, expected) one after the other at one gate.
STORIES = {
    "in order": [(1, 1, None), (1, 2, None), (1, 3, None)],
    "twice": [(1, 1, None), (1, 1, Drop.DUPLICATE), (1, 2, None), (1, 1, Drop.DUPLICATE)],
    "out of order": [
        (1, 1, None),
        (1, 4, None),
        (1, 2, None),
        (1, 3, None),
        (1, 2, Drop.DUPLICATE),
    ],
    "older than the window": [(1, 1, None), (1, 66, None), (1, 2, Drop.STALE), (1, 3, None)],
    "a wide jump": [(1, 1, None), (1, 10_000, None), (1, 9_999, None), (1, 1, Drop.STALE)],
    "a restart": [(1, 9, None), (2, 1, None), (1, 10, Drop.OLD_INCARNATION), (2, 2, None)],
    "a restart, reordered": [(1, 9, None), (2, 3, None), (2, 1, None), (2, 0, Drop.STALE)],
    "a stranger's past": [(1, 50, None), (1, 49, Drop.STALE), (1, 51, None)],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_each_message_passes_once(story: list[tuple[int, int, Drop | None]]) -> None:
    at_b = Gate(CODEC)
    for incarnation, seq, expected in story:
        assert refusal(at_b, envelope(seq, incarnation)) is expected


def test_what_has_expired_is_refused_and_not_missing() -> None:
    at_b = Gate(CODEC)
    assert refusal(at_b, envelope(1), NOW_S + 2) is Drop.EXPIRED
    assert refusal(at_b, envelope(1)) is Drop.DUPLICATE
    assert at_b.missing == 0


def test_what_cannot_be_opened_is_refused_with_the_reason() -> None:
    at_b = Gate(CODEC)
    unknown = Envelope(VERSION, "Tender", "a", "b", 1, 1, NOW_S + 1, BODY)
    spoilt = Envelope(VERSION, "Note", "a", "b", 1, 2, NOW_S + 1, Raw(b"\xc0"))
    assert refusal(at_b, unknown) is Drop.UNKNOWN_KIND
    assert refusal(at_b, spoilt) is Drop.BAD_BODY
    assert at_b.missing == 0


def test_another_version_is_dropped_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    at_b = Gate(CODEC)
    newer = Envelope(VERSION + 1, "Note", "a", "b", 1, 1, NOW_S, BODY)
    with caplog.at_level(logging.WARNING):
        assert [refusal(at_b, newer) for _ in range(3)] == [Drop.VERSION] * 3
    assert len(caplog.records) == 1
    assert "a speaks wire version 2, this host 1" in caplog.text


def test_the_number_of_senders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SENDERS_MAX", 2)
    at_b = Gate(CODEC)
    answers = [refusal(at_b, envelope(1, src=src)) for src in "wxyzw"]
    assert answers == [None, None, Drop.CROWDED, Drop.CROWDED, Drop.DUPLICATE]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 200)), max_size=100))
def test_nothing_passes_twice_and_missing_counts_what_never_came(
    arrivals: list[tuple[int, int]],
) -> None:
    at_b = Gate(CODEC)
    refusal(at_b, envelope(0, incarnation=0))
    passed = [a for a in arrivals if refusal(at_b, envelope(a[1], a[0])) is None]
    assert len(passed) == len(set(passed))
    runs = {run for run, _ in passed}
    said = sum(max(seq for run, seq in passed if run == each) for each in runs)
    assert at_b.missing == said - len(passed)
