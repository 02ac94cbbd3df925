"""Who is in the cell and where: records that each peer signs itself, and which of two is newer.

A record is believed for its signature and never for its sender, so anybody may pass it on. The key
in the first record of a peer stays its key until that record's lease has run out.
"""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

PEERS_MAX = 4096

PeerId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")]
Endpoint = Annotated[str, Meta(pattern=r"^(tcp|ipc)://", max_length=128)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Instant = Annotated[float, Meta(ge=0.0, le=1e11)]

# (key, message, signature) -> whether the owner of the key has signed the message.
Verify = Callable[[bytes, bytes, bytes], bool]
Sign = Callable[[bytes], bytes]


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
    """

    peer: PeerId
    role: Annotated[str, Meta(max_length=64)]
    incarnation: Count
    serial: Count
    endpoint: Endpoint
    signing_key: Key
    expires_s: Instant
    left: bool = False

    @property
    def age(self) -> tuple[int, int]:
        """What orders the records of one peer: the higher is the newer."""
        return self.incarnation, self.serial


class SignedRecord(Struct, frozen=True, array_like=True):
    """A record as its peer encoded it, with the signature over these very bytes."""

    record: Annotated[bytes, Meta(max_length=512)]
    signature: Signature


class Merged(Enum):
    """What a roster made of a record."""

    NEWS = auto()
    KNOWN = auto()
    OLD = auto()
    FALSE = auto()
    CONFLICT = auto()


def signed(record: PeerRecord, sign: Sign) -> SignedRecord:
    """Return a record with its signature."""
    encoded = _encode(record)
    return SignedRecord(encoded, sign(encoded))


def record_of(kept: SignedRecord) -> PeerRecord:
    """Return the record in a signed one that was found good before."""
    return _decode(kept.record)


class Roster:
    """The newest record of every peer, the same on all peers once they have talked enough.

    Parameters
    ----------
    verify : tells whether a signature is good; given by the host, because it is dear
    """

    def __init__(self, verify: Verify) -> None:
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
        return self._hash

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

    def merge(self, arrived: SignedRecord, now_s: float) -> tuple[Merged, PeerRecord | None]:
        """Take a record in if it is good and newer than what is known.

        Parameters
        ----------
        arrived : from anybody
        now_s : s, host time

        Returns
        -------
        What became of it, and the record itself unless it is KNOWN or unreadable. CONFLICT is two
        different records of one peer that claim the same age: a stolen key, or two copies run.
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

    def forget_expired(self, now_s: float) -> None:
        """Drop the records whose lease has run out."""
        for peer in [p for p, record in self._records.items() if record.expires_s < now_s]:
            self._drop(peer)

    def newer_than(self, ages: dict[str, tuple[int, int]], peers: Iterable[str]) -> list[str]:
        """Return which of some known peers have a newer record here than elsewhere.

        Parameters
        ----------
        ages : (incarnation, serial) of what is known elsewhere; a peer that is not in it is unknown
        peers : which to compare
        """
        nothing = (-1, -1)
        return [peer for peer in peers if self._records[peer].age > ages.get(peer, nothing)]

    def older_than(self, ages: dict[str, tuple[int, int]]) -> list[str]:
        """Return the peers of which somebody else has a newer record."""
        return [
            peer
            for peer, age in ages.items()
            if (known := self._records.get(peer)) is None or known.age < age
        ]

    def _weigh(self, record: PeerRecord, now_s: float) -> Merged:
        """Return what a record is if its signature is good: that is the dear part of the test."""
        known = self._records.get(record.peer)
        if known is None:
            full = len(self._records) >= PEERS_MAX
            return Merged.OLD if full or record.expires_s < now_s else Merged.NEWS
        if record.age < known.age or record.expires_s < now_s:
            return Merged.OLD
        if record.signing_key != known.signing_key:
            return Merged.FALSE
        return Merged.NEWS if record.age > known.age else Merged.CONFLICT

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


def _digest(kept: SignedRecord) -> int:
    """Return 53 bits of a record, so that the sum over all is a legal `Count`."""
    return int.from_bytes(blake2b(kept.record, digest_size=8).digest()) >> 11


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PeerRecord).decode
