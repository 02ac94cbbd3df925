"""The records of other peers on disk, so that a peer that restarts needs no directory."""

import logging
import os
from pathlib import Path

import msgpack
import msgspec

from peercell.agents.roster import SignedRecord
from peercell.broker.home import replace_file
from peercell.broker.journal import UNREADABLE
from peercell.broker.wire import UNDECODABLE

# Some thousand changes; then the file is written anew with the newest of each peer.
BYTES_MAX = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class RosterFile:
    """Every record that a process has learned, appended as it comes; signatures guard the content.

    Parameters
    ----------
    path : is read, cut down to the newest record of each peer, and kept open
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = msgspec.msgpack.Encoder().encode
        self._newest = _read(path)
        self._compact()

    @property
    def known(self) -> tuple[SignedRecord, ...]:
        """The newest record of each peer."""
        return tuple(self._newest.values())

    def note(self, peer: str, signed: SignedRecord) -> None:
        """Keep a record that was learned."""
        if self._newest.get(peer) == signed:
            return
        self._newest[peer] = signed
        try:
            self._size += os.write(self._descriptor, self._encode((peer, signed)))
            if self._size > BYTES_MAX:
                os.close(self._descriptor)
                self._compact()
        except OSError as error:
            log.warning("%s does not keep the record of %s: %s", self._path, peer, error)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _compact(self) -> None:
        content = b"".join(self._encode(pair) for pair in self._newest.items())
        replace_file(self._path, content)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._size = len(content)


def _read(path: Path) -> dict[str, SignedRecord]:
    """Return the newest record of each peer; what follows a torn or spoilt one is left out."""
    newest: dict[str, SignedRecord] = {}
    if not path.exists():
        return newest
    with path.open("rb") as file:
        values = msgpack.Unpacker(file, max_buffer_size=2 * BYTES_MAX)
        while True:
            try:
                peer, signed = msgspec.convert(next(values), tuple[str, SignedRecord])
            except (StopIteration, *UNREADABLE, *UNDECODABLE):
                return newest
            newest[peer] = signed
