"""What a peer was told and what it did, on disk: enough to run it again and to see it do the same.

The file is a stream of MessagePack values `[crc32, entries]`, so that any MessagePack reader gets
through it without this page. `entries` is the MessagePack of a list of `Start`, `Step`, `Stop` and
`Gap`: what happened in a turn. It is written before the messages of that turn leave; from then on
it outlives the process, though not the power supply.
"""

import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgpack
import msgspec
from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from peercell.agents.errors import PeercellError
from peercell.agents.protocol import Action, Event
from peercell.broker.faults.failpoints import Reach, go_on
from peercell.broker.faults.kinds import Failpoint
from peercell.broker.processes.crew import JOURNAL_BYTES_MAX
from peercell.broker.wire import UNDECODABLE

FORMAT = 1
BLOCK_BYTES_MAX = 16 * 1024 * 1024

# What a damaged file makes the readers raise: not all of it is an error of their own.
UNREADABLE = (msgpack.UnpackException, ValueError, TypeError, RecursionError)

log = logging.getLogger(__name__)


class Start(Struct, frozen=True, array_like=True, tag="start"):
    """A run of a peer begins: all that is needed to build its role again.

    Parameters
    ----------
    format : version of this file format
    peer, incarnation : who runs
    now_s : s, host time
    factory : "module:function" that builds the role
    settings : bytes that the factory gets
    seed : of the generator that the factory gets
    context : what else the builder of the role needs, in a form of its own
    torn_bytes : bytes behind the last whole block of the run before, which were cut off
    """

    format: int
    peer: str
    incarnation: int
    now_s: float
    factory: str
    settings: bytes
    seed: int
    context: bytes = b""
    torn_bytes: int = 0


class Step(Struct, frozen=True, array_like=True, tag="step"):
    """The role was told an event and did some actions; no actions when it failed on the event."""

    now_s: float
    event: Raw
    actions: Raw


class Stop(Struct, frozen=True, array_like=True, tag="stop"):
    """The run, or its record, ends here on purpose."""

    now_s: float
    why: str


class Gap(Struct, frozen=True, array_like=True, tag="gap"):
    """So many steps from a host time on are missing, since they could not be written; and why."""

    now_s: float
    steps: int
    why: str


Entry = Start | Step | Stop | Gap

_encode = Encoder().encode
_decode = Decoder(list[Entry]).decode


class JournalError(PeercellError):
    """A journal cannot be read."""


class Journal:
    """The journal of one peer, open for writing.

    Parameters
    ----------
    path : made if need be; what follows the last whole block of an earlier run moves to
        `<path>.torn`, and `Start` says how much
    start : the run that begins
    bytes_max : when the file has grown to this, recording ends with a `Stop`

    Attributes
    ----------
    stopped : why nothing is recorded now; "" while all is
    trouble : what the disk is to answer from now on, on purpose; None for what it does
    reach : is told of the points before and after a block is written

    Raises
    ------
    PeercellError : the folder cannot be written to.
    """

    def __init__(self, path: Path, start: Start, bytes_max: int = JOURNAL_BYTES_MAX) -> None:
        self.stopped = ""
        self.trouble: OSError | None = None
        self.reach: Reach = go_on
        self._path = path
        self._bytes_max = bytes_max
        self._pending: list[Entry | tuple[str, float, Event, Sequence[Action] | None]] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn_bytes = _cut_torn_tail(path)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise PeercellError(f"cannot keep the journal {path}", str(error)) from error
        self._size = os.fstat(self._descriptor).st_size
        self._is_over = False
        # What could not be written: the beginning of this run, and steps since a host time.
        self._start: Start | None = msgspec.structs.replace(start, torn_bytes=torn_bytes)
        self._missed, self._missed_s = 0, 0.0
        self.flush()

    def step(self, now_s: float, event: Event, actions: Sequence[Action] | None) -> None:
        """Record what the role did about an event; None when the event made it fail.

        It is encoded with the rest of the turn: what events and actions hold must not change.
        """
        self._pending.append(("step", now_s, event, actions))

    def flush(self) -> None:
        """Hand what was recorded to the operating system: from here it survives this process.

        Without room for it on the disk `stopped` says why, and the peer goes on; when there is room
        again a `Gap` says what is missing. Without room in the file recording ends.
        """
        if self._is_over or not (self._pending or self._start):
            self._pending.clear()
            return
        entries = _encode([*self._overdue(), *self._pending])
        block = _encode((zlib.crc32(entries), entries))
        if self._size + len(block) > self._bytes_max:
            self._is_over = True
            self.stopped = f"it has grown to its limit of {self._bytes_max} bytes"
            log.error("%s records no more: %s", self._path, self.stopped)
        elif why := self._write(block):
            self._miss(why)
        else:
            self._size += len(block)
            self._catch_up()
        self._pending.clear()

    def _overdue(self) -> Iterator[Entry]:
        """Yield what has to stand before all that comes, and could not be written before."""
        if self._start is not None:
            yield self._start
        if self._missed:
            yield Gap(self._missed_s, self._missed, self.stopped)

    def _write(self, block: bytes) -> str:
        """Append a block; return why it is not wholly in the file, "" when it is."""
        self.reach(Failpoint.BEFORE_RECORD)
        try:
            if self.trouble is not None:
                raise self.trouble
            if self.stopped:
                # A part of an earlier block may still be there, and would hide all behind it.
                os.ftruncate(self._descriptor, self._size)
            written = os.write(self._descriptor, block)
        except OSError as error:
            return str(error)
        self.reach(Failpoint.AFTER_RECORD)
        missing = len(block) - written
        return f"{missing} bytes of an entry did not fit on the disk" if missing else ""

    def _miss(self, why: str) -> None:
        steps = [entry for entry in self._pending if isinstance(entry, tuple)]
        if steps and not self._missed:
            self._missed_s = steps[0][1]
        self._missed += len(steps)
        if not self.stopped:
            self.stopped = why
            log.error("%s records nothing now: %s", self._path, why)

    def _catch_up(self) -> None:
        self._start = None
        if self.stopped:
            log.warning("%s records again; %d steps are missing", self._path, self._missed)
            self.stopped, self._missed = "", 0

    def close(self, now_s: float, why: str) -> None:
        """Record why the run ends, and end it."""
        self._pending.append(Stop(now_s, why))
        self.flush()
        os.close(self._descriptor)


def read(path: Path) -> Iterator[Entry]:
    """Yield the whole entries of a journal in order; a torn tail is left out.

    Raises
    ------
    JournalError : the file cannot be opened, or its first entry is none of ours.
    """
    started = False
    for block, _ in _blocks(path):
        for entry in _entries(block, path):
            if not started and not (isinstance(entry, Start) and entry.format == FORMAT):
                begin = f"it begins {entry!r}"
                raise JournalError(f"{path} is no journal of format {FORMAT}", begin)
            started = True
            yield entry
    if not started and path.stat().st_size:
        raise JournalError(f"{path} is no journal", "its first bytes are no whole block")


def torn_bytes(path: Path) -> int:
    """Return how many bytes lie behind the last whole block of a journal.

    Raises
    ------
    JournalError : the file cannot be opened.
    """
    whole = 0
    for _, end in _blocks(path):
        whole = end
    return path.stat().st_size - whole


def _blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield each block that is whole and has its checksum, and where in the file it ends."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise JournalError(f"cannot open the journal {path}", str(error)) from error
    with file:
        values = msgpack.Unpacker(file, max_buffer_size=BLOCK_BYTES_MAX)
        while True:
            try:
                checksum, block = next(values)
                whole = zlib.crc32(block) == checksum
            except (StopIteration, *UNREADABLE):
                return
            if not whole:
                return
            yield block, values.tell()


def _entries(block: bytes, path: Path) -> list[Entry]:
    try:
        return _decode(block)
    except UNDECODABLE as error:
        raise JournalError(f"{path} is no journal", str(error)) from error


def _cut_torn_tail(path: Path) -> int:
    """Move what follows the last whole block into a file beside it; return its size."""
    if not path.exists():
        return 0
    torn = torn_bytes(path)
    if torn:
        whole = path.stat().st_size - torn
        with path.open("rb") as file:
            file.seek(whole)
            path.with_name(f"{path.name}.torn").write_bytes(file.read())
        os.truncate(path, whole)
    return torn
