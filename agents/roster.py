"""Who is in the cell and where: records that each peer signs itself, and which of two is newer.

A record is believed for its signature and never for its sender, so anybody may pass it on. The key
in the first record of a peer stays its key until that record's lease has run out; where the cell
has an operator, the peer and its keys have to be among those that the operator has admitted.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from peercell.agents.admission import Admission, Members
from peercell.agents.signing import (
    Count,
    Endpoint,
    Instant,
    Key,
    Merged,
    PeerId,
    Sign,
    SignedRecord,
    Verify,
)

PEERS_MAX = 4096

CurveKey = Annotated[bytes, Meta(max_length=32)]


class PeerRecord(Struct, frozen=True, array_like=True):
    """What a peer says of itself.

    Parameters
    ----------
    peer : id, unique in the cell
    role : name of what it does
    incarnation : a higher one is a restart
    serial : a higher one is news within an incarnation
    endpoint : where it listens
    signing_key : of its signatures, Ed25519
    expires_s : s, Unix time at which it is to be forgotten
    left : it has gone on purpose
    curve_key : of its links, Curve25519; b"" where they are not encrypted
    """

    peer: PeerId
    role: Annotated[str, Meta(max_length=64)]
    incarnation: Count
    serial: Count
    endpoint: Endpoint
    signing_key: Key
    expires_s: Instant
    left: bool = False
    curve_key: CurveKey = b""

    @property
    def age(self) -> tuple[int, int]:
        """What orders the records of one peer: the higher is the newer."""
        return self.incarnation, self.serial


def signed(record: PeerRecord, sign: Sign) -> SignedRecord:
    """Return a record with its signature."""
    encoded = _encode(record)
    return SignedRecord(encoded, sign(encoded))


def record_of(kept: SignedRecord) -> PeerRecord:
    """Return the record in a signed one that was found good before."""
    return _decode(kept.record)


Age = tuple[int, int, int]
"""Incarnation and serial of a peer's record, and serial of its admission; 0 for what is unknown."""


class Roster:
    """The newest record of every peer, the same on all peers once they have talked enough.

    Parameters
    ----------
    verify : tells whether a signature is good; given by the host, because it is dear
    members : who is admitted to the cell
    """

    def __init__(self, verify: Verify, members: Members) -> None:
        self.members = members
        self._verify = verify
        self._records: dict[str, PeerRecord] = {}
        self._signed: dict[str, SignedRecord] = {}
        self._kept: set[bytes] = set()
        self._hash = 0

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, peer: object) -> bool:
        return peer in self._records

    @property
    def hash(self) -> int:
        """A number that two rosters share exactly when they hold the same records."""
        return self._hash ^ self.members.hash

    def get(self, peer: str) -> PeerRecord | None:
        """Return the newest record of a peer, or None."""
        return self._records.get(peer)

    def signed(self, peer: str) -> SignedRecord:
        """Return the newest record of a known peer with its signature."""
        return self._signed[peer]

    def peers(self) -> list[str]:
        """Return all known peers, sorted."""
        return sorted(self._records)

    def present(self) -> list[str]:
        """Return the peers that have not left, sorted."""
        return sorted(peer for peer, record in self._records.items() if not record.left)

    def named(self) -> list[str]:
        """Return all peers that have a record or an admission, sorted."""
        return sorted({*self._records, *self.members})

    def age(self, peer: str) -> Age:
        """Return how new that is which is known of a peer."""
        record = self._records.get(peer)
        return *(record.age if record is not None else (0, 0)), self.members.serial(peer)

    def merge(self, arrived: SignedRecord, now_s: float) -> tuple[Merged, PeerRecord | None]:
        """Take a record in if it is good and newer than what is known.

        Parameters
        ----------
        arrived : from anybody
        now_s : s, host time

        Returns
        -------
        What became of it, and the record itself unless it is KNOWN or unreadable.
        """
        if arrived.record in self._kept:
            # Most of what arrives: each record comes from about every contact.
            return Merged.KNOWN, None
        try:
            record = _decode(arrived.record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Merged.FALSE, None
        merged = self._weigh(record, now_s)
        if merged in (Merged.NEWS, Merged.CONFLICT) and not self._verify(
            record.signing_key, arrived.record, arrived.signature
        ):
            return Merged.FALSE, record
        if merged is Merged.NEWS:
            self._keep(record, arrived)
        return merged, record

    def admit(self, arrived: SignedRecord, now_s: float) -> Admission | None:
        """Take an admission in; return it if it is news. A record that it leaves no key is gone."""
        merged, admission = self.members.merge(arrived)
        if merged is not Merged.NEWS or admission is None:
            return None
        record = self._records.get(admission.peer)
        if record is not None and not self._may_say(record, now_s):
            self._drop(admission.peer)
        return admission

    def forget_expired(self, now_s: float) -> None:
        """Drop the records whose lease has run out, and those of peers that are members no more."""
        for peer, record in list(self._records.items()):
            if record.expires_s < now_s or not self._may_say(record, now_s):
                self._drop(peer)

    def newer_than(self, ages: dict[str, Age], peers: Iterable[str]) -> list[str]:
        """Return of which peers more is known here than elsewhere.

        Parameters
        ----------
        ages : of what is known elsewhere; a peer that is not in it is unknown
        peers : which to compare
        """
        return [peer for peer in peers if _newer(self.age(peer), ages.get(peer, _UNKNOWN))]

    def older_than(self, ages: dict[str, Age]) -> list[str]:
        """Return the peers of which somebody else has a newer record or admission."""
        return [peer for peer, age in ages.items() if _newer(age, self.age(peer))]

    def _weigh(self, record: PeerRecord, now_s: float) -> Merged:
        """Return what a record is if its signature is good: that is the dear part of the test."""
        if not self._may_say(record, now_s):
            return Merged.FALSE
        known = self._records.get(record.peer)
        if known is None:
            full = len(self._records) >= PEERS_MAX
            return Merged.OLD if full or record.expires_s < now_s else Merged.NEWS
        if record.age < known.age or record.expires_s < now_s:
            return Merged.OLD
        if record.signing_key != known.signing_key and self.members.is_open:
            return Merged.FALSE
        return Merged.NEWS if record.age > known.age else Merged.CONFLICT

    def _may_say(self, record: PeerRecord, now_s: float) -> bool:
        """Return whether the keys in a record are those that its peer was admitted with."""
        return self.members.admits(record.peer, record.signing_key, record.curve_key, now_s)

    def _keep(self, record: PeerRecord, arrived: SignedRecord) -> None:
        if record.peer in self._records:
            self._drop(record.peer)
        self._records[record.peer] = record
        self._signed[record.peer] = arrived
        self._kept.add(arrived.record)
        self._hash ^= _digest(arrived)

    def _drop(self, peer: str) -> None:
        del self._records[peer]
        dropped = self._signed.pop(peer)
        self._kept.remove(dropped.record)
        self._hash ^= _digest(dropped)


def _newer(one: Age, other: Age) -> bool:
    """Return whether one side has something of a peer that the other has not."""
    return one[:2] > other[:2] or one[2] > other[2]


def _digest(kept: SignedRecord) -> int:
    """Return 53 bits of a record, so that the sum over all is a legal `Count`."""
    return int.from_bytes(blake2b(kept.record, digest_size=8).digest()) >> 11


_UNKNOWN: Age = (-1, -1, 0)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PeerRecord).decode
