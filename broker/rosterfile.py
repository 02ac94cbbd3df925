"""The records of other peers on disk, so that a peer that restarts needs no directory."""

import logging
import os
from enum import StrEnum
from pathlib import Path

import msgpack
import msgspec

from peercell.agents.signing import SignedRecord
from peercell.broker.home import replace_file
from peercell.broker.journal import UNREADABLE
from peercell.broker.wire import UNDECODABLE

# Some thousand changes; then the file is written anew with the newest of each peer.
BYTES_MAX = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class Kept(StrEnum):
    """What is kept of a peer."""

    RECORD = "record"
    ADMISSION = "admission"


class RosterFile:
    """Every record and admission that a process has learned, appended as it comes.

    Signatures guard the content.

    Parameters
    ----------
    path : is read, cut down to the newest of each peer, and kept open
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = msgspec.msgpack.Encoder().encode
        self._newest = _read(path)
        self._compact()

    def known(self, kind: Kept) -> tuple[SignedRecord, ...]:
        """Return the newest record, or admission, of each peer."""
        return tuple(signed for (kept, _), signed in self._newest.items() if kept is kind)

    def newest(self, kind: Kept, peer: str) -> SignedRecord | None:
        """Return the newest record, or admission, of a peer, or None."""
        return self._newest.get((kind, peer))

    def note(self, kind: Kept, peer: str, signed: SignedRecord) -> None:
        """Keep what was learned of a peer."""
        if self._newest.get((kind, peer)) == signed:
            return
        self._newest[kind, peer] = signed
        try:
            self._size += os.write(self._descriptor, self._encode((kind, peer, signed)))
            if self._size > BYTES_MAX:
                os.close(self._descriptor)
                self._compact()
        except OSError as error:
            log.warning("%s does not keep the %s of %s: %s", self._path, kind, peer, error)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _compact(self) -> None:
        content = b"".join(self._encode((*key, signed)) for key, signed in self._newest.items())
        replace_file(self._path, content)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._size = len(content)


def read_roster(path: Path, kind: Kept) -> tuple[SignedRecord, ...]:
    """Return the newest record, or admission, of each peer in a file, which may be in use."""
    return tuple(signed for (kept, _), signed in _read(path).items() if kept is kind)


def _read(path: Path) -> dict[tuple[Kept, str], SignedRecord]:
    """Return the newest of each kind and peer; what follows a torn or spoilt one is left out."""
    newest: dict[tuple[Kept, str], SignedRecord] = {}
    if not path.exists():
        return newest
    with path.open("rb") as file:
        values = msgpack.Unpacker(file, max_buffer_size=2 * BYTES_MAX)
        while True:
            try:
                kind, peer, signed = msgspec.convert(next(values), tuple[Kept, str, SignedRecord])
            except (StopIteration, *UNREADABLE, *UNDECODABLE):
                return newest
            newest[kind, peer] = signed
