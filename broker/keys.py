"""The Ed25519 keys by which peers sign what must be provable later."""

import os
from functools import lru_cache
from pathlib import Path

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from peercell.agents.errors import PeercellError


class KeyFileError(PeercellError):
    """A key file that cannot be used."""

    exit_code = 3


def load_or_make_key(path: Path) -> SigningKey:
    """Return the signing key in a file, which is made, for its owner only, if it is not there.

    Raises
    ------
    KeyFileError : the file holds no key, cannot be read or made, or others may read it.
    """
    try:
        if not path.exists():
            _write_new_key(path)
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"others may read the key {path}", "", f"chmod 600 {path}")
        return SigningKey(bytes.fromhex(path.read_text().strip()))
    except OSError as error:
        raise KeyFileError(f"cannot use the key {path}", str(error)) from error
    except ValueError as error:
        raise KeyFileError(f"{path} is no signing key", str(error)) from error


def _write_new_key(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(bytes(SigningKey.generate()).hex() + "\n")
        file.flush()
        # Without its key a peer is refused until its lease has run out, so this outlives the power.
        os.fsync(descriptor)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


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
