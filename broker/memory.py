"""What a peer remembers from one run to the next: a small file, appended to at each change.

The operating system has all of it before anything that rests on it is said, so it survives the
process. It is not synced: a power cut may take the last seconds. What follows a torn entry is left
out, and so is all that was remembered by a peer that was told otherwise what to do.
"""

import logging
import os
import zlib
from hashlib import blake2b
from pathlib import Path

import msgpack
import msgspec

from peercell.broker.faults.failpoints import Reach, go_on
from peercell.broker.faults.kinds import Failpoint
from peercell.broker.home import replace_file
from peercell.broker.journal import UNREADABLE
from peercell.broker.wire import UNDECODABLE

# Some thousand changes; then the file is written anew with the last of each name.
BYTES_MAX = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class MemoryFile:
    """The memory of one peer: MessagePack values `[crc32, [task, name, what]]`, the last counts.

    Parameters
    ----------
    path : is read, if it is there; made when there is something to remember
    task : of the peer, in bytes; what was remembered under another is left out

    Attributes
    ----------
    kept : what is to be remembered, by name
    unsaved : whether some of that is not saved yet; nothing that binds is to be said before
    trouble : what the disk is to answer from now on, on purpose; None for what it does
    reach : is told of the points before and after something is saved
    """

    def __init__(self, path: Path, task: bytes) -> None:
        self._task = blake2b(task, digest_size=16).digest()
        self.kept = _read(path, self._task)
        self.unsaved = False
        self.trouble: OSError | None = None
        self.reach: Reach = go_on
        self._path = path
        self._size = 0
        self._descriptor: int | None = None

    def remember(self, name: str, what: bytes) -> None:
        """Keep something from now on, in place of what has its name."""
        self.kept[name] = what
        self.reach(Failpoint.BEFORE_SAVE)
        if self.unsaved:
            self.save()
            return
        try:
            self._append(name)
        except OSError as error:
            log.warning("says nothing that binds until it can write %s: %s", self._path, error)
            self.unsaved = True
            self.close()
            return
        self.reach(Failpoint.AFTER_SAVE)

    def save(self) -> None:
        """Write what is unsaved, and leave it so while the disk takes nothing."""
        try:
            self._write_anew()
        except OSError:
            return
        self.unsaved = False

    def close(self) -> None:
        """Close the file; it is opened again when there is more to remember."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, name: str) -> None:
        if self._descriptor is None or self._size > BYTES_MAX:
            self._write_anew()
            return
        if self.trouble is not None:
            raise self.trouble
        entry = self._entry(name)
        written = os.write(self._descriptor, entry)
        self._size += written
        if written < len(entry):
            raise OSError(f"{len(entry) - written} bytes of an entry did not fit on the disk")

    def _write_anew(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        content = b"".join(self._entry(name) for name in self.kept)
        replace_file(self._path, content)
        self.close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._size = len(content)

    def _entry(self, name: str) -> bytes:
        entry = _encode((self._task, name, self.kept[name]))
        return _encode((zlib.crc32(entry), entry))


def _read(path: Path, task: bytes) -> dict[str, bytes]:
    """Return what was remembered last of a task, by name; nothing when there is no such file."""
    kept: dict[str, bytes] = {}
    if not path.exists():
        return kept
    with path.open("rb") as file:
        values = msgpack.Unpacker(file, max_buffer_size=2 * BYTES_MAX)
        while True:
            try:
                checksum, entry = next(values)
                whole = zlib.crc32(entry) == checksum
                known_task, name, what = _decode(entry)
            except StopIteration:
                return kept
            except (*UNREADABLE, *UNDECODABLE):
                whole = False
            if not whole:
                log.warning("%s is torn: what follows is left out", path)
                return kept
            if known_task == task:
                kept[name] = what


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, str, bytes]).decode
