"""What the membership says fits into a frame, and comes out of it as it went in."""

from collections import Counter

import pytest

from peercell.agents.membership_messages import (
    AGES_PER_MESSAGE,
    RECORDS_PER_MESSAGE,
    AdmissionLearned,
    Admit,
    Admitted,
    ChangeKeys,
    KeysChanging,
    KeyStep,
    KnownPeer,
    Leave,
    MembershipMessage,
    PeerAlive,
    PeerReturned,
    PeerSuspected,
    Probe,
    ProbeAnswer,
    ProbeRequest,
    RecordAge,
    RecordConflict,
    RecordLearned,
    RecordsWanted,
    RosterAnswer,
    RosterHash,
    RosterPage,
    RosterQuery,
    Rumour,
)
from peercell.agents.messages import Message
from peercell.agents.signing import SignedRecord
from peercell.broker.wire import VERSION, Codec, Envelope, messages_of

LONGEST = "p" * 64
RECORD = SignedRecord(b"r" * 512, b"s" * 64)
AGE = RecordAge(LONGEST, 2**53, 2**53, 2**53)

# The largest message of each kind.
LARGEST: list[Message] = [
    Rumour((RECORD,) * RECORDS_PER_MESSAGE, (RECORD,) * RECORDS_PER_MESSAGE),
    RosterHash(2**53),
    RosterPage(LONGEST, LONGEST, (AGE,) * AGES_PER_MESSAGE),
    RecordsWanted((LONGEST,) * AGES_PER_MESSAGE),
    Probe(2**53),
    ProbeAnswer(2**53),
    ProbeRequest(LONGEST),
    PeerAlive(LONGEST),
    RecordLearned(RECORD),
    AdmissionLearned(RECORD),
    KeysChanging(LONGEST, KeyStep.END),
    RecordConflict(LONGEST, 2**53),
    PeerSuspected(LONGEST, 1e9),
    PeerReturned(LONGEST, 1e9),
    Leave(),
    ChangeKeys(b"s" * 32, b"c" * 32, "tcp://" + "1" * 122),
    Admit((RECORD,) * RECORDS_PER_MESSAGE),
    Admitted(2**53, 2**53),
    RosterQuery(LONGEST),
    RosterAnswer((KnownPeer(RECORD, suspected=True, silence_s=1e9),) * 64, LONGEST),
]


@pytest.mark.parametrize("message", LARGEST, ids=lambda message: type(message).__name__)
def test_the_largest_message_goes_through_a_frame(message: Message) -> None:
    codec = Codec(MembershipMessage)
    kind = codec.names[type(message)]
    frame = codec.frame([Envelope(VERSION, kind, LONGEST, LONGEST, 2**53, 2**53, 1e11, message)])
    (envelope,) = codec.envelopes(frame, Counter())
    assert codec.open(envelope) == message


def test_every_kind_is_tried() -> None:
    assert {type(message) for message in LARGEST} == set(messages_of(MembershipMessage))
