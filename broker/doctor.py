"""Whether this machine can run a cell, and what to do where it cannot."""

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.home import CellHome
from peercell.broker.running import State, running_cells
from peercell.broker.sockets import listen

# A peer's id and a cell's name of usual length, for the path of its socket.
USUAL_CELL, USUAL_PEER = "cell", "mg12.trader"


class Health(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Struct, frozen=True, kw_only=True):
    """What a check found; `fix` is what to try, "" when all is well."""

    health: Health
    check: str
    found: str
    fix: str = ""


def findings(home: Path) -> list[Finding]:
    """Return what all checks find.

    Parameters
    ----------
    home : folder of the runs
    """
    checks: tuple[Callable[[Path], Iterator[Finding]], ...] = (
        _folder,
        _loopback,
        _processes,
        _cells,
    )
    return [finding for check in checks for finding in check(home)]


def _folder(home: Path) -> Iterator[Finding]:
    """Look whether runs can be written, and their sockets named."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=home):
            pass
    except OSError as error:
        fix = "set PEERCELL_HOME to a folder that you may write to"
        yield Finding(health=Health.FAIL, check="folder", found=f"{home}: {error}", fix=fix)
        return
    try:
        CellHome(home / USUAL_CELL).control(USUAL_PEER)
    except PeercellError as error:
        yield Finding(health=Health.FAIL, check="folder", found=error.what, fix=error.fix)
        return
    yield Finding(health=Health.OK, check="folder", found=f"{home.resolve()} can be written to")


def _loopback(_: Path) -> Iterator[Finding]:
    """Look whether a message gets from one socket of this machine to another."""
    try:
        with (
            listen() as listener,
            socket.create_connection(listener.getsockname()[:2], timeout=2.0),
        ):
            yield Finding(health=Health.OK, check="loopback", found="127.0.0.1 can be reached")
    except OSError as error:
        fix = "allow connections to 127.0.0.1 in the firewall of this machine"
        yield Finding(health=Health.FAIL, check="loopback", found=str(error), fix=fix)


def _processes(_: Path) -> Iterator[Finding]:
    """Look how processes are started, and how many cores they share."""
    if sys.platform == "linux":
        found = f"forked from a warm server, {os.cpu_count()} cores"
        yield Finding(health=Health.OK, check="processes", found=found)
    else:
        found = f"{sys.platform} has no fork server: each process starts from nothing"
        yield Finding(health=Health.WARN, check="processes", found=found, fix="--pack 4")


def _cells(home: Path) -> Iterator[Finding]:
    """Look for runs that were left behind."""
    for cell in running_cells(home):
        if cell.state is State.STALE:
            found = f'"{cell.cell}" has ended and left its lock'
            fix = f"peercell down {cell.cell}"
            yield Finding(health=Health.WARN, check="cells", found=found, fix=fix)
        else:
            found = f'"{cell.cell}" runs as process {cell.pid}'
            yield Finding(health=Health.OK, check="cells", found=found)
