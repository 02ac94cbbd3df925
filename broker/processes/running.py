"""Which cells run on this machine: the locks that supervisors hold in the run folder."""

import fcntl
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from peercell.agents.errors import PeercellError


class LockError(PeercellError):
    """A lock that no supervisor wrote."""


class State(StrEnum):
    """Whether a supervisor holds a lock."""

    RUNNING = "running"
    STALE = "stale"


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor writes to `cell.lock`; `started` is RFC 3339 with its offset."""

    pid: int
    started: datetime
    config: str


class RunningCell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell with a lock in the run folder."""

    cell: str
    state: State
    pid: int
    started: datetime
    config: str


def running_cells(home: Path) -> list[RunningCell]:
    """Return the cells with a lock below `home`, sorted by name; none where there is no folder.

    Raises
    ------
    LockError : a lock that is not what a supervisor writes.
    """
    return [_read(path) for path in sorted(home.glob("*/cell.lock"))]


def _read(path: Path) -> RunningCell:
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    except msgspec.MsgspecError as error:
        raise LockError(f"{path} is not a lock of a cell", str(error), f"rm {path}") from None
    return RunningCell(
        cell=path.parent.name,
        state=State.RUNNING if is_held(path) else State.STALE,
        pid=lock.pid,
        started=lock.started,
        config=lock.config,
    )


def is_held(lock: Path) -> bool:
    """Return whether a supervisor holds a lock.

    What counts is the lock of the kernel, which ends with its process: the process id in the file
    may belong to another one by now.
    """
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
