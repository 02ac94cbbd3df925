"""What peers say to each other, and tell their observers, about who is there."""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.agents.signing import Count, Endpoint, Key, PeerId, SignedRecord

RECORDS_PER_MESSAGE = 16
AGES_PER_MESSAGE = 256

Records = Annotated[tuple[SignedRecord, ...], Meta(max_length=RECORDS_PER_MESSAGE)]


class Rumour(Message, frozen=True):
    """Records, and admissions by the operator, that may be news to you."""

    records: Records
    admissions: Records = ()


class RosterHash(Message, frozen=True):
    """The hash over all that I know; say nothing when yours is the same."""

    hash: Count


class RecordAge(Struct, frozen=True, array_like=True):
    """How new the record and the admission are that I have of a peer; 0 for none."""

    peer: PeerId
    incarnation: Count
    serial: Count
    admission: Count = 0


class RosterPage(Message, frozen=True):
    """All that I know of the peers from `first` up to, and without, `end`; "" leaves it open."""

    first: Annotated[str, Meta(max_length=64)]
    end: Annotated[str, Meta(max_length=64)]
    ages: Annotated[tuple[RecordAge, ...], Meta(max_length=AGES_PER_MESSAGE)]


class RecordsWanted(Message, frozen=True):
    """Send me what you know of these peers: it is newer."""

    peers: Annotated[tuple[PeerId, ...], Meta(max_length=AGES_PER_MESSAGE)]


class Probe(Message, frozen=True):
    """Are you there; answer with the same number."""

    nonce: Count


class ProbeAnswer(Message, frozen=True):
    """I am here."""

    nonce: Count


class ProbeRequest(Message, frozen=True):
    """I cannot hear this peer: tell me if you can."""

    peer: PeerId


class PeerAlive(Message, frozen=True):
    """I have just heard the peer that you asked about."""

    peer: PeerId


class RecordLearned(Message, frozen=True):
    """A fact for observers: a new or newer record was taken in."""

    signed: SignedRecord


class AdmissionLearned(Message, frozen=True):
    """A fact for observers: a new or newer admission, or a revocation, was taken in."""

    signed: SignedRecord


class KeyStep(IntEnum):
    """What a peer does next on its way to new keys."""

    TAKE = 0
    SPEAK = 1
    END = 2


class KeysChanging(Message, frozen=True):
    """A fact for observers: a peer goes over to new keys.

    It is time to TAKE them, since the operator has named them; to SPEAK with them, since others
    have been told; to END the use of the old ones.
    """

    peer: PeerId
    step: KeyStep


class RecordConflict(Message, frozen=True):
    """A fact for observers: two records of one peer claim the same age."""

    peer: PeerId
    incarnation: Count


class PeerSuspected(Message, frozen=True):
    """A fact for observers: a neighbour is silent, and so are its helpers about it."""

    peer: PeerId
    silence_s: Annotated[float, Meta(ge=0.0, le=1e9)]


class PeerReturned(Message, frozen=True):
    """A fact for observers: a suspected neighbour was heard again."""

    peer: PeerId
    silence_s: Annotated[float, Meta(ge=0.0, le=1e9)]


class Leave(Message, frozen=True):
    """A request of the host: tell the others that this peer goes on purpose."""


class ChangeKeys(Message, frozen=True):
    """A request of the host: the operator has admitted these keys, and this is where they hold."""

    signing_key: Key
    curve_key: Key
    endpoint: Endpoint


class Admit(Message, frozen=True):
    """A request of an operator: take these admissions and revocations in, and spread them."""

    admissions: Records


class Admitted(Message, frozen=True):
    """How many of these count now, and how many are old or not signed by this cell's operator."""

    taken: Count
    refused: Count


class RosterQuery(Message, frozen=True):
    """A request of an operator: whom do you know, from `first` on."""

    first: Annotated[str, Meta(max_length=64)] = ""


class KnownPeer(Struct, frozen=True, array_like=True):
    """A peer as another one sees it; `silence_s` is below 0 where it does not watch it."""

    signed: SignedRecord
    suspected: bool
    silence_s: Annotated[float, Meta(ge=-1.0, le=1e9)]


class RosterAnswer(Message, frozen=True):
    """Up to 64 known peers in order of their ids; ask again from `next`, "" when that was all."""

    peers: Annotated[tuple[KnownPeer, ...], Meta(max_length=64)]
    next: Annotated[str, Meta(max_length=64)] = ""


Gossip = Rumour | RosterHash | RosterPage | RecordsWanted
Probing = Probe | ProbeAnswer | ProbeRequest | PeerAlive
MembershipFact = (
    RecordLearned | AdmissionLearned | KeysChanging | RecordConflict | PeerSuspected | PeerReturned
)
MembershipRequest = Leave | Admit | ChangeKeys | RosterQuery
MembershipMessage = Gossip | Probing | MembershipFact | MembershipRequest | Admitted | RosterAnswer
"""All of this page."""
