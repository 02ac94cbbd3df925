"""Who a peer is to others: the keys of its links and of its signatures, in one file of its own."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from nacl.exceptions import BadSignatureError
from nacl.public import PrivateKey
from nacl.signing import SigningKey, VerifyKey

from peercell.agents.errors import PeercellError
from peercell.agents.signing import PeerId

SECRET, PUBLIC = ".secret", ".pub"
FINGERPRINT_BYTES = 12
_CONSONANTS, _VOWELS = "bdfghjklmnprstvz", "aiou"


class KeyFileError(PeercellError):
    """A key file that cannot be used."""

    exit_code = 3


class PublicIdentity(Struct, frozen=True):
    """What others may know of the keys of a peer.

    Parameters
    ----------
    peer : id
    curve : of its links, Curve25519
    signing : of its signatures, Ed25519
    """

    peer: str
    curve: bytes
    signing: bytes

    @property
    def fingerprint(self) -> str:
        """Both keys, and whose they are, in six words that can be read over the phone."""
        return fingerprint(self.peer.encode() + b"\0" + self.curve + self.signing)


@dataclass(frozen=True, repr=False)
class Identity:
    """The keys of one peer, the secret ones as well.

    Parameters
    ----------
    peer : id
    curve : of its links; the same pair whether it connects or listens
    signing : of its records, trades and whatever else must be provable later
    """

    peer: str
    curve: PrivateKey
    signing: SigningKey

    def __repr__(self) -> str:
        return f"Identity({self.public.fingerprint} of {self.peer})"

    @property
    def public(self) -> PublicIdentity:
        """What others may know of it."""
        return PublicIdentity(self.peer, self.curve_public, bytes(self.signing.verify_key))

    @property
    def curve_public(self) -> bytes:
        """The public key of its links, 32 bytes, as ZeroMQ takes it."""
        return bytes(self.curve.public_key)

    @property
    def curve_secret(self) -> bytes:
        """The secret key of its links, 32 bytes, as ZeroMQ takes it."""
        return bytes(self.curve)

    def sign(self, message: bytes) -> bytes:
        """Return a signature, 64 bytes."""
        return self.signing.sign(message).signature


class _SecretFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A secret key file; keys in hexadecimal digits."""

    peercell: Literal["secret keys 1"]
    peer: PeerId
    curve: str
    signing: str


class _PublicFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A public key file; keys in hexadecimal digits."""

    peercell: Literal["public keys 1"]
    peer: PeerId
    curve: str
    signing: str


def make_identity(peer: str) -> Identity:
    """Return new keys for a peer."""
    return Identity(peer, PrivateKey.generate(), SigningKey.generate())


def load_or_make_identity(path: Path, peer: str) -> Identity:
    """Return the keys in a file, which is made, for its owner only, if it is not there.

    Raises
    ------
    KeyFileError : see `load_identity` and `save_identity`; or the keys are another peer's.
    """
    if not path.exists():
        made = make_identity(peer)
        save_identity(path, made)
        return made
    loaded = load_identity(path)
    if loaded.peer != peer:
        raise KeyFileError(f"{path} does not hold the keys of {peer}", f"it is {loaded.peer}'s")
    return loaded


def load_identity(path: Path) -> Identity:
    """Return the keys in a file.

    Raises
    ------
    KeyFileError : the file holds no secret keys, cannot be read, or others may read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"others may read the key {path}", "", f"chmod 600 {path}")
        told = msgspec.json.decode(path.read_bytes(), type=_SecretFile)
        curve = PrivateKey(bytes.fromhex(told.curve))
        return Identity(told.peer, curve, SigningKey(bytes.fromhex(told.signing)))
    except OSError as error:
        raise KeyFileError(
            f"cannot use the key {path}", error.strerror or str(error), "peercell keys new ID"
        ) from None
    except (msgspec.MsgspecError, ValueError, TypeError):
        # What was wrong with it may quote it.
        raise KeyFileError(
            f"{path} holds no secret keys", "it is not as `peercell keys new` writes it"
        ) from None


def save_identity(path: Path, identity: Identity) -> None:
    """Write keys into a new file, for its owner only.

    Raises
    ------
    KeyFileError : the file is there already, or cannot be written.
    """
    told = _SecretFile(
        "secret keys 1",
        identity.peer,
        identity.curve_secret.hex(),
        bytes(identity.signing).hex(),
    )
    try:
        _write_new(path, _text(told), 0o600)
    except FileExistsError:
        raise KeyFileError(
            f"{path} is there already",
            "the keys in it would be lost",
            f"peercell keys rotate {path}     or --out another-folder",
        ) from None
    except OSError as error:
        raise KeyFileError(f"cannot use the key {path}", error.strerror or str(error)) from None


def load_public(path: Path) -> PublicIdentity:
    """Return the public keys in a file.

    Raises
    ------
    KeyFileError : it holds none, or cannot be read.
    """
    try:
        told = msgspec.json.decode(path.read_bytes(), type=_PublicFile)
        keys = bytes.fromhex(told.curve), bytes.fromhex(told.signing)
    except OSError as error:
        raise KeyFileError(f"cannot read {path}", error.strerror or str(error)) from None
    except (msgspec.MsgspecError, ValueError):
        raise KeyFileError(
            f"{path} holds no public keys",
            "it is not as `peercell keys new` writes it",
            f"the file that ends in {PUBLIC}",
        ) from None
    if {len(key) for key in keys} != {32}:
        raise KeyFileError(f"{path} holds no public keys", "a key has 32 bytes")
    return PublicIdentity(told.peer, *keys)


def save_public(path: Path, public: PublicIdentity) -> None:
    """Write public keys into a file, in place of what is in it.

    Raises
    ------
    KeyFileError : it cannot be written.
    """
    told = _PublicFile("public keys 1", public.peer, public.curve.hex(), public.signing.hex())
    try:
        path.write_bytes(_text(told))
    except OSError as error:
        raise KeyFileError(f"cannot write {path}", error.strerror or str(error)) from None


@lru_cache(maxsize=4096)
def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether the owner of an Ed25519 key has signed a message.

    The cache serves processes that host many peers, all of which hear the same records.
    """
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


def fingerprint(statement: bytes) -> str:
    """Return 96 bits of a hash in six words that can be spoken.

    Each word holds 16 bits (D. S. Wilkerson, "A proposal for proquints", 2009).
    """
    digest = blake2b(statement, digest_size=FINGERPRINT_BYTES).digest()
    return "-".join(_words(digest))


def _words(digest: bytes) -> Iterator[str]:
    for high, low in zip(digest[::2], digest[1::2], strict=True):
        bits = high << 8 | low
        yield "".join(
            letters[bits >> shift & len(letters) - 1]
            for letters, shift in (
                (_CONSONANTS, 12),
                (_VOWELS, 10),
                (_CONSONANTS, 6),
                (_VOWELS, 4),
                (_CONSONANTS, 0),
            )
        )


def _text(told: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(told)) + b"\n"


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        # Without its keys a peer is refused until it is admitted anew: this outlives the power.
        os.fsync(descriptor)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
