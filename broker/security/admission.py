"""What an operator signs: who may join a cell, as what, and until when; and the text of it.

An admission travels in two ways: among the peers by gossip, and once, on paper or by mail, to the
peer itself, as a join token that says besides what the peer is to run.
"""

import base64
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from peercell.agents.admission import (
    Admission,
    Charter,
    PeerKeys,
    admission_of,
)
from peercell.agents.errors import PeercellError
from peercell.agents.signing import Signature, SignedRecord
from peercell.broker.home import CellHome
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.security.identity import (
    Identity,
    PublicIdentity,
    verify,
)
from peercell.broker.wire import UNDECODABLE

JOIN = ".join"
# Told apart from other text, and from tokens of a later form, by how it begins.
_PREFIX = "peercell-join-1:"
BYTES_MAX = 256 * 1024

# The name of a process and the peers in it.
Crewed = tuple[str, tuple[PeerSpec, ...]]


class TokenError(PeercellError):
    """A join token that cannot be used."""

    exit_code = 3


class Terms(NamedTuple):
    """On which terms a peer is admitted.

    Parameters
    ----------
    cell : name
    role : what it may do
    not_before_s, expires_s : s, Unix time
    """

    cell: str
    role: str
    not_before_s: float
    expires_s: float


class Part(Struct, frozen=True, kw_only=True):
    """What a peer is to run: its part of the plan of a cell.

    Parameters
    ----------
    spec : role and settings
    unions : "module:NAME" of the unions of messages that it hears
    observer : peer that gets copies of its facts; "" for none
    journal_bytes_max : of its journal; 0 for none
    """

    spec: PeerSpec
    unions: tuple[str, ...]
    observer: str
    journal_bytes_max: int


class JoinToken(Struct, frozen=True, kw_only=True):
    """All that a newcomer needs to know, besides where to knock.

    Parameters
    ----------
    operator : Ed25519 key that signed this and the admission
    admission : to be shown to other peers
    part : None where it reads the config of the cell itself
    """

    operator: bytes
    admission: SignedRecord
    part: Part | None = None

    @property
    def charter(self) -> Charter:
        """Who belongs to the cell, as far as a newcomer knows."""
        return Charter(self.admitted.cell, self.operator, (self.admission,))

    @property
    def admitted(self) -> Admission:
        """What the admission says."""
        return admission_of(self.admission)


class _Sealed(Struct, frozen=True, array_like=True):
    """A token as it was encoded, with the operator's signature over these very bytes."""

    token: bytes
    signature: Signature


def admission(public: PublicIdentity, terms: Terms) -> Admission:
    """Return an admission that is yet to be signed; its serial is the ms at which it begins."""
    keys = keys_of(public, terms.not_before_s, terms.expires_s)
    return Admission(public.peer, terms.role, terms.cell, serial_at(terms.not_before_s), (keys,))


def keys_of(public: PublicIdentity, not_before_s: float, expires_s: float) -> PeerKeys:
    """Return public keys and when they count, as they are listed in an admission."""
    return PeerKeys(public.curve, public.signing, not_before_s, expires_s)


def serial_at(now_s: float) -> int:
    """Return the serial of a statement that is made now: ms, so that a later one counts."""
    return int(1000 * now_s)


def part_at(home: CellHome, peer: str) -> Part | None:
    """Return what a peer of a cell is to run on another machine; None where nobody has said so."""
    try:
        return msgspec.json.decode(home.part(peer).read_bytes(), type=Part)
    except FileNotFoundError:
        return None


def token_text(token: JoinToken, operator: Identity) -> str:
    """Return a join token as one line of text, signed; there is nothing secret in it."""
    encoded = msgspec.msgpack.encode(token)
    sealed = msgspec.msgpack.encode(_Sealed(encoded, operator.sign(encoded)))
    return _PREFIX + base64.urlsafe_b64encode(zlib.compress(sealed, 9)).decode()


def read_token(text: str) -> JoinToken:
    """Return what a join token says, once it is found to be whole and of one operator.

    Raises
    ------
    TokenError : it is no token, or was changed.
    """
    told = text.strip()
    if not told.startswith(_PREFIX):
        raise TokenError(
            "this is no join token", f"it does not begin with {_PREFIX}", "peercell keys admit"
        )
    try:
        packed = base64.urlsafe_b64decode(told.removeprefix(_PREFIX))
        unpack = zlib.decompressobj()
        sealed = msgspec.msgpack.decode(unpack.decompress(packed, BYTES_MAX), type=_Sealed)
        token = msgspec.msgpack.decode(sealed.token, type=JoinToken)
        admitted = token.admitted
    except (ValueError, zlib.error, *UNDECODABLE) as error:
        raise TokenError("a join token is spoilt", str(error), "copy it anew, whole") from None
    signed = verify(token.operator, sealed.token, sealed.signature)
    agrees = token.part is None or token.part.spec.peer == admitted.peer
    kept = token.admission
    if not (signed and agrees and verify(token.operator, kept.record, kept.signature)):
        raise TokenError(
            "a join token is false", "it is not as its operator signed it", "ask for a new one"
        )
    return token


def load_token(path: Path) -> JoinToken:
    """Return the join token in a file.

    Raises
    ------
    TokenError : there is none, or it cannot be used.
    """
    try:
        return read_token(path.read_text())
    except OSError as error:
        raise TokenError(
            f"cannot read the join token {path}",
            error.strerror or str(error),
            "peercell keys admit, at the operator's; then bring its answer here",
        ) from None
    except UnicodeDecodeError:
        raise TokenError(f"{path} is no join token", "it is no text") from None
