"""An operator, the peers that it has admitted, and links to them from all kinds of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import zmq
from nacl.signing import SigningKey

from peercell.agents.admission import (
    Admission,
    Charter,
    Members,
    PeerKeys,
    revocation_of,
    sign_admission,
)
from peercell.agents.signing import SignedRecord
from peercell.broker.inbound import Security
from peercell.broker.security.identity import Identity, make_identity, verify
from peercell.broker.sockets import LinkKeys, Socket, make, unlock

CELL = "village"
FOREVER_S = 1e11


def keys_of(identity: Identity) -> LinkKeys:
    """Return the keys of the links of a peer."""
    return LinkKeys(identity.curve_public, identity.curve_secret)


@dataclass
class Village:
    """Who belongs to a cell, by word of its operator."""

    operator: SigningKey = field(default_factory=SigningKey.generate)
    identities: dict[str, Identity] = field(default_factory=dict)
    admissions: dict[str, Admission] = field(default_factory=dict)
    serial: int = 0

    @property
    def charter(self) -> Charter:
        """What a peer is told that joins now."""
        known = tuple(map(self.signed, self.admissions.values()))
        return Charter(CELL, bytes(self.operator.verify_key), known)

    def identity(self, peer: str) -> Identity:
        """Return the keys of a peer, whether it is admitted or not."""
        return self.identities.setdefault(peer, make_identity(peer))

    def admit(self, peer: str, role: str = "test") -> SignedRecord:
        """Let a peer in, and return the statement about it."""
        public = self.identity(peer).public
        keys = PeerKeys(public.curve, public.signing, 0.0, FOREVER_S)
        self.serial += 1
        self.admissions[peer] = Admission(peer, role, CELL, self.serial, (keys,))
        return self.signed(self.admissions[peer])

    def revoke(self, peer: str) -> SignedRecord:
        """Let a peer be a member no more, and return the statement about it."""
        self.serial += 1
        self.admissions[peer] = revocation_of(self.admissions[peer], self.serial)
        return self.signed(self.admissions[peer])

    def signed(self, admission: Admission) -> SignedRecord:
        """Return a statement as its operator signs it."""
        return sign_admission(admission, lambda said: self.operator.sign(said).signature)

    def security(self, peer: str) -> Security:
        """Return how the links of a peer are locked, with what is known now of the others."""
        return Security(keys_of(self.identity(peer)), Members(self.charter, verify))


@contextmanager
def link(endpoint: str, mine: LinkKeys | None, theirs: bytes = b"") -> Iterator[Socket]:
    """Return a socket to a host as some other program would make it; without keys if None."""
    with zmq.Context() as context, make(context, zmq.PUSH) as push:
        if mine is not None:
            unlock(push, mine, theirs)
        push.connect(endpoint)
        yield push
