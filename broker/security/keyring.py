"""What `peercell keys` does with files: new keys, what is in a file, admissions and revocations."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from peercell.agents.admission import Admission, revocation_of, rotated, sign_admission
from peercell.agents.errors import PeercellError
from peercell.agents.signing import PeerId
from peercell.broker.security.admission import (
    JOIN,
    JoinToken,
    Part,
    Terms,
    admission,
    keys_of,
    load_token,
    serial_at,
    token_text,
)
from peercell.broker.security.identity import (
    PUBLIC,
    SECRET,
    Identity,
    KeyFileError,
    PublicIdentity,
    load_identity,
    load_public,
    make_identity,
    save_identity,
    save_public,
)

# Behind the name of a peer, while its next keys wait for being admitted.
NEXT = ".next"


class KeyFiles(Struct, frozen=True):
    """New keys of a peer and where they are."""

    peer: str
    fingerprint: str
    secret: str
    public: str


class Shown(Struct, frozen=True, kw_only=True):
    """What a file is, without anything secret; times are Unix time in s, 0 for none.

    Parameters
    ----------
    file : path
    kind : "secret keys", "public keys" or "join token"
    peer, fingerprint : whose keys, in words
    cell, role : of an admission; "" where there is none
    expires_s : of an admission
    """

    file: str
    kind: str
    peer: str
    fingerprint: str
    cell: str = ""
    role: str = ""
    expires_s: float = 0.0


class Overlap(NamedTuple):
    """Keys that count beside new ones, and for how many s."""

    public: PublicIdentity
    s: float


def new_keys(peer: str, folder: Path) -> KeyFiles:
    """Make keys of a peer in a folder, which is made if need be.

    Raises
    ------
    KeyFileError : there are keys already, or the folder cannot be used.
    """
    try:
        msgspec.convert(peer, PeerId)
    except msgspec.ValidationError:
        raise KeyFileError(
            f"{peer!r} is no id of a peer",
            "it has letters, digits, dots, dashes and underscores, 64 at most",
            "peercell keys new mg3.trader",
        ) from None
    return _write_keys(make_identity(peer), folder, peer)


def next_keys(secret: Path) -> KeyFiles:
    """Make the keys that are to follow those in a file, beside it, and show those of now.

    Raises
    ------
    KeyFileError : there are none to follow, or the next ones are there already.
    """
    present = load_identity(secret)
    # Keys that a cell has made itself have no public file, which the operator will want to see.
    save_public(secret.with_suffix(PUBLIC), present.public)
    return _write_keys(make_identity(present.peer), secret.parent, secret.stem + NEXT)


def show_file(path: Path) -> Shown:
    """Return what a file of keys is.

    Raises
    ------
    PeercellError : it is none, or cannot be read.
    """
    if path.suffix == JOIN:
        token = load_token(path)
        return _shown_admission(path, token.admitted)
    if path.suffix == SECRET:
        public, kind = load_identity(path).public, "secret keys"
    else:
        public, kind = load_public(path), "public keys"
    return Shown(file=str(path), kind=kind, peer=public.peer, fingerprint=public.fingerprint)


def admission_of_keys(
    public: PublicIdentity, terms: Terms, beside: Overlap | None = None
) -> Admission:
    """Return an admission, to be signed by the operator.

    Parameters
    ----------
    public : keys of the peer
    terms : on which it is admitted
    beside : keys that count for a while yet, when these replace them

    Raises
    ------
    PeercellError : the two sets of keys are of two peers.
    """
    if beside is None:
        return admission(public, terms)
    if beside.public.peer != public.peer:
        raise PeercellError(
            f"{public.peer} cannot take over from {beside.public.peer}",
            "keys are replaced by others of the same peer",
        )
    before = admission(beside.public, terms)
    fresh = keys_of(public, terms.not_before_s, terms.expires_s)
    return rotated(before, fresh, serial_at(terms.not_before_s), beside.s)


def write_token(
    path: Path, operator: Identity, admitted: Admission, part: Part | None
) -> tuple[JoinToken, str]:
    """Write a join token and return it, and its text.

    Raises
    ------
    PeercellError : the file cannot be written.
    """
    signed = sign_admission(admitted, operator.sign)
    token = JoinToken(operator=operator.public.signing, admission=signed, part=part)
    text = token_text(token, operator)
    try:
        path.write_text(f"{text}\n")
    except OSError as error:
        raise KeyFileError(f"cannot write {path}", error.strerror or str(error)) from None
    return token, text


def revocation(what: str, cell: str | None, known: Iterator[Admission], now_s: float) -> Admission:
    """Return the revocation of a peer's newest admission that is known.

    Parameters
    ----------
    what : id of a peer that is known here, or the file of its public keys or join token
    cell : name; None for what is known
    known : admissions that processes of this machine have kept
    now_s : s, Unix time

    Raises
    ------
    PeercellError : nothing is known of such a peer, or the cell has to be named.
    """
    admitted = _admission_in(Path(what), cell, now_s) or _newest(what, cell, known)
    return revocation_of(admitted, max(admitted.serial + 1, serial_at(now_s)))


def _admission_in(path: Path, cell: str | None, now_s: float) -> Admission | None:
    """Return the admission in a file, or one of the keys in it; None where that is no file."""
    if path.suffix == JOIN:
        return load_token(path).admitted
    if path.suffix != PUBLIC:
        return None
    if cell is None:
        raise PeercellError(
            f"the cell that {path} is to be revoked in is not said", "", "--cell rural1"
        )
    return admission(load_public(path), Terms(cell, "", now_s, now_s))


def _newest(what: str, cell: str | None, known: Iterator[Admission]) -> Admission:
    found = [each for each in known if each.peer == what and cell in (None, each.cell)]
    if not found:
        raise PeercellError(
            f'no admission of "{what}" is known here',
            "no process below the folder of the runs has heard of one",
            f"peercell keys revoke keys/{what}{JOIN}",
        )
    return max(found, key=lambda each: each.serial)


def _write_keys(identity: Identity, folder: Path, name: str) -> KeyFiles:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"cannot make {folder}", error.strerror or str(error)) from None
    secret, public = folder / f"{name}{SECRET}", folder / f"{name}{PUBLIC}"
    save_identity(secret, identity)
    save_public(public, identity.public)
    return KeyFiles(identity.peer, identity.public.fingerprint, str(secret), str(public))


def _shown_admission(path: Path, admitted: Admission) -> Shown:
    keys = admitted.keys[0]
    return Shown(
        file=str(path),
        kind="join token",
        peer=admitted.peer,
        fingerprint=PublicIdentity(admitted.peer, keys.curve, keys.signing).fingerprint,
        cell=admitted.cell,
        role=admitted.role,
        expires_s=keys.expires_s,
    )
