"""What a gate asks of who speaks: the order of the checks, and whose numbers a refusal uses up."""

import pytest
from msgspec import Raw, msgpack
from tests.broker.messages_for_tests import AnyTestMessage, Note
from tests.broker.security.callers_for_tests import House

from peercell.agents.membership_messages import Probe, RosterQuery
from peercell.broker.gate import Gate
from peercell.broker.wire import VERSION, Codec, Drop, Envelope, Incoming

NOW_S = 1000.0
CODEC = Codec(AnyTestMessage, Probe, RosterQuery)
KINDS = tuple(CODEC.kinds.values())
BODY = {"Note": Note("x"), "RosterQuery": RosterQuery(), "Probe": Probe(1)}


def said(src: str, seq: int, kind: str = "Note", signature: bytes = b"") -> Incoming:
    body = Raw(msgpack.encode(BODY.get(kind)))
    return Envelope(VERSION, kind, src, "b", 1, seq, NOW_S + 1, body, signature)


def house(burst: float = 1000.0) -> House:
    return House({"a": "prosumer", "c": "prosumer", "old": "prosumer"}, KINDS, burst=burst)


# Row: (user of the link, what is said, why it is refused).
CASES = {
    "a peer over its own link": ("a", said("a", 1), None),
    "somebody unknown": ("x", said("x", 1), Drop.UNKNOWN_SENDER),
    "somebody unknown, in the name of a member": ("x", said("a", 1), Drop.UNKNOWN_SENDER),
    "a revoked one": ("old", said("old", 1), Drop.REVOKED),
    "a revoked one, in another name": ("old", said("a", 1), Drop.REVOKED),
    "a member in the name of another": ("c", said("a", 1), Drop.SPOOFED),
    "a member in a name that nobody has": ("c", said("nobody", 1), Drop.SPOOFED),
    "what the role may not say": ("a", said("a", 1, "RosterQuery"), Drop.FORBIDDEN),
    "what only a later version knows": ("a", said("a", 1, "Tender"), Drop.UNKNOWN_KIND),
}


@pytest.mark.parametrize(("user", "arrived", "why"), CASES.values(), ids=CASES)
def test_who_says_it_decides(user: str, arrived: Incoming, why: Drop | None) -> None:
    hosts = house()
    hosts.revoked.add("old")
    at_b = Gate(CODEC)
    passed = at_b.admit(arrived, NOW_S, hosts.caller(user)) is not None
    assert (passed, dict(at_b.refused)) == (why is None, {why: 1} if why else {})
    audited = why is not None and why is not Drop.UNKNOWN_KIND
    assert hosts.noted == ([(why, user, arrived.kind)] if audited else [])


def test_who_speaks_in_another_name_uses_up_none_of_its_numbers() -> None:
    hosts, at_b = house(), Gate(CODEC)
    honest, thief = hosts.caller("a"), hosts.caller("c")
    assert at_b.admit(said("a", 1), NOW_S, honest)
    for seq in (2, 3, 1000):
        assert at_b.admit(said("a", seq), NOW_S, thief) is None
    assert at_b.admit(said("a", 2), NOW_S, honest)
    assert at_b.heard["a"].top == 2
    assert (at_b.missing, at_b.refused) == (0, {Drop.SPOOFED: 3})


def test_what_a_peer_itself_says_and_may_not_is_not_missing() -> None:
    hosts, at_b = house(), Gate(CODEC)
    honest = hosts.caller("a")
    for seq, kind in enumerate(["Note", "RosterQuery", "Note", "RosterQuery"], 1):
        at_b.admit(said("a", seq, kind), NOW_S, honest)
    heard = at_b.heard["a"]
    assert (heard.top, heard.applied, heard.refused, heard.missing) == (4, 2, 2, 0)


def test_a_flood_is_cut_and_its_sender_named() -> None:
    hosts, at_b = house(burst=10.0), Gate(CODEC)
    flooding, polite = hosts.caller("a"), hosts.caller("c")
    passed = [at_b.admit(said("a", seq), NOW_S, flooding) for seq in range(1, 101)]
    assert sum(each is not None for each in passed) == 10
    assert at_b.refused == {Drop.FLOOD: 90}
    assert set(hosts.noted) == {(Drop.FLOOD, "a", "Note")}
    assert at_b.admit(said("c", 1), NOW_S, polite)
    assert at_b.admit(said("a", 101), NOW_S + 1, flooding)
    assert at_b.missing == 0


def test_what_has_to_be_signed_is_refused_without_a_good_signature() -> None:
    hosts, at_b = House({"a": "x"}, KINDS, signed=frozenset({"Note"})), Gate(CODEC)
    caller = hosts.caller("a")
    assert at_b.admit(said("a", 1), NOW_S, caller) is None
    assert at_b.admit(said("a", 2, signature=b"bad"), NOW_S, caller) is None
    assert at_b.admit(said("a", 3, signature=b"good"), NOW_S, caller)
    assert at_b.admit(said("a", 4, "Probe"), NOW_S, caller)
    assert at_b.refused == {Drop.BAD_SIGNATURE: 2}
    assert at_b.heard["a"].missing == 0
