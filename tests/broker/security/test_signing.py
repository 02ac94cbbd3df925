"""Signatures over the bytes that were received: good ones pass, and nothing else does."""

from collections import Counter

import msgspec
import pytest
from msgspec import Raw, structs
from tests.broker.security.callers_for_tests import House

from peercell.agents.grid_messages import SwitchingOrder
from peercell.agents.grid_parts import Switching
from peercell.agents.membership_messages import MembershipMessage, Probe
from peercell.agents.messages import Message
from peercell.agents.trading.messages import Confirmation
from peercell.broker.gate import Gate
from peercell.broker.outbox import Outbox, Streams
from peercell.broker.roles import CellMessage
from peercell.broker.security.caller import Caller, Rules
from peercell.broker.security.identity import make_identity, verify
from peercell.broker.security.matrix import TABLE
from peercell.broker.security.signing import SIGNED, signer
from peercell.broker.wire import Codec, Drop, Incoming, kind_of, messages_of

NOW_S = 1000.0
CODEC = Codec(CellMessage, MembershipMessage)
KINDS = tuple(CODEC.kinds.values())
IDENTITY = make_identity("a")
TRADE = Confirmation(1, 2, (1.25,), (0.0,), (0.3,), (0.4,))


def caller(role: str) -> Caller:
    """Return a link of a peer that signs with its own key."""
    house = House({"a": role}, KINDS)
    rules = house.caller("a")._rules

    def introduce(user: str, peer: str, now_s: float) -> object:
        voice = rules.introduce(user, peer, now_s)
        assert not isinstance(voice, Drop)
        return voice._replace(signing_key=IDENTITY.public.signing)

    return Caller("a", Rules(introduce, rules.known, SIGNED, verify, rules.note))  # type: ignore[arg-type]  # it asserts what it gives


def sealed(message: Message) -> Incoming:
    """Return what a peer that signs says, as it arrives."""
    frames: list[bytes] = []

    def take(frame: bytes) -> bool:
        frames.append(frame)
        return True

    streams = Streams("a", 1)
    streams.sign = signer(IDENTITY.sign)
    outbox = Outbox(CODEC)
    outbox.put(streams["b"], message, NOW_S + 1)
    assert outbox.flush(take, NOW_S)
    (envelope,) = CODEC.envelopes(frames[0], Counter())
    return envelope


@pytest.mark.parametrize(
    ("role", "message"), [("trader", TRADE), ("dso", SwitchingOrder(1, Switching()))]
)
def test_what_is_to_be_signed_is_and_passes(role: str, message: Message) -> None:
    arrived = sealed(message)
    assert len(arrived.signature) == 64
    assert Gate(CODEC).admit(arrived, NOW_S, caller(role)) == message


def test_what_is_not_to_be_signed_is_not() -> None:
    arrived = sealed(Probe(7))
    assert arrived.signature == b""
    assert Gate(CODEC).admit(arrived, NOW_S, caller("trader")) == Probe(7)


CHANGES: dict[str, dict[str, object]] = {
    "another receiver": {"dst": "c"},
    "another number": {"seq": 2},
    "another run": {"incarnation": 2},
    "a longer life": {"expires_s": NOW_S + 9},
    "another amount": {"body": Raw(msgspec.msgpack.encode(structs.replace(TRADE, attempt=3)))},
    "no signature": {"signature": b""},
    "another signature": {"signature": bytes(64)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_signature_covers_all_that_was_said(change: dict[str, object]) -> None:
    at_b = Gate(CODEC)
    arrived = structs.replace(sealed(TRADE), **change)
    assert at_b.admit(arrived, NOW_S, caller("trader")) is None
    assert at_b.refused == {Drop.BAD_SIGNATURE: 1}


def test_the_bytes_count_and_not_what_they_mean() -> None:
    """The same numbers in a longer form of MessagePack are not what was signed."""
    arrived = sealed(TRADE)
    longer = bytes(arrived.body).replace(b"\x01\x02", b"\xcc\x01\x02", 1)
    again = structs.replace(arrived, body=Raw(longer))
    assert CODEC.open(again) == TRADE
    at_b = Gate(CODEC)
    assert at_b.admit(again, NOW_S, caller("trader")) is None
    assert at_b.refused == {Drop.BAD_SIGNATURE: 1}


def test_every_signed_kind_is_said_by_some_role() -> None:
    said = {kind_of(each) for union, _ in TABLE for each in messages_of(union)}
    assert said >= SIGNED
