"""Where a cell keeps what it writes: one folder, `$PEERCELL_HOME/<cell>`, and its files."""

import os
from dataclasses import dataclass
from pathlib import Path

from peercell.agents.errors import PeercellError

# What sun_path of a UNIX socket holds, without the closing zero.
SOCKET_PATH_BYTES_MAX = 107


@dataclass(frozen=True)
class CellHome:
    """The folder of one cell.

    Parameters
    ----------
    folder : made by `prepare`
    """

    folder: Path

    def prepare(self) -> None:
        """Make the folder; what lies in `keys` and `sockets` is for its owner only.

        Raises
        ------
        PeercellError : it cannot be made.
        """
        try:
            for name in ("keys", "sockets", "state"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            for name in ("keys", "sockets"):
                (self.folder / name).chmod(0o700)
        except OSError as error:
            raise PeercellError(
                f"cannot make the folder {self.folder}",
                str(error),
                "set PEERCELL_HOME to a folder that you may write to",
            ) from error

    @property
    def lock(self) -> Path:
        """The lock that a supervisor holds."""
        return self.folder / "cell.lock"

    def journal(self, peer: str) -> Path:
        """The journal of a peer."""
        return self.folder / f"{peer}.journal"

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.folder / f"{name}.log"

    def key(self, peer: str) -> Path:
        """The secret keys of a peer."""
        return self.folder / "keys" / f"{peer}.secret"

    def crew(self, name: str) -> Path:
        """What a process was told to run."""
        return self.folder / "state" / f"{name}.crew"

    def part(self, peer: str) -> Path:
        """What a peer is to run that runs on another machine."""
        return self.folder / "state" / f"{peer}.part"

    def roster(self, name: str) -> Path:
        """The records that a process has learned."""
        return self.folder / "state" / f"{name}.roster"

    def memory(self, peer: str) -> Path:
        """What a peer remembers of its earlier runs."""
        return self.folder / "state" / f"{peer}.memory"

    @property
    def faults(self) -> Path:
        """What was broken on purpose."""
        return self.folder / "faults.jsonl"

    def control(self, name: str) -> str:
        """Return the endpoint where an operator reaches a process.

        Raises
        ------
        PeercellError : the path is too long for a socket.
        """
        path = (self.folder / "sockets" / f"{name}.sock").absolute()
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            raise PeercellError(
                f"the path {path} is too long for a socket",
                f"it has {len(os.fsencode(path))} bytes, the system allows {SOCKET_PATH_BYTES_MAX}",
                "set PEERCELL_HOME to a shorter folder, such as /tmp/peercell",
            )
        return f"ipc://{path}"

    def next_incarnation(self, peer: str, now_s: float) -> int:
        """Return the number of a new run: milliseconds of Unix time, and more than ever before."""
        path = self.folder / "state" / f"{peer}.incarnation"
        try:
            last = int(path.read_text())
        except (FileNotFoundError, ValueError):
            last = 0
        incarnation = max(int(1000 * now_s), last + 1)
        replace_file(path, str(incarnation).encode())
        return incarnation


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one whole."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
