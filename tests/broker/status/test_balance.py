"""Whether all messages of a cell are accounted for, when peers restart and when somebody cheats."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs
from tests.broker.cell_for_tests import host
from tests.broker.messages_for_tests import Note

from peercell.broker.gate import Gate, Heard
from peercell.broker.operator_port import HostStatus
from peercell.broker.status.balance import Messages, balance
from peercell.broker.wire import VERSION, Codec, Envelope

CODEC = Codec(Note)
BODY = Raw(msgspec.msgpack.encode(Note("")))


def pair(heard: Heard, sent: int = 10, incarnation: int = 1) -> Messages:
    """Return what became of the messages of a to b."""
    a = structs.replace(host("a", {"b": sent}, {}), incarnation=incarnation)
    hosts = {"a": a, "b": host("b", {}, {"a": heard})}
    return balance(hosts, hosts, hosts)


@pytest.mark.parametrize(
    ("heard", "dropped", "in_flight", "unaccounted"),
    [
        (Heard(1, 0, 10, 10, 0, 0), {}, 0, 0),
        (Heard(1, 0, 8, 5, 1, 2), {"refused": 1, "missing": 2}, 2, 0),
        (Heard(1, 4, 10, 6, 0, 0), {"ended": 4}, 0, 0),
        # More than was ever sent, or by a run that does not exist: somebody else has spoken.
        (Heard(1, 0, 11, 11, 0, 0), {}, 10, 1),
        (Heard(2, 0, 3, 3, 0, 0), {}, 10, 3),
    ],
    ids=["all", "some", "a receiver that restarted", "too many", "a forged restart"],
)
def test_what_is_sent_is_applied_dropped_or_in_flight(
    heard: Heard, dropped: dict[str, int], in_flight: int, unaccounted: int
) -> None:
    found = pair(heard)
    assert found.sent == found.applied + sum(found.dropped.values()) + found.in_flight == 10
    assert (found.dropped, found.in_flight) == (dropped, in_flight)
    assert found.unaccounted == unaccounted


def test_what_an_earlier_run_has_sent_is_not_counted() -> None:
    found = pair(Heard(1, 0, 9, 9, 0, 0), sent=2, incarnation=2)
    assert (found.sent, found.applied, found.in_flight, found.unaccounted) == (2, 0, 2, 0)


def test_a_peer_that_does_not_answer_leaves_its_messages_in_flight() -> None:
    a: dict[str, HostStatus] = {"a": host("a", {"b": 4}, {})}
    found = balance(a, a, a)
    assert (found.sent, found.in_flight, found.unaccounted) == (4, 4, 0)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 150), st.booleans()), max_size=80))
def test_the_books_of_a_gate_balance_whatever_arrives(
    arrivals: list[tuple[int, int, bool]],
) -> None:
    at_b = Gate(CODEC)
    for incarnation, seq, late in arrivals:
        expires_s = 0.0 if late else 2.0
        at_b.admit(Envelope(VERSION, "Note", "a", "b", incarnation, seq, expires_s, BODY), 1.0)
    for each in at_b.heard.values():
        assert each.top == each.earlier + each.applied + each.refused + each.missing
    assert at_b.applied + at_b.refused.total() == len(arrivals)
