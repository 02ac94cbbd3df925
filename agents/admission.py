"""Who belongs to the cell: what its operator has signed of each peer, the newest of which counts.

An admission is believed for the operator's signature and never for its sender, so it spreads among
the peers like their own records, with no directory in between; so does its revocation.
"""

from collections.abc import Iterator
from enum import Enum, auto
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from peercell.agents.signing import (
    Count,
    Instant,
    Key,
    Merged,
    PeerId,
    Sign,
    SignedRecord,
    Verify,
)

MEMBERS_MAX = 4096


class PeerKeys(Struct, frozen=True, array_like=True):
    """The public keys of a peer and when they count.

    Parameters
    ----------
    curve : of its links, Curve25519
    signing : of its signatures, Ed25519
    not_before_s, expires_s : s, Unix time
    """

    curve: Key
    signing: Key
    not_before_s: Instant
    expires_s: Instant


class Admission(Struct, frozen=True, array_like=True):
    """What an operator says of a peer.

    Parameters
    ----------
    peer : id, unique in the cell
    role : what it may do
    cell : name
    serial : the statement with the highest one counts
    keys : the newest first; the one before it is listed too until all have gone over to the new one
    revoked : none of these keys is to be believed any more
    """

    peer: PeerId
    role: Annotated[str, Meta(max_length=64)]
    cell: Annotated[str, Meta(max_length=64)]
    serial: Count
    keys: Annotated[tuple[PeerKeys, ...], Meta(min_length=1, max_length=2)]
    revoked: bool = False

    def counts(self, now_s: float) -> Iterator[PeerKeys]:
        """Yield the keys that are to be believed at a time."""
        if not self.revoked:
            yield from (each for each in self.keys if each.not_before_s <= now_s < each.expires_s)


class Standing(Enum):
    """What a key of a link is worth."""

    UNKNOWN = auto()
    MEMBER = auto()
    REVOKED = auto()


class Charter(Struct, frozen=True):
    """Whose word decides who belongs to a cell, and what it was so far.

    Parameters
    ----------
    cell : name; an admission to another one is false here
    operator : Ed25519 key whose signature alone counts; b"" for a cell that anybody may join
    admissions : that are known from the start
    """

    cell: str = ""
    operator: bytes = b""
    admissions: tuple[SignedRecord, ...] = ()


class Members:
    """The peers that an operator has admitted, the same on all peers that have talked enough.

    Parameters
    ----------
    charter : of the cell
    verify : tells whether a signature is good; given by the host, because it is dear
    """

    def __init__(self, charter: Charter, verify: Verify) -> None:
        self._cell = charter.cell
        self._operator = charter.operator
        self._verify = verify
        self._admissions: dict[str, Admission] = {}
        self._signed: dict[str, SignedRecord] = {}
        self._by_curve: dict[bytes, set[str]] = {}
        self._hash = 0
        for admission in charter.admissions:
            self.merge(admission)

    def __len__(self) -> int:
        return len(self._admissions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._admissions)

    @property
    def is_open(self) -> bool:
        """Whether anybody may join: there is no operator."""
        return not self._operator

    @property
    def hash(self) -> int:
        """A number that two of these share exactly when they hold the same admissions."""
        return self._hash

    def get(self, peer: str) -> Admission | None:
        """Return the newest admission of a peer, also when it is a revocation, or None."""
        return self._admissions.get(peer)

    def signed(self, peer: str) -> SignedRecord:
        """Return the newest admission of a known peer with its signature."""
        return self._signed[peer]

    def knows(self, statement: SignedRecord) -> bool:
        """Return whether a statement is the newest one of some peer."""
        return statement in self._signed.values()

    def serial(self, peer: str) -> int:
        """Return the serial of the newest admission of a peer, 0 when there is none."""
        found = self._admissions.get(peer)
        return found.serial if found is not None else 0

    def merge(self, arrived: SignedRecord) -> tuple[Merged, Admission | None]:
        """Take an admission or revocation in if the operator signed it and it is the newest.

        Returns
        -------
        What became of it, and what it says unless it is FALSE.
        """
        try:
            admission = _decode(arrived.record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Merged.FALSE, None
        known = self._admissions.get(admission.peer)
        if known is not None and admission.serial <= known.serial:
            known_already = arrived == self._signed[admission.peer]
            return (Merged.KNOWN if known_already else Merged.OLD), admission
        full = known is None and len(self._admissions) >= MEMBERS_MAX
        if self.is_open or full or admission.cell != self._cell:
            return Merged.FALSE, None
        if not self._verify(self._operator, arrived.record, arrived.signature):
            return Merged.FALSE, None
        self._keep(admission, arrived)
        return Merged.NEWS, admission

    def member_of(self, curve: bytes, now_s: float) -> Admission | None:
        """Return the admission of the peer that a key of a link belongs to, or None.

        None for a key that is unknown, has expired, or is revoked or replaced. Peers that share a
        process share its key; then it is the first of them by name.
        """
        for peer in sorted(self._by_curve.get(curve, ())):
            if self.speaks_for(curve, peer, now_s):
                return self._admissions[peer]
        return None

    def speaks_for(self, curve: bytes, peer: str, now_s: float) -> bool:
        """Return whether what comes over a link with this key may be a peer's word."""
        admission = self._admissions.get(peer)
        return admission is not None and any(
            each.curve == curve for each in admission.counts(now_s)
        )

    def standing(self, curve: bytes, now_s: float) -> Standing:
        """Return what a key of a link is worth.

        REVOKED is for good: the key was revoked, or newer ones have replaced it. UNKNOWN may change
        with the next admission that arrives.
        """
        if self.member_of(curve, now_s) is not None:
            return Standing.MEMBER
        owners = [self._admissions[peer] for peer in self._by_curve.get(curve, ())]
        waiting = any(
            each.curve == curve and not owner.revoked for owner in owners for each in owner.keys
        )
        return Standing.REVOKED if owners and not waiting else Standing.UNKNOWN

    def admits(self, peer: str, signing: bytes, curve: bytes, now_s: float) -> bool:
        """Return whether two keys are those of a peer; always in a cell that anybody may join."""
        if self.is_open:
            return True
        admission = self._admissions.get(peer)
        return admission is not None and any(
            each.signing == signing and each.curve == curve for each in admission.counts(now_s)
        )

    def _keep(self, admission: Admission, arrived: SignedRecord) -> None:
        if admission.peer in self._signed:
            self._hash ^= _digest(self._signed[admission.peer])
        self._admissions[admission.peer] = admission
        self._signed[admission.peer] = arrived
        # Keys that are listed no more stay here: so they are known to be of the past.
        for each in admission.keys:
            self._by_curve.setdefault(each.curve, set()).add(admission.peer)
        self._hash ^= _digest(arrived)


def sign_admission(admission: Admission, sign: Sign) -> SignedRecord:
    """Return an admission with the operator's signature."""
    encoded = _encode(admission)
    return SignedRecord(encoded, sign(encoded))


def admission_of(kept: SignedRecord) -> Admission:
    """Return what a signed admission says.

    Raises
    ------
    msgspec.MsgspecError : it is none.
    """
    return _decode(kept.record)


def revocation_of(admission: Admission, serial: int) -> Admission:
    """Return the statement that a peer is admitted no more."""
    return structs.replace(admission, serial=serial, revoked=True)


def rotated(admission: Admission, fresh: PeerKeys, serial: int, overlap_s: float) -> Admission:
    """Return an admission with new keys, beside which the newest ones count for a while.

    Parameters
    ----------
    admission : so far
    fresh : new keys
    serial : of the new statement
    overlap_s : s from when the new keys count during which the others do too
    """
    before = admission.keys[0]
    until_s = min(before.expires_s, fresh.not_before_s + overlap_s)
    return structs.replace(
        admission,
        serial=serial,
        keys=(fresh, structs.replace(before, expires_s=until_s)),
        revoked=False,
    )


def _digest(kept: SignedRecord) -> int:
    """Return 53 bits of an admission, so that the sum over all is a legal `Count`."""
    return int.from_bytes(blake2b(kept.record, digest_size=8, person=b"admission").digest()) >> 11


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Admission).decode
