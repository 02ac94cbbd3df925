"""Who runs a cell: one supervisor at a time, told by a lock that ends with its process."""

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from peercell.agents.errors import PeercellError


class CellRunsError(PeercellError):
    """The cell runs already."""


class CellLock:
    """A lock that is held; `stale` is what an earlier holder left, "" for nothing.

    Parameters
    ----------
    path : becomes JSON {pid, started, config}, for whoever looks
    config : what the cell was configured from

    Raises
    ------
    CellRunsError : another process holds it.

    Notes
    -----
    What counts is the lock that the kernel keeps on the file and gives up with the process, however
    that ends: a file that is left behind is stale by itself, whatever process has its pid now.
    """

    def __init__(self, path: Path, config: str) -> None:
        self._path = path
        self._descriptor = _open_locked(path)
        self.stale = os.read(self._descriptor, 4096).decode(errors="replace").strip()
        content = {"pid": os.getpid(), "started": datetime.now(UTC), "config": config}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, msgspec.json.encode(content) + b"\n", 0)

    def release(self) -> None:
        """Give the cell up."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _open_locked(path: Path) -> int:
    """Return a descriptor of the file that has this name and that nobody else has locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 4096).decode(errors="replace").strip()
            os.close(descriptor)
            raise CellRunsError(
                f'cell "{path.parent.name}" runs already',
                f"{path} is held by {holder or 'a process that has just started'}",
                f"peercell down {path.parent.name}",
            ) from None
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        # Its holder gave it up and removed it in the meantime.
        os.close(descriptor)
